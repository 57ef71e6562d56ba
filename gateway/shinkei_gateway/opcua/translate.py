"""Notifications of one machine into readings and events. Pure: samples and times in, drafts and a resume state out.

Knows no connection: `source` calls `take` for every notification message, `idle` while none comes, `interrupted` after a cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shinkei_events.errors import BadField, BadInput
from shinkei_events.identity import Kind
from shinkei_events.model.numbered import ClockSkew
from shinkei_gateway.clock_watch import ClockWatch
from shinkei_gateway.gap import Break, Continuity, breaks
from shinkei_gateway.handshake import OPERATION
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.machine_json import EnergySaid, energy_draft, no_data_draft, setup_draft, state_draft
from shinkei_gateway.opcua.cycles import Cycles
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.sample import Sample
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.quality import BAD, BAD_DECODING, clean, is_overflow
from shinkei_gateway.quarantine import quarantined, refused
from shinkei_gateway.setup import Slots
from shinkei_gateway.state import Change, MachineState

_SECOND = 1_000_000_000
Span = tuple[int, int]


class Translated(NamedTuple):
    """``gaps`` go to the spool first, then ``items`` with ``resume``. ``repeats``: values known already; ``own``: what the gateway itself says."""

    gaps: list[Draft]
    items: list[Reading | Draft]
    resume: dict[str, Any]
    repeats: int
    own: int


@dataclass(slots=True)
class _Take:
    """One message on its way through."""

    received: int
    now: int
    items: list[Reading | Draft] = field(default_factory=list)
    gaps: list[Draft] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    live: list[int] = field(default_factory=list)
    unproven: dict[str, Span] = field(default_factory=dict)
    events: dict[str, Span] = field(default_factory=dict)
    overflow: dict[str, Span] = field(default_factory=dict)
    repeats: int = 0
    own: int = 0


class Translator:
    """One source. ``resume``: its last durable resume state; ``now``: any monotonic ns (handshake time-outs only); ``skew``: told before."""

    def __init__(
        self,
        name: str,
        source: OpcuaSource,
        items: list[Item],
        resume: dict[str, Any] | None,
        now: int,
        skew: int | None = None,
    ) -> None:
        self._name, self._source, self._items = name, source, items
        self._machine = source.machine
        known = resume or {}
        self._continuity = Continuity([item.channel for item in items], known.get("last"))
        self._cause = "gateway_down"
        self._state = MachineState(source.state.map if source.state is not None else {})
        self._slots = Slots(source.setup)
        self._clock = ClockWatch(int(source.clock_limit * _SECOND), told=skew)
        self._cycles = Cycles(name, source, items)
        self._signals = sum(item.role == "signal" for item in items)
        if known:
            self._restore(known, now)

    def _restore(self, known: dict[str, Any], now: int) -> None:
        self._state.restore(known["state"])
        self._slots.restore(known["slots"])
        self._cycles.restore(known["handshakes"], now)

    @property
    def newest(self) -> int | None:
        """The newest source time seen."""
        return self._continuity.newest

    @property
    def skew(self) -> int:
        """The clock's skew as last worked out, ns."""
        return self._clock.skew

    # ---- what happens ------------------------------------------------------------------------------------------------
    def interrupted(self, cause: str) -> None:
        """The connection was lost for ``cause``; what comes next must prove that nothing is missing."""
        self._cause = cause
        self._continuity.interrupted()
        self._cycles.disconnected(cause)

    def away(self, received: int) -> Draft | None:
        """The machine was away for too long: NO_DATA from the last thing it said on. None when that is told already."""
        time = self._continuity.newest or received
        if self._source.state is None or not self._state.lost(time):
            return None
        return no_data_draft(self._machine, time, received)

    def hole(self, cause: str, received: int, detail: str) -> list[Draft]:
        """A notification message is missing and cannot be had again: it may have held readings and events."""
        since = self._continuity.newest or received
        until = max(since, received)
        kinds: tuple[Kind, ...] = ("signals", "production")
        return [
            gap(self._machine, cause, since, until, received, at_least=1, detail=detail, kind=kind) for kind in kinds
        ]

    def take(self, samples: list[tuple[Item, Sample]], received: int, now: int) -> Translated:
        """All samples of one notification message, in the order sent."""
        take = _Take(received, now)
        for item, sample in samples:
            self._sample(item, sample, take)
        self._states(take)
        self._skew(take)
        self._finish(take)
        return self._result(take)

    def idle(self, received: int, now: int) -> Translated | None:
        """Edges that have waited long enough; None when there is none."""
        take = _Take(received, now)
        self._finish(take)
        return self._result(take) if take.items or take.gaps else None

    def to_read(self, now: int) -> list[Item]:
        """Nodes to read once for edges that miss values; give the answers to `answer`."""
        return self._cycles.to_read(now)

    def answer(self, item: Item, sample: Sample) -> None:
        """A node that was read."""
        if sample.source_time is not None and sample.value is not None and sample.error is None:
            self._cycles.answer(item, sample, sample.source_time)

    def resume(self) -> dict[str, Any]:
        """What must be durable with the values."""
        return {
            "last": self._continuity.state(),
            "state": self._state.state(),
            "slots": self._slots.state(),
            "handshakes": self._cycles.state(),
        }

    # ---- one sample --------------------------------------------------------------------------------------------------
    def _sample(self, item: Item, sample: Sample, take: _Take) -> None:
        time = sample.source_time if sample.source_time is not None else (sample.server_time or take.received)
        last = self._continuity.last(item.channel)
        repeat, since = self._continuity.seen(item.channel, time)
        take.repeats += repeat
        if since is not None and sample.value is not None:
            self._unproven(item, sample, (since, time if time > since else take.received), take)
        elif last is not None and not repeat:
            take.live.append(time)
        if is_overflow(sample.status) and not repeat:
            take.overflow[item.channel] = (min(last or time, time), time)
        if sample.error is not None:
            raw = str(sample.value).encode()
            take.items.append(
                quarantined(
                    self._name, self._machine, item.node, raw, sample.error, take.received, path="$.value", time=time
                )
            )
        if item.role == "signal":
            if not repeat:
                self._signal(item, sample, time, take)
        elif sample.error is None:
            self._fact(item, sample, time, repeat, take)

    def _unproven(self, item: Item, sample: Sample, span: Span, take: _Take) -> None:
        if item.role == "signal":
            take.unproven[item.channel] = span
        elif item.role in ("state", "setup") or (
            item.role == "trigger" and not self._cycles.counts_on(item, sample.value)
        ):
            take.events[item.channel] = span

    def _signal(self, item: Item, sample: Sample, time: int, take: _Take) -> None:
        value, status = (None, BAD_DECODING) if sample.error is not None else (sample.value, sample.status)
        server = sample.server_time if sample.server_time != time else None
        reading, copy = clean(Reading(self._machine, item.name, time, value, status, take.received, server), self._name)
        take.items.append(reading)
        if copy is not None:
            take.items.append(copy)
        take.own += (copy is not None) + (sample.error is not None)

    def _fact(self, item: Item, sample: Sample, time: int, repeat: bool, take: _Take) -> None:
        is_bad = sample.status >= BAD
        if item.role == "state":
            if item.name == "state" and is_bad:
                take.changes.append(Change("state", time, "NO_DATA"))  # the server itself has lost the machine
            elif sample.value is not None:
                take.changes.append(Change(item.name, time, sample.value))
        elif item.role == "cycle" and (sample.value is not None or (is_bad and item.name != OPERATION)):
            self._cycles.value(item, sample, time)
        elif is_bad or sample.value is None:
            return  # never written, or worth nothing
        elif item.role == "trigger":
            self._cycles.trigger(item, sample.value, time, take.now)
        elif not repeat:
            self._setup_or_energy(item, sample, time, take)

    def _setup_or_energy(self, item: Item, sample: Sample, time: int, take: _Take) -> None:
        try:
            if item.role == "setup":
                told = self._slots.take(item.name, time, sample.value)
                take.items += [setup_draft(self._machine, said, take.received) for said in told]
                return
            node = self._source.energy_nodes()[int(item.name)]
            if isinstance(sample.value, bool) or not isinstance(sample.value, int | float):
                raise BadField("$.value", sample.value, "a number")
            said = EnergySaid(medium=node.medium, value=float(sample.value), unit=node.unit)
            take.items.append(energy_draft(self._machine, said, take.received, time))
        except BadInput as error:
            take.items.append(self._refused(item.node, sample.value, error, time, take))

    def _refused(self, where: str, value: Any, error: BadInput, time: int, take: _Take) -> Draft:
        raw = str(value).encode()
        return refused(self._name, self._machine, where, raw, error, take.received, "text/plain", time)

    # ---- a whole message -----------------------------------------------------------------------------------------------
    def _states(self, take: _Take) -> None:
        told, bad = self._state.take(take.changes, self._continuity.newest or take.received)
        take.items += [state_draft(self._machine, said, take.received) for said in told]
        take.items += [
            self._refused(f"state.{change.role}", change.value, error, change.time, take) for change, error in bad
        ]

    def _skew(self, take: _Take) -> None:
        found = self._clock.sample(max(take.live), take.received) if take.live else None
        if found is not None:
            limit = int(self._source.clock_limit * _SECOND)
            fields = {
                "source": self._name,
                "skew": found.skew,
                "limit": limit,
                "within": found.within,
                "step": found.step,
            }
            take.items.append(Draft(self._machine, take.received, take.received, ClockSkew, fields))
            take.own += 1

    def _finish(self, take: _Take) -> None:
        items, gaps = self._cycles.finish(take.received, take.now)
        take.items += items
        take.gaps += gaps

    def _result(self, take: _Take) -> Translated:
        gaps = list(take.gaps)
        if (found := breaks(take.unproven, self._signals)) is not None:
            channels = [] if found.whole else found.channels
            gaps.append(self._gap(self._cause, found, take, channels=channels, possible=True))
        if (found := breaks(take.events, 0)) is not None:
            gaps.append(self._gap(self._cause, found, take, channels=found.channels, possible=True, kind="production"))
        if (found := breaks(take.overflow, 0)) is not None:
            gaps.append(self._gap("overflow", found, take, channels=found.channels, at_least=len(found.channels)))
        return Translated(gaps, take.items, self.resume(), take.repeats, take.own + len(gaps))

    def _gap(self, cause: str, found: Break, take: _Take, **more: Any) -> Draft:
        return gap(self._machine, cause, found.t_from, found.t_to, take.received, **more)
