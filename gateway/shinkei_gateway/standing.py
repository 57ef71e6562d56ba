"""Whether this spool's numbers are its own, by what the log says; when they are not, a new epoch begins before anything more is sent.

Collects the evidence that `kafka_link` reads (progress above what was given, claims of others), acts on it through `EpochChange`, says
when this life has something to claim, and lets the intake tell what its streams follow.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shinkei_events.identity import StreamId
from shinkei_events.model.progress import Claim, Progress, Recorded
from shinkei_events.telemetry import emit
from shinkei_events.topics import TOPIC_OF_KIND, partition_of
from shinkei_gateway.epoch_change import EpochChange, Evidence
from shinkei_gateway.forward_telemetry import EpochBegun
from shinkei_gateway.intake import Intake
from shinkei_gateway.ownership import OWNERSHIP
from shinkei_gateway.spool.spool import Cursor, Spool

CLAIM_AGAIN_S = 5.0
"""A claim is repeated so often, so that whoever watches knows a quiet gateway from a lost one."""
PATIENCE_S = 60.0
"""How long another gateway has to say where a stream of a moved machine ended, before a gap is told."""


class Standing:
    """``host``: what this machine is called in claims. ``clock``: monotonic seconds."""

    def __init__(
        self, spool: Spool, intake: Intake, epochs: EpochChange, host: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spool, self._intake, self._epochs, self._host, self._clock = spool, intake, epochs, host, clock
        self._ahead: dict[str, int] = {}
        self._rival: Claim | None = None
        self._heard: set[tuple[str, int]] = set()
        self._epochs_heard: set[str] = set()
        self._claimed: tuple[str, int] | None = None
        self._claimed_at = 0.0
        self._is_proved = False
        self._sure = spool.streams()  # as of the last own claim that was read: nobody else gave the numbers below
        self._said: tuple[int, dict[str, int]] = (0, self._sure)
        self._waits: dict[str, float] = {}

    def on_log(self) -> None:
        """A new life on a log: it must be claimed there, and asked."""
        self._claimed, self._is_proved = None, False
        self._intake.ownership.on_log()
        self._heard.clear()

    def off_log(self) -> None:
        """This life on a log is over."""
        self._epochs.doubt()

    def on_progress(self, report: Progress, ahead: list[Recorded]) -> None:
        """``ahead``: what `Forwarder.on_progress` made of it."""
        self._heard.add((report.topic, report.partition))
        self._ahead |= {str(one.stream): one.next for one in ahead if one.stream.epoch == self._spool.epoch}
        for machine in self._intake.ownership.on_progress(report.streams):
            self._waits.setdefault(machine, self._clock())

    def on_claim(self, claim: Claim, offset: int) -> None:
        """Somebody, perhaps an earlier life of this shard, has claimed an epoch."""
        ownership = self._intake.ownership
        if claim.instance == ownership.instance and claim.time == self._said[0]:
            self._sure = self._said[1]
        self._rival = ownership.on_claim(claim, offset) or self._rival
        concerned = {closed.stream.machine for closed in claim.closed}
        if claim.epoch not in self._epochs_heard:
            self._epochs_heard.add(claim.epoch)
            concerned |= {*ownership.awaited(), *self._intake.machines()}
        for machine in concerned:
            self._waits.setdefault(machine, self._clock())

    async def settle(self) -> None:
        """Act on the evidence so far: call it before anything is sent."""
        if (evidence := self.evidence()) is not None:
            emit(EpochBegun(await self._epochs.change("spool_went_back", evidence), evidence.detail))
        self.prove()

    def evidence(self) -> Evidence | None:
        """Why these numbers are not this spool's alone; None: nothing speaks against. Said once."""
        if not self._ahead and self._rival is None:
            return None
        ahead, self._ahead = self._ahead, {}
        rival, self._rival = self._rival, None
        self._claimed = None
        if rival is None:
            return Evidence(_detail(ahead, rival), ahead)
        parted = Cursor(*self._intake.ownership.parted(rival))
        return Evidence(_detail(ahead, rival), ahead, sure=dict(self._sure), parted=parted)

    @property
    def may_send(self) -> bool:
        """Whether the log has this life's claim, so that whoever else gives these numbers was heard. With a disk that takes nothing there
        is nothing of this life's to send, and sending makes room."""
        return self._intake.ownership.is_claimed or not self._is_known()

    def _is_known(self) -> bool:
        return self._intake.ownership.is_durable(self._spool.resume(OWNERSHIP))

    def prove(self) -> None:
        """When this life has its claim on the log and every answer, and nothing spoke against it, its numbers are its own."""
        if not self._is_proved and self._intake.ownership.is_claimed and self._is_answered():
            self._is_proved = True
            self._epochs.proved()

    def _is_answered(self) -> bool:
        """Whether the recorder has reported every partition in which this epoch has streams."""
        streams = (StreamId.parse(name) for name in self._spool.streams() if name.startswith(self._spool.epoch))
        return all((TOPIC_OF_KIND[s.kind].name, partition_of(s.machine)) in self._heard for s in streams)

    def claim(self) -> Claim | None:
        """What is to be claimed now: anything new at once, the same again now and then."""
        ownership, now = self._intake.ownership, self._clock()
        due = (ownership.epoch, len(ownership.closed))
        if not self._is_known() or (due == self._claimed and now - self._claimed_at < CLAIM_AGAIN_S):
            return None
        self._claimed, self._claimed_at = due, now
        claim = ownership.claim(self._host, time.time_ns(), self._spool.end())
        self._said = (claim.time, self._spool.streams())
        return claim

    def follow(self) -> None:
        """Tell what streams follow that began before that was known. Now and then."""
        written = set(self._intake.machines())
        for machine, since in list(self._waits.items()):
            if machine not in written:
                self._waits[machine] = self._clock()  # what wrote it so far is given time from when it is written here
                continue
            patient = self._clock() - since < PATIENCE_S
            if self._intake.follow(machine, patient=patient):
                self._waits[machine] = self._clock()  # there may be more, and what one said it had has time to come
            elif not patient:
                del self._waits[machine]


def _detail(ahead: dict[str, int], rival: Claim | None) -> str:
    if rival is not None:
        return f"another life of this spool has claimed its epoch (on {rival.host}, gateway {rival.gateway} shard {rival.shard}): it is a copy, or was restored"
    stream, number = next(iter(sorted(ahead.items())))
    return f"{stream} is recorded up to {number - 1}, beyond what this spool gave: it was restored from an older copy"
