"""What a machine tells about itself: PackML state with reason, product, recipe, tool, energy, and its cycle counter.

No flow of parts here (`station`). Times are ns UTC of the plant's clock; records go to ``emit`` in time order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from shinkei_events.model.machine import State
from shinkei_plant import catalog
from shinkei_plant.catalog import MS, S
from shinkei_plant.records import EnergyCounter, OperationDone, Record, SetupChange, StateChange

WAITING_DRIVES_STOP = 5 * S
EDGE_GAP = 200 * MS
"""Two operations of one machine end at least this far apart, so that a handshake can tell their edges."""


class Machine:
    """The reporting side of one station."""

    def __init__(
        self,
        spec: catalog.Machine,
        time: int,
        emit: Callable[[Record], None],
        at: Callable[[int, Callable[[int], None]], None],
    ) -> None:
        self.name, self.spec = spec.name, spec
        self._emit, self._at = emit, at
        self.state: State = "IDLE"
        self.reason: str | None = None
        self.product: str | None = None
        self.recipe: str | None = None
        self.tool: str | None = None
        self.since = time
        self.load_before = 0.0
        self.slots: dict[str, str] = {}
        self._mounted: dict[str, SetupChange] = {}
        self.cycles = 0
        self._edge = time
        self._warm, self._warm_at = 0.6, time
        self._kwh, self._kwh_at = 0.0, time

    # ---- state ---------------------------------------------------------------------------------------------------------
    def set(self, time: int, state: State, reason: str | None = None) -> None:
        """Enter ``state``; nothing happens when the machine is in it for the same reason."""
        if state == self.state and reason == self.reason:
            return
        self._settle(time)
        self.load_before = self.load(time)
        self.state, self.reason, self.since = state, reason, time
        self.announce(time)

    def announce(self, time: int) -> None:
        """Tell the state again, for instance with another product."""
        self._emit(StateChange(self.name, time, self.state, self.reason, self.product, self.recipe, self.tool))

    def mount(self, time: int, slot: str, unit: str, unit_type: str, **more: Any) -> None:
        """Mount ``unit`` on ``slot``; what was there is unmounted first."""
        old = self.slots.get(slot)
        if old == unit:
            return
        if old is not None:
            self._emit(SetupChange(self.name, time, slot, old, unit_type, "unmounted", **more))
        self.slots[slot] = unit
        change = self._mounted[slot] = SetupChange(self.name, time, slot, unit, unit_type, "mounted", **more)
        self._emit(change)

    def mounted(self, time: int) -> list[SetupChange]:
        """What is mounted, as changes that are told again at ``time``."""
        return [
            SetupChange(self.name, time, one.slot, one.unit, one.unit_type, "mounted", one.item)
            for one in self._mounted.values()
        ]

    # ---- energy, load and warmth -----------------------------------------------------------------------------------------
    def load(self, time: int) -> float:
        """0 at rest … 1 executing; reached with a time constant of 0.6 s. Who waits for parts stops its drives after 5 s."""
        goal = 1.0 if self.state == "EXECUTE" else 0.0
        ago = time - self.since
        if self.state == "SUSPENDED":
            ago = max(ago - WAITING_DRIVES_STOP, 0)
        return goal if ago > 6 * S else goal + (self.load_before - goal) * math.exp(-ago / (0.6 * S))

    def warmth(self, time: int) -> float:
        """0 cold … 1 after long running; follows the load with a time constant of 4 min."""
        goal = 1.0 if self.state == "EXECUTE" else 0.0
        return goal + (self._warm - goal) * math.exp(-(time - self._warm_at) / (240 * S))

    def energy(self, time: int) -> EnergyCounter:
        """The electricity counter at ``time``, kWh."""
        self._settle(time)
        return EnergyCounter(self.name, time, "electricity", round(self._kwh, 4), "kWh")

    def _settle(self, time: int) -> None:
        power = self.spec.run_kw if self.state == "EXECUTE" else self.spec.idle_kw
        self._kwh += power * (time - self._kwh_at) / (3600 * S)
        self._warm, self._warm_at, self._kwh_at = self.warmth(time), time, time

    # ---- operations ----------------------------------------------------------------------------------------------------
    def operation(self, now: int, started: int, kind: Any, **fields: Any) -> None:
        """Emit an operation that ended ``now``, or as soon after as the last edge allows."""
        ended = max(now, self._edge + EDGE_GAP)
        self._edge = ended
        self.cycles += 1
        done = OperationDone(kind=kind, station=self.name, started=started, ended=ended, counter=self.cycles, **fields)
        if ended == now:
            self._emit(done)
        else:
            self._at(ended, lambda _time: self._emit(done))
