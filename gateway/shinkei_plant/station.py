"""The flow of parts through one station: waiting, working, blocked, down. Discrete events on the line's clock, no wall clock.

What the work does to a part is in `stations_front` and `stations_back`; what the machine tells is in `machine`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from shinkei_events.model.machine import State
from shinkei_events.model.operation import QualityReading
from shinkei_plant import catalog
from shinkei_plant.catalog import CHARACTERISTIC, MS, S
from shinkei_plant.machine import Machine
from shinkei_plant.parts import Part

if TYPE_CHECKING:
    from shinkei_plant.line import Line

PATIENCE = 3 * S
"""A machine that waits longer than this for a part, or for room, says so."""


class Stop(NamedTuple):
    """Why a station stands still: PackML state, reason, seconds; ``then`` is called when it is over."""

    state: State
    reason: str
    seconds: float
    then: Callable[[int], None] | None = None


class Station:
    """Base of the eight stations; each overrides `work`, some `needs` and `begun`."""

    def __init__(self, line: Line, spec: catalog.Machine) -> None:
        self.line, self.spec, self.name = line, spec, spec.name
        self.random = random.Random(f"{line.seed}/{spec.name}")
        self.machine = Machine(spec, line.now, line.emit, line.at)
        self.queue: deque[Part] = deque()
        self.upstream: Station | None = None
        self.downstream: Station | None = None
        self.part: Part | None = None
        self.started = self.cycle = 0
        self.down = self.blocked = False
        self.pending: list[Stop] = []
        self._waiting: str | None = None
        self._wait = 0
        self._until_stop = self._next_stop()

    # ---- what a station does ---------------------------------------------------------------------------------------------
    def work(self, part: Part, started: int, ended: int) -> Part | None:
        """Do the operation; the part that goes on, or None when nothing does."""
        raise NotImplementedError

    def needs(self, part: Part, time: int) -> Stop | None:
        """A stop that must come before ``part`` is worked on (material, tool)."""
        return None

    def begun(self, part: Part, time: int) -> None:
        """The cycle on ``part`` began."""

    def setup(self, time: int) -> None:
        """Mount what the station begins with."""

    def prepare(self, product: catalog.Product, time: int) -> None:
        """The station is set up for ``product``."""
        self.machine.product, self.machine.recipe = product.name, catalog.recipe(self.name, product)

    def incoming(self, time: int) -> Part | None:
        """The next part, still in its place."""
        return self.queue[0] if self.queue else None

    def take(self, time: int) -> None:
        """The next part leaves its place."""
        self.queue.popleft()

    # ---- flow --------------------------------------------------------------------------------------------------------------
    def wake(self, time: int) -> None:
        """Begin a cycle if the station can."""
        if self.part is not None or self.down:
            return
        if self.pending:
            self._go_down(self.pending.pop(0), time)
            return
        part = self.incoming(time)
        if part is None:
            if self.machine.state not in ("EXECUTE", "SUSPENDED", "IDLE"):
                self.machine.set(time, "IDLE")
            self._wait_for("STARVED", time)
            return
        stop = self._changeover(part) or self.needs(part, time) or self._short_stop()
        if stop is not None:
            self._go_down(stop, time)
            return
        self.take(time)
        self._begin(part, time)
        if self.upstream is not None:
            self.upstream.unblock(time)

    def put(self, part: Part, time: int) -> None:
        """A part arrives in the places before the station."""
        self.queue.append(part)
        self.wake(time)

    def has_room(self) -> bool:
        """Whether another part can arrive."""
        return len(self.queue) < self.spec.buffer

    def unblock(self, time: int) -> None:
        """The next station has room again."""
        if self.blocked:
            self._deliver(time)

    def request(self, stop: Stop, time: int) -> None:
        """Stop as soon as the part in work is finished."""
        self.pending.append(stop)
        self.wake(time)

    def readings(self, product: catalog.Product, time: int, **shifts: float) -> list[QualityReading]:
        """Measure each named characteristic: target + sigma × random + shift."""
        gauss, name = self.random.gauss, self.name
        out = []
        for characteristic, shift in shifts.items():
            entry = CHARACTERISTIC[name, characteristic]
            value = entry.target * (1.0 + entry.by_size * (product.size - 1.0)) + shift + gauss(0.0, entry.sigma)
            out.append(QualityReading(characteristic, round(value, entry.digits), entry.unit, 0, time))
        return out

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _begin(self, part: Part, time: int) -> None:
        self._waiting = None
        self.part, self.started = part, time
        self.cycle = int(self.spec.cycle_s * self.random.uniform(0.97, 1.03) * 1000) * MS
        self.machine.set(time, "EXECUTE")
        self.begun(part, time)
        self.line.at(time + self.cycle, self._finish)

    def _finish(self, time: int) -> None:
        assert self.part is not None
        self.part = self.work(self.part, self.started, time)
        if self.part is None:
            self.wake(time)
        else:
            self._deliver(time)

    def _deliver(self, time: int) -> None:
        assert self.part is not None
        assert self.downstream is not None
        if not self.downstream.has_room():
            if not self.blocked:
                self.blocked = True
                self._wait_for("BLOCKED", time)
            return
        part, self.part, self.blocked, self._waiting = self.part, None, False, None
        self.downstream.put(part, time)
        self.wake(time)

    def _wait_for(self, reason: str, time: int) -> None:
        if self._waiting == reason:
            return
        self._waiting = reason
        self._wait += 1
        self.line.at(time + PATIENCE, lambda now, wait=self._wait: self._say_waiting(now, wait))  # type: ignore[misc]

    def _say_waiting(self, time: int, wait: int) -> None:
        if wait == self._wait and self._waiting is not None and not self.down:
            self.machine.set(time, "SUSPENDED", self._waiting)

    def _go_down(self, stop: Stop, time: int) -> None:
        self.down, self._waiting = True, None
        self.machine.set(time, stop.state, stop.reason)
        self.line.at(time + int(stop.seconds * 1000) * MS, lambda now: self._come_up(stop, now))

    def _come_up(self, stop: Stop, time: int) -> None:
        if stop.then is not None:
            stop.then(time)
        if stop.state == "HELD":
            self._ready(time)
            return
        self.machine.set(time, "RESETTING")
        self.line.at(time + 3 * S, self._ready)

    def _ready(self, time: int) -> None:
        self.down = False
        self.wake(time)

    def _changeover(self, part: Part) -> Stop | None:
        product = part.product
        if self.machine.product == product.name:
            return None
        if self.machine.product is None or not self.spec.changeover_s:
            first = self.machine.product is None
            self.prepare(product, self.line.now)
            if not first:
                self.machine.announce(self.line.now)
            return None
        seconds = self.spec.changeover_s * self.random.uniform(0.85, 1.25)
        return Stop("STOPPED", "changeover", seconds, lambda now: self.prepare(product, now))

    def _short_stop(self) -> Stop | None:
        self._until_stop -= 1
        if self._until_stop > 0:
            return None
        self._until_stop = self._next_stop()
        kinds = self.spec.stops
        kind = self.random.choices(kinds, [kind.weight for kind in kinds])[0]
        seconds = min(max(self.random.expovariate(1.0 / kind.mean_s), 0.4 * kind.mean_s), 3.0 * kind.mean_s)
        return Stop(kind.state, kind.reason, seconds)  # type: ignore[arg-type]

    def _next_stop(self) -> int:
        return 3 + int(self.random.expovariate(1.0 / self.spec.stops_every))
