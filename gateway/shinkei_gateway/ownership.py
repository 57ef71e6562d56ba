"""Who writes which streams, as the log tells it: claims of gateways and the recorder's progress. Pure.

Every life of a shard's process claims its epoch on the log, and says how far its spool reaches. A claim of this epoch by a life that this
spool never heard of, or by an earlier one that reached further than this spool did when it was opened, means that the spool is a copy, or
went back in time: two writers would give the same numbers to different things. And streams that were recorded under
other epochs are what this shard's streams follow: a spool that was lost, or a machine that came from elsewhere. `kafka_link` feeds it.

What nobody can see: what a spool wrote after its last claim (5 s at most, or all of an outage of the log) before it went back to a copy
of before; and the streams of a machine of which nothing was recorded nor said when its spool was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shinkei_events.identity import FIRST_NUMBER, Kind, StreamId
from shinkei_events.model.progress import Claim, Recorded
from shinkei_gateway.stream_start import Before

OWNERSHIP = "@ownership"
KEPT_INSTANCES = 100
TOLD_INSTANCES = 8
LOST = "the spool that wrote it is gone; what it had not sent nobody has"
Place = tuple[int, int]
"""Segment and byte of a spool."""
NOWHERE: Place = (1 << 62, 0)


class Ownership:
    """``instance``: this life of the process. ``known``: what `state` gave when it last was durable, or None.

    ``opened``: where the spool ended when this life opened it (segment, byte).
    """

    def __init__(
        self,
        gateway: str,
        shard: str,
        epoch: str,
        instance: str,
        known: dict[str, Any] | None = None,
        opened: Place = NOWHERE,
    ) -> None:
        self.gateway, self.shard, self.epoch, self.instance = gateway, shard, epoch, instance
        known = known or {}
        places = known.get("opened", {})
        lives = {each: _place(places.get(each, NOWHERE)) for each in known.get("instances", ())} | {instance: opened}
        self._lives: dict[str, Place] = dict([*lives.items()][-KEPT_INSTANCES:])
        self._epochs: list[str] = list(known.get("epochs", ()))
        self._followed: dict[str, list[str]] = {m: list(epochs) for m, epochs in known.get("followed", {}).items()}
        self.closed: dict[str, int] = dict(known.get("closed", {}))
        """Streams that ended here because their machine moved on, with the number that would come next."""
        self._seen: dict[str, dict[str, dict[Kind, int]]] = {}  # machine, epoch, kind: next number
        self._claims: dict[str, Claim] = {}
        self._whole: dict[str, str] = dict(known.get("whole", {}))  # machine: epoch that another gateway said has ended
        self._recorded: dict[str, int] = {}
        self._ended: str | None = None
        self._claimed_at: int | None = None
        self.begin(epoch)

    def state(self) -> dict[str, Any]:
        """To be durable before this life claims anything."""
        return {
            "instances": list(self._lives),
            "opened": {each: list(place) for each, place in self._lives.items()},
            "epochs": list(self._epochs),
            "followed": {m: list(epochs) for m, epochs in self._followed.items()},
            "closed": dict(self.closed),
            "whole": dict(self._whole),
        }

    def begin(self, epoch: str) -> None:
        """This spool gives numbers in ``epoch`` from now on."""
        if epoch != self.epoch:
            self._ended = self.epoch
        self.epoch, self._claimed_at = epoch, None
        if epoch not in self._epochs:
            self._epochs.append(epoch)

    def on_log(self) -> None:
        """A new life on a log, perhaps another one: this life's claim has yet to be read there."""
        self._claimed_at = None

    @property
    def is_claimed(self) -> bool:
        """Whether this life's own claim was read from the log: whoever came before would be known by now."""
        return self._claimed_at is not None

    def is_durable(self, state: dict[str, Any] | None) -> bool:
        """Whether the next life will know this one: ``state`` is what the spool has. Nothing may be claimed before."""
        return state is not None and self.instance in state["instances"] and self.epoch in state["epochs"]

    def claim(self, host: str, now: int, place: Place) -> Claim:
        """What this life says to all (``now``: ns UTC). ``place``: where its spool ends by now."""
        closed = [Recorded.parse(name, number) for name, number in sorted(self.closed.items())]
        told = {one.stream.machine: list(self._followed.get(one.stream.machine, ())) for one in closed}
        return Claim(gateway=self.gateway, shard=self.shard, epoch=self.epoch, instance=self.instance, host=host, time=now, place=place, after=list(self._lives)[-TOLD_INSTANCES - 1 : -1],
                     closed=closed, told=told)  # fmt: skip

    # ---- what the log tells ------------------------------------------------------------------------------------------
    def on_claim(self, claim: Claim, offset: int) -> Claim | None:
        """The claim, when its writer has this epoch too and came first, or wrote on where this spool was opened: this spool is a copy (or
        older than that claim) and must begin an epoch of its own."""
        for recorded in claim.closed:
            self._note(recorded)
        known = self._claims.get(claim.epoch)
        if known is None or claim.time >= known.time:
            self._claims[claim.epoch] = claim
        if claim.epoch != self.epoch:
            return None
        if claim.instance == self.instance:
            self._claimed_at = offset if self._claimed_at is None else self._claimed_at  # it is repeated, to be heard
            return None
        if claim.instance in self._lives:  # an earlier life, unless it was where it never was by this spool
            return claim if claim.place is not None and claim.place > self.parted(claim) else None
        is_later = self._claimed_at is not None and offset > self._claimed_at
        return None if is_later or self.instance in claim.after else claim

    def parted(self, claim: Claim) -> Place:
        """Where the spool behind ``claim`` and this one parted: everything before is the same in both."""
        lives = list(self._lives)
        common = [at for at, each in enumerate(lives) if each == claim.instance or each in claim.after]
        after = common[-1] + 1 if common else 0
        return self._lives[lives[after]] if after < len(lives) else NOWHERE

    def on_progress(self, reports: list[Recorded]) -> set[str]:
        """Machines of which streams of other epochs are recorded that were not known."""
        self._recorded |= {str(report.stream): report.next for report in reports}
        return {report.stream.machine for report in reports if self._note(report)}

    def _note(self, report: Recorded) -> bool:
        stream = report.stream
        if stream.epoch == self.epoch:
            return False  # of an epoch that ended here what the spool knew of was told with its end
        kinds = self._seen.setdefault(stream.machine, {}).setdefault(stream.epoch, {})
        is_new = not kinds
        kinds[stream.kind] = max(kinds.get(stream.kind, FIRST_NUMBER), report.next)
        return is_new

    # ---- what follows ------------------------------------------------------------------------------------------------
    def before(self, machine: str, *, patient: bool = True) -> Before | None:
        """The newest epoch of another spool that ``machine``'s streams follow and that was not told yet (tell it, then `followed`).

        ``patient``: not yet when another gateway still has to say where it ended, or to send what it said it had.
        """
        epochs = self._seen.get(machine, {})
        known = self._followed.get(machine, ())
        # Of a machine that nobody has heard of, the epoch that this life has ended may have been the last.
        own = [] if self._ended is None else [self._ended]
        fresh = [e for e in epochs or own if e not in known and not self._is_of_copy(e)]
        if not fresh:
            return None if patient else self._gone(machine)
        # UUIDv7: by time. A lost spool of this shard first: the machine may have come back to it from where a newer one is.
        newest = max([e for e in fresh if self._is_own(e)] or fresh)
        if not self._is_own(newest) and any(
            e > newest and e not in self._epochs and self._is_behind(newest, machine, e) for e in known
        ):
            return None  # an older one still, behind what was told
        recorded, claim = self._recorded_of(machine, newest), self._claims.get(newest)
        if newest in self._epochs:
            return Before(newest, recorded, "spool_went_back", "whatever machine it had, this spool may not know of it")
        if claim is None or self._is_own(
            newest
        ):  # also when it had said that it ended: the machine may have come back to it since
            return Before(newest, recorded, "spool_lost", LOST)
        if any(r.stream.machine == machine and r.stream.epoch == newest for r in claim.closed):
            return Before(newest, epochs[newest])
        if patient:
            return None
        who = f"gateway {claim.gateway} shard {claim.shard}"
        return Before(newest, recorded, "moved", f"{who} wrote it and has not said that it ended")

    def followed(self, machine: str, before: Before) -> None:
        """It was told that ``machine``'s streams follow ``before`` (and whatever is older)."""
        known, epoch = self._followed.setdefault(machine, []), before.epoch
        known += [
            e for e in {*self._seen.get(machine, {}), epoch} if e not in known and self._is_behind(e, machine, epoch)
        ]
        if before.cause is None:
            self._whole[machine] = epoch
        elif self._whole.get(machine) == epoch:
            del self._whole[machine]

    def recorded_before(self, machine: str, kind: Kind) -> int:
        """How many numbers of ``machine`` are on record that spools gave of which this one knows nothing."""
        seen = self._seen.get(machine, {})
        return sum(ends.get(kind, FIRST_NUMBER) - FIRST_NUMBER for e, ends in seen.items() if e not in self._epochs)

    def awaited(self) -> list[str]:
        """Machines of which another gateway has said where it ended, and perhaps not sent all."""
        return list(self._whole)

    def _is_behind(self, older: str, machine: str, newer: str) -> bool:
        """Whether it was told with ``newer`` that ``machine``'s streams followed ``older`` before: always, but for what became known only
        when the machine had left there again."""
        claim = self._claims.get(newer)
        told = None if claim is None else claim.told.get(machine)
        return older == newer or (older < newer and (told is None or older in told))

    def _gone(self, machine: str) -> Before | None:
        """The epoch that ended whole, when its writer's shard has another spool since and the rest of it is not recorded."""
        epoch = self._whole.get(machine, "")
        claim = self._claims.get(epoch)
        if claim is None or not any(e > epoch and _shard(c) == _shard(claim) for e, c in self._claims.items()):
            return None
        recorded = self._recorded_of(machine, epoch)
        is_whole = recorded == self._seen.get(machine, {}).get(epoch, {})
        return None if is_whole else Before(epoch, recorded, "spool_lost", LOST)

    def _recorded_of(self, machine: str, epoch: str) -> dict[Kind, int]:
        """What is on record, whatever was said of its end."""
        ends = self._seen.get(machine, {}).get(epoch, {})
        return {kind: self._recorded.get(str(StreamId(epoch, machine, kind)), FIRST_NUMBER) for kind in ends}

    def _is_of_copy(self, epoch: str) -> bool:
        """A newer epoch than this one, begun in the same shard's name: a copy's, which nothing here follows."""
        return epoch > self.epoch and self._is_own(epoch)

    def _is_own(self, epoch: str) -> bool:
        claim = self._claims.get(epoch)
        return claim is not None and _shard(claim) == (self.gateway, self.shard)


def _shard(claim: Claim) -> tuple[str, str]:
    return claim.gateway, claim.shard


def _place(stored: Sequence[int]) -> Place:
    return stored[0], stored[1]
