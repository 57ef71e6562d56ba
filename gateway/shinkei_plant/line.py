"""The pump line as a pure discrete-event simulation on its own clock: same seed and origin, same records, for ever.

No wall clock, no sockets. `play` yields plain records in time order; signals are sampled on a grid that the caller chooses and that
changes nothing else, so a process may serve some machines, and the live line goes on exactly where its history ended.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator

from shinkei_events.model.order import Shipment, WorkOrder
from shinkei_plant import faults
from shinkei_plant.catalog import MACHINE, MACHINES, MS, SIGNALS, S
from shinkei_plant.faults import FAULTS, Planned, Trouble, Watch
from shinkei_plant.orders import Orders
from shinkei_plant.parts import Serials
from shinkei_plant.records import Document, Record, SignalSample
from shinkei_plant.station import Station
from shinkei_plant.stations_back import EndOfLine, LeakTest, MotorAssembly, Packing
from shinkei_plant.stations_front import Casting, Machining, PressFit, Washing
from shinkei_plant.waves import Wave

ENERGY_EVERY = 60 * S
LIVE_GRID = 100 * MS
HISTORY_GRID = 10 * S


class Line:
    """Eight stations from ``origin`` (ns UTC, whole seconds) on; troubles are planted relative to ``start`` (default: origin)."""

    def __init__(
        self,
        seed: int,
        origin: int,
        *,
        start: int | None = None,
        troubles: Iterable[Planned] = (),
        watch: Watch | None = None,
    ) -> None:
        self.seed, self.origin = seed, origin // S * S
        self.start = self.origin if start is None else start // S * S
        self.now = self.reached = self.origin
        self.stuck: dict[tuple[str, str], float] = {}
        self.noisy: dict[tuple[str, str], float] = {}
        self.serials = Serials(self.origin)
        self.orders = Orders(seed, self.serials, self.write)
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self._out: list[Record] = []
        self._active: dict[str, Trouble] = {}
        self._watch = watch or Watch()
        self.casting, self.machining, self.press = (
            Casting(self, MACHINE["OP10"]),
            Machining(self, MACHINE["OP20"]),
            PressFit(self, MACHINE["OP40"]),
        )
        self.leak_test = LeakTest(self, MACHINE["OP60"])
        self.stations: dict[str, Station] = {
            "OP10": self.casting, "OP20": self.machining, "OP30": Washing(self, MACHINE["OP30"]), "OP40": self.press,
            "OP50": MotorAssembly(self, MACHINE["OP50"]), "OP60": self.leak_test, "OP70": EndOfLine(self, MACHINE["OP70"]),
            "OP80": Packing(self, MACHINE["OP80"]),
        }  # fmt: skip
        self.waves = {(spec.machine, spec.name): Wave(self, spec) for spec in SIGNALS}
        self._plan(troubles)
        self.at(self.origin, self._open)

    # ---- for who plays it ------------------------------------------------------------------------------------------------
    def play(self, until: int, grid: int = 0, machines: frozenset[str] | None = None) -> Iterator[Record]:
        """Everything after `reached` up to ``until`` (ns UTC), in time order; exhaust it before the next call.

        ``grid`` (ns, a multiple of 100 ms; 0: no signals): when signals are looked at, each at most as often as its own period.
        ``machines``: whose signals (None: all); events of all machines always come.
        """
        tick = (self.reached // grid + 1) * grid if grid else until + 1
        heap, out = self._heap, self._out
        while True:
            time = heap[0][0] if heap else until + 1
            if time > until and tick > until:
                break
            if time <= tick:
                self.now = time
                heapq.heappop(heap)[2](time)
                if out:
                    yield from out
                    out.clear()
                continue
            yield from self._sample(tick, machines)
            tick += grid
        self.reached = until

    def value(self, machine: str, signal: str, time: int) -> float:
        """What the sensor shows at ``time``, which must be in the present of the line."""
        return self.waves[machine, signal].value(time)

    def active(self, name: str) -> Trouble | None:
        """The trouble ``name`` while it lasts."""
        return self._active.get(name) if self._active else None

    # ---- for stations and troubles -----------------------------------------------------------------------------------------
    def at(self, time: int, what: Callable[[int], None]) -> None:
        """Call ``what`` at ``time``; what is due at one moment comes in the order it was asked for."""
        self._sequence += 1
        heapq.heappush(self._heap, (time, self._sequence, what))

    def emit(self, record: Record) -> None:
        """A machine said something."""
        self._out.append(record)

    def write(self, document: WorkOrder | Shipment) -> None:
        """MES or ERP wrote something."""
        self._out.append(Document(self.now, document))

    def finish(self, trouble: Trouble, time: int) -> None:
        """A trouble is over; once."""
        if self._active.get(trouble.kind.name) is trouble:
            del self._active[trouble.kind.name]
            faults.end(self, trouble, time)
            self._watch.ended(trouble, time)

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _open(self, time: int) -> None:
        row = list(self.stations.values())
        for left, right in itertools.pairwise(row):
            left.downstream, right.upstream = right, left
        for station in row:
            station.setup(time)
            station.machine.announce(time)
        for machine in MACHINES:
            self.at(time + ENERGY_EVERY, lambda now, name=machine.name: self._count_energy(name, now))  # type: ignore[misc]
        for station in row:
            station.wake(time)

    def _count_energy(self, name: str, time: int) -> None:
        self.emit(self.stations[name].machine.energy(time))
        self.at(time + ENERGY_EVERY, lambda now: self._count_energy(name, now))

    def _plan(self, troubles: Iterable[Planned]) -> None:
        for number, planned in enumerate(sorted(troubles, key=lambda one: one.seconds), 1):
            time = self.start + int(planned.seconds * 1000) * MS
            if time > self.origin:
                self.at(time, lambda now, planned=planned, number=number: self._begin(planned, number, now))  # type: ignore[misc]

    def _begin(self, planned: Planned, number: int, time: int) -> None:
        if planned.name == "tool_wear" and not self.machining.half_used:
            self.at(time + 20 * S, lambda now: self._begin(planned, number, now))
            return
        before = self._active.get(planned.name)
        if before is not None:
            self.finish(before, time)
        trouble = Trouble(f"{planned.name}#{number}", FAULTS[planned.name], time, planned.strength, self._watch)
        self._active[planned.name] = trouble
        self._watch.began(trouble)
        faults.begin(self, trouble, time)

    def _sample(self, tick: int, machines: frozenset[str] | None) -> Iterator[Record]:
        ms = tick // MS
        for wave in self.waves.values():
            spec = wave.spec
            if ms % spec.period_ms == 0 and (machines is None or spec.machine in machines):
                yield SignalSample(spec.machine, spec.name, tick, wave.value(tick))
