"""What one node of a machine says becomes a reading, an event, or a record of why it could not be understood. Pure.

Called by `translate`, which knows what is a repeat and what may be missing; adds to a `Taken`, raises nothing for what a server may send.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.numbered import ClockSkew
from shinkei_gateway.clock_watch import ClockWatch
from shinkei_gateway.gap import NEVER, ChannelSpan
from shinkei_gateway.handshake import OPERATION
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.machine_json import EnergySaid, energy_draft, no_data_draft, setup_draft, state_draft
from shinkei_gateway.offered import ReadingColumns
from shinkei_gateway.opcua.cycles import Cycles
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.sample import Sample
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.quality import BAD, BAD_DECODING, clean
from shinkei_gateway.quarantine import quarantined, refused
from shinkei_gateway.setup import Slots
from shinkei_gateway.source_time import is_of_now
from shinkei_gateway.state import COMPANIONS, Change, MachineState


@dataclass(slots=True)
class Taken:
    """What one message became, that was ``sent`` (server's clock) and ``received`` then. ``live``: its newest source time that is of now, ``far``: that is not; ``own`` of ``items`` are the gateway's own words."""

    received: int
    now: int
    sent: int | None = None
    items: list[Reading | Draft] = field(default_factory=list)
    columns: ReadingColumns | None = None
    gaps: list[Draft] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    live: int = NEVER
    far: int = NEVER
    gone: list[int] = field(default_factory=list)
    unproven: list[ChannelSpan] = field(default_factory=list)
    events: list[ChannelSpan] = field(default_factory=list)
    overflow: list[ChannelSpan] = field(default_factory=list)
    events_overflow: list[ChannelSpan] = field(default_factory=list)
    repeats: int = 0
    own: int = 0


class Sayings:
    """Of one source. ``skew``: its machine's clock skew that was told before a restart, or None."""

    def __init__(self, name: str, source: OpcuaSource, cycles: Cycles, skew: int | None) -> None:
        self._name, self._source, self._cycles = name, source, cycles
        self._machine = source.machine
        self._state = MachineState(source.state.map if source.state is not None else {})
        self._slots = Slots(source.setup)
        self._clock = ClockWatch(int(source.clock_limit * 1_000_000_000), told=skew)

    @property
    def skew(self) -> int:
        """The clock's skew as last worked out, ns."""
        return self._clock.skew

    # ---- one value -----------------------------------------------------------------------------------------------------
    def signal(self, item: Item, sample: Sample, time: int, take: Taken) -> None:
        """A reading, and its copy in quarantine when it is none."""
        value, status = (None, BAD_DECODING) if sample.error is not None else (sample.value, sample.status)
        server = sample.server_time if sample.server_time != time else None
        reading, copy = clean(Reading(self._machine, item.name, time, value, status, take.received, server), self._name)
        take.items.append(reading)
        if copy is not None:
            take.items.append(copy)
        take.own += (copy is not None) + (sample.error is not None)

    def fact(self, item: Item, sample: Sample, time: int, repeat: bool, take: Taken, since: int | None = None) -> None:
        """What a state, a set-up, a counter or a node of a handshake says; ``since`` when something before it may be missing, or None."""
        is_bad = sample.status >= BAD
        if item.role == "state":
            if item.name == "state" and is_bad:
                take.changes.append(Change("state", time, "NO_DATA"))  # the server itself has lost the machine
            elif sample.value is not None or (item.name in COMPANIONS and not is_bad):  # Null: there is none
                take.changes.append(Change(item.name, time, sample.value))
        elif item.role == "cycle" and (sample.value is not None or (is_bad and item.name != OPERATION)):
            self._cycles.value(item, sample, time)
        elif is_bad or sample.value is None:
            return  # never written, or worth nothing
        elif item.role == "trigger":
            self._cycles.trigger(item, sample.value, time, take.now, since)
        elif not repeat:
            self._setup_or_energy(item, sample, time, take)

    def _setup_or_energy(self, item: Item, sample: Sample, time: int, take: Taken) -> None:
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

    def quarantine(self, where: str, raw: bytes, reason: str, take: Taken, **more: Any) -> None:
        """The bytes of what nobody can read."""
        more["content_type"] = "application/octet-stream"
        take.items.append(quarantined(self._name, self._machine, where, raw, reason, take.received, **more))

    def _refused(self, where: str, value: Any, error: BadInput, time: int, take: Taken) -> Draft:
        raw = str(value).encode()
        return refused(self._name, self._machine, where, raw, error, take.received, "text/plain", time)

    # ---- a whole message -------------------------------------------------------------------------------------------------
    def states(self, take: Taken, newest: int | None, is_back: bool) -> None:
        """What the changes of a message say together; ``is_back``: of a subscription that went on, which proves that nothing was between."""
        told, bad = self._state.take(take.changes, newest or take.received, 0 if is_back else take.received)
        take.items += [state_draft(self._machine, said, take.received) for said in told]
        if is_back and (again := self.back(newest, take.received)) is not None:
            take.items.append(again)
            take.own += 1
        take.items += [
            self._refused(f"state.{change.role}", change.value, error, change.time, take) for change, error in bad
        ]

    def skewed(self, take: Taken) -> bool:
        """The machine's clock against ours; whether it was set: back, or to where nothing is of now."""
        newest = take.live if take.live != NEVER else take.far
        found = self._clock.sample(newest, take.received) if newest != NEVER else None
        if found is not None:
            limit = int(self._source.clock_limit * 1_000_000_000)
            fields = {
                "source": self._name,
                "skew": found.skew,
                "limit": limit,
                "within": found.within,
                "step": found.step,
            }
            take.items.append(Draft(self._machine, take.received, take.received, ClockSkew, fields))
            take.own += 1
        if found is None or (found.step is None and is_of_now(newest, take.received)):
            return False
        self._state.clock_set(newest)
        return True

    # ---- the machine's state without a message -------------------------------------------------------------------------------
    def back(self, newest: int | None, received: int) -> Draft | None:
        """What did not change while the machine was away holds; None when it was not away."""
        said = self._state.back(newest or received)
        return None if said is None else state_draft(self._machine, said, received)

    def away(self, time: int, received: int) -> Draft | None:
        """NO_DATA from ``time`` on; None when that is told already."""
        if self._source.state is None or not self._state.lost(time):
            return None
        return no_data_draft(self._machine, time, received)

    # ---- over a restart --------------------------------------------------------------------------------------------------
    def restore(self, known: dict[str, Any], now: int | None) -> None:
        """Go on from a resume state; ``now``: see `MachineState.restore`."""
        self._state.restore(known["state"], now)
        self._slots.restore(known["slots"])

    def resume(self) -> dict[str, Any]:
        """Its part of the resume state."""
        return {"state": self._state.state(), "slots": self._slots.state()}
