"""Who writes which streams, as the log tells it: claims of gateways and the recorder's progress. Pure.

Every life of a shard's process claims its epoch on the log. A claim of this epoch by a life that this spool never heard of means that the
spool is a copy, or went back in time: two writers would give the same numbers to different things. And streams that were recorded under
other epochs are what this shard's streams follow: a spool that was lost, or a machine that came from elsewhere. `kafka_link` feeds it.
"""

from __future__ import annotations

from typing import Any

from shinkei_events.identity import FIRST_NUMBER, Kind
from shinkei_events.model.progress import Claim, Recorded
from shinkei_gateway.stream_start import Before

OWNERSHIP = "@ownership"
KEPT_INSTANCES = 100


class Ownership:
    """``instance``: this life of the process. ``known``: what `state` gave when it last was durable, or None."""

    def __init__(
        self, gateway: str, shard: str, epoch: str, instance: str, known: dict[str, Any] | None = None
    ) -> None:
        self.gateway, self.shard, self.epoch, self.instance = gateway, shard, epoch, instance
        known = known or {}
        self._instances: list[str] = [*known.get("instances", ()), instance][-KEPT_INSTANCES:]
        self._epochs: list[str] = list(known.get("epochs", ()))
        self._followed: dict[str, list[str]] = {m: list(epochs) for m, epochs in known.get("followed", {}).items()}
        self.closed: dict[str, int] = dict(known.get("closed", {}))
        """Streams that ended here because their machine moved on, with the number that would come next."""
        self._seen: dict[str, dict[str, dict[Kind, int]]] = {}  # machine, epoch, kind: next number
        self._claims: dict[str, Claim] = {}
        self._claimed_at: int | None = None
        self.begin(epoch)

    def state(self) -> dict[str, Any]:
        """To be durable before this life claims anything."""
        return {
            "instances": list(self._instances),
            "epochs": list(self._epochs),
            "followed": {m: list(epochs) for m, epochs in self._followed.items()},
            "closed": dict(self.closed),
        }

    def begin(self, epoch: str) -> None:
        """This spool gives numbers in ``epoch`` from now on."""
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

    def claim(self, host: str, now: int) -> Claim:
        """What this life says to all (``now``: ns UTC)."""
        return Claim(gateway=self.gateway, shard=self.shard, epoch=self.epoch, instance=self.instance, host=host, time=now,
                     closed=[Recorded.parse(name, number) for name, number in sorted(self.closed.items())])  # fmt: skip

    # ---- what the log tells ------------------------------------------------------------------------------------------
    def on_claim(self, claim: Claim, offset: int) -> Claim | None:
        """The claim, when its writer has this epoch too and came first: this spool is a copy and must begin an epoch of its own."""
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
        is_later = self._claimed_at is not None and offset > self._claimed_at
        return None if is_later or claim.instance in self._instances else claim

    def on_progress(self, reports: list[Recorded]) -> set[str]:
        """Machines of which streams of other epochs are recorded that were not known."""
        return {report.stream.machine for report in reports if self._note(report)}

    def _note(self, report: Recorded) -> bool:
        stream = report.stream
        if stream.epoch in self._epochs:
            return False
        kinds = self._seen.setdefault(stream.machine, {}).setdefault(stream.epoch, {})
        is_new = not kinds
        kinds[stream.kind] = max(kinds.get(stream.kind, FIRST_NUMBER), report.next)
        return is_new

    # ---- what follows ------------------------------------------------------------------------------------------------
    def before(self, machine: str, *, patient: bool = True) -> Before | None:
        """The newest epoch of another spool that ``machine``'s streams follow and that was not told yet (tell it, then `followed`).

        ``patient``: not yet when another gateway still has to say where it ended.
        """
        epochs = self._seen.get(machine, {})
        fresh = [epoch for epoch in epochs if epoch not in self._followed.get(machine, ())]
        if not fresh:
            return None
        newest = max(fresh)  # UUIDv7: by time
        if any(epoch > newest for epoch in self._followed.get(machine, ())):
            return None  # an older one still, behind what was told
        ends, claim = epochs[newest], self._claims.get(newest)
        if claim is not None and any(r.stream.machine == machine and r.stream.epoch == newest for r in claim.closed):
            return Before(newest, ends)
        if claim is None or (claim.gateway, claim.shard) == (self.gateway, self.shard):
            return Before(
                newest, ends, "spool_lost", "the spool that wrote it is gone; what it had not sent nobody has"
            )
        if patient:
            return None
        who = f"gateway {claim.gateway} shard {claim.shard}"
        return Before(newest, ends, "moved", f"{who} wrote it and has not said that it ended")

    def followed(self, machine: str, epoch: str) -> None:
        """It was told that ``machine``'s streams follow ``epoch`` (and whatever is older)."""
        known = self._followed.setdefault(machine, [])
        known += [each for each in {*self._seen.get(machine, {}), epoch} if each not in known and each <= epoch]
