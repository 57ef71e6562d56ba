"""Whether this spool's numbers are its own, by what the log says; when they are not, a new epoch begins before anything more is sent.

Collects the evidence that `kafka_link` reads (progress above what was given, claims of others), acts on it through `EpochChange`, says
when this life has something to claim, and lets the intake tell what its streams follow.
"""

from __future__ import annotations

import time

from shinkei_events.identity import StreamId
from shinkei_events.model.progress import Claim, Progress, Recorded
from shinkei_events.telemetry import emit
from shinkei_events.topics import TOPIC_OF_KIND, partition_of
from shinkei_gateway.epoch_change import EpochChange
from shinkei_gateway.forward_telemetry import EpochBegun
from shinkei_gateway.intake import Intake
from shinkei_gateway.spool.spool import Spool

CLAIM_AGAIN_S = 5.0
"""A claim is repeated so often, so that whoever watches knows a quiet gateway from a lost one."""
PATIENCE_S = 60.0
"""How long another gateway has to say where a stream of a moved machine ended, before a gap is told."""


class Standing:
    """``host``: what this machine is called in claims."""

    def __init__(self, spool: Spool, intake: Intake, epochs: EpochChange, host: str) -> None:
        self._spool, self._intake, self._epochs, self._host = spool, intake, epochs, host
        self._ahead: dict[str, int] = {}
        self._rival: Claim | None = None
        self._heard: set[tuple[str, int]] = set()
        self._claimed: tuple[str, int] | None = None
        self._claimed_at = 0.0
        self._is_proved = False
        self._waits: dict[str, float] = {}

    def on_log(self) -> None:
        """A new life on a log: it must be claimed there, and asked."""
        self._claimed, self._is_proved = None, False
        self._intake.ownership.on_log()
        self._heard.clear()

    def on_progress(self, report: Progress, ahead: list[Recorded]) -> None:
        """``ahead``: what `Forwarder.on_progress` made of it."""
        self._heard.add((report.topic, report.partition))
        self._ahead |= {str(one.stream): one.next for one in ahead if one.stream.epoch == self._spool.epoch}
        for machine in self._intake.ownership.on_progress(report.streams):
            self._waits.setdefault(machine, time.monotonic())

    def on_claim(self, claim: Claim, offset: int) -> None:
        """Somebody, perhaps an earlier life of this shard, has claimed an epoch."""
        self._rival = self._intake.ownership.on_claim(claim, offset) or self._rival
        for closed in claim.closed:
            self._waits.setdefault(closed.stream.machine, time.monotonic())

    async def settle(self) -> None:
        """Act on the evidence so far: call it before anything is sent."""
        if self._ahead or self._rival is not None:
            ahead, self._ahead = self._ahead, {}
            rival, self._rival = self._rival, None
            detail = _detail(ahead, rival)
            old = await self._epochs.change("spool_went_back", detail, ahead)
            self._claimed = None
            emit(EpochBegun(old, detail))
        if not self._is_proved and self._intake.ownership.is_claimed and self._is_answered():
            self._is_proved = True
            self._epochs.proved()

    def _is_answered(self) -> bool:
        """Whether the recorder has reported every partition in which this epoch has streams."""
        streams = (StreamId.parse(name) for name in self._spool.streams() if name.startswith(self._spool.epoch))
        return all((TOPIC_OF_KIND[s.kind].name, partition_of(s.machine)) in self._heard for s in streams)

    def claim(self) -> Claim | None:
        """What is to be claimed now: anything new at once, the same again now and then."""
        ownership, now = self._intake.ownership, time.monotonic()
        due = (ownership.epoch, len(ownership.closed))
        if due == self._claimed and now - self._claimed_at < CLAIM_AGAIN_S:
            return None
        self._claimed, self._claimed_at = due, now
        return ownership.claim(self._host, time.time_ns())

    def follow(self) -> None:
        """Tell what streams follow that began before that was known. Now and then."""
        written = set(self._intake.machines())
        for machine, since in list(self._waits.items()):
            if machine not in written:
                continue
            patient = time.monotonic() - since < PATIENCE_S
            if self._intake.follow(machine, patient=patient) or not patient:
                del self._waits[machine]


def _detail(ahead: dict[str, int], rival: Claim | None) -> str:
    if rival is not None:
        return f"another life of this spool has claimed its epoch (on {rival.host}, gateway {rival.gateway} shard {rival.shard}): it is a copy, or was restored"
    stream, number = next(iter(sorted(ahead.items())))
    return f"{stream} is recorded up to {number - 1}, beyond what this spool gave: it was restored from an older copy"
