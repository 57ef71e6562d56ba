"""What sources give their batches to: the intake, with the books kept and gaps and quarantines told. The one door into the spool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from shinkei_events.identity import KINDS
from shinkei_events.model.numbered import ClockSkew, Gap
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.intake import Batch, Draft, Intake
from shinkei_gateway.offered import drafts_of, machines_of
from shinkei_gateway.reconcile import Books, Run
from shinkei_gateway.sending import Missing
from shinkei_gateway.telemetry import ClockBeyond, GapFound, MessageQuarantined

ROOM_EVERY_S = 0.05


class Taker(Protocol):
    """What a source may call, from the gateway's event loop only."""

    def put(
        self, batch: Batch, *, own: int = 0, duplicate: int = 0, offered: int = 0, source: str = ""
    ) -> asyncio.Future[None]:
        """Number and write; done when durable: acknowledge upstream only then. ``own`` of the items say what the gateway found.

        Booked to ``source`` (else the batch's own name, which its resume state has).
        """

    def resume(self, source: str) -> Any:
        """The last durable resume state of ``source``, or None."""

    def has_room(self) -> bool:
        """False while nothing more may be taken."""

    def alive(self, machine: str, until: int) -> None:
        """Everything up to source time ``until`` was told."""

    def backlog(self) -> int:
        """Numbers not recorded yet, as last known."""

    def skew(self, source: str, machine: str) -> int | None:
        """ns by which a clock was last told to be off, also before a restart; None: within its limit."""

    def stopped(self, lost_after: float) -> int | None:
        """When (ns UTC) this gateway last ran, if that is more than ``lost_after`` seconds before its start: nobody knows what machines did
        since. None: it was not away for so long, or the source is made later than the gateway."""

    def recorded_before(self, machine: str) -> int:
        """How many numbers of the machine's history are on record that other spools gave, which are gone by now, or another gateway's."""

    def has_heard(self) -> bool:
        """Whether the log was there to say what is on record."""


async def wait_room(taker: Taker) -> None:
    """Return when there is room (disk, memory)."""
    while not taker.has_room():  # noqa: ASYNC110  the disk has no event
        await asyncio.sleep(ROOM_EVERY_S)


class Taking:
    """The `Taker` of a running gateway. ``clock``: ns UTC."""

    def __init__(self, intake: Intake, books: Books, clock: Callable[[], int], backlog: Callable[[], int]) -> None:
        self._intake, self._books, self._clock, self._backlog = intake, books, clock, backlog
        self.last_run: int | None = None
        """When the gateway before this one was last known to run (ns UTC), while the first sources are made."""

    def put(self, batch: Batch, *, own: int = 0, duplicate: int = 0, offered: int = 0, replayed: int = 0,
            source: str = "") -> asyncio.Future[None]:  # fmt: skip
        """See `Taker`. ``replayed`` of the items were in quarantine before; they are booked to ``source`` (else the batch's own)."""
        machines, drafts = machines_of(batch.items), drafts_of(batch.items)
        streams = [self._intake.stream(machine, kind) for machine in machines for kind in KINDS]
        before = [self._intake.next_number(stream) for stream in streams]
        future = self._intake.put(batch)
        after = [self._intake.next_number(stream) for stream in streams]
        runs = [Run(str(s), b, e) for s, b, e in zip(streams, before, after, strict=True) if e > b]
        outside = len(batch.items) - own - replayed
        # The intake itself opens a stream, also that of a machine which comes back after its stream had ended.
        own += max(0, sum(run.end - run.begin for run in runs) - len(batch.items))
        self._books.enter(
            source or batch.source,
            self._clock(),
            runs,
            received=outside + duplicate,
            own=own,
            duplicate=duplicate,
            offered=offered,
            replayed=replayed,
            lost=sum(map(_lost, drafts)),
        )
        for draft in drafts:
            _tell(draft, batch.source)
        # Shielded: a source that is ended must not cancel what the spool is writing.
        return asyncio.shield(asyncio.wrap_future(future))

    def missing(self, batch: Batch, gone: Iterable[Missing]) -> asyncio.Future[None]:
        """The gaps in ``batch``, of numbers that are ``gone`` from the spool."""
        for stream, mark in gone:
            self._books.drop(str(stream), mark.begin or 0, mark.end or 0)
        return self.put(batch, own=len(batch.items))

    def resume(self, source: str) -> Any:
        """See `Taker`."""
        return self._intake.resume(source)

    def has_room(self) -> bool:
        """See `Taker`."""
        return self._intake.has_room()

    def alive(self, machine: str, until: int) -> None:
        """See `Taker`."""
        self._intake.alive(machine, until)

    def backlog(self) -> int:
        """See `Taker`."""
        return self._backlog()

    def skew(self, source: str, machine: str) -> int | None:
        """See `Taker`."""
        return self._intake.skew(source, machine)

    def stopped(self, lost_after: float) -> int | None:
        """See `Taker`."""
        last = self.last_run
        return last if last is not None and self._clock() - last > lost_after * 1e9 else None

    def recorded_before(self, machine: str) -> int:
        """See `Taker`."""
        return self._intake.ownership.recorded_before(machine, "history")

    def has_heard(self) -> bool:
        """See `Taker`."""
        return self._intake.ownership.is_claimed


def _lost(item: Draft) -> int:
    """How many values a gap says never came, at least; those that had numbers are told as such."""
    is_lost = item.type is Gap and "id" not in item.fields
    return int(item.fields.get("at_least", 0)) if is_lost else 0


def _tell(item: Draft, source: str) -> None:
    fields = item.fields
    if item.type is Gap:
        detail = fields.get("detail") or ("possible" if fields.get("possible") else "")
        kind = fields["of"] if isinstance(fields["of"], str) else fields["of"].kind
        emit(GapFound(item.machine, kind, fields["cause"], detail))
    elif item.type is Quarantined:
        emit(MessageQuarantined(source, fields["where"], fields["reason"]))
    elif item.type is ClockSkew:
        emit(ClockBeyond(source, fields["skew"] / 1e9, fields["within"], (fields.get("step") or 0) / 1e9))
