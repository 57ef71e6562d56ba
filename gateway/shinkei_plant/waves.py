"""What a sensor shows at a moment: a pure function of seed, time and the state of its machine, whatever the sampling.

So the live line at 10 Hz and its history at one value per 10 s show the same process, and processes that serve different machines of
the same line agree. Noise is hashed from (seed, signal, millisecond), never drawn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from shinkei_plant.catalog import MS, PRODUCT, S, Signal

if TYPE_CHECKING:
    from shinkei_plant.line import Line

_MASK = (1 << 64) - 1
_table = random.Random("gauss")
_GAUSS = tuple(_table.gauss(0.0, 1.0) for _ in range(4096))
_WANDER_NS = 75 * S

Shift = Callable[["Line", int], float]


def _hashed(key: int) -> float:
    """A standard normal value that belongs to ``key`` (splitmix64, then a table)."""
    key = (key + 0x9E3779B97F4A7C15) & _MASK
    key = ((key ^ key >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    key = ((key ^ key >> 27) * 0x94D049BB133111EB) & _MASK
    return _GAUSS[key >> 52]


class Wave:
    """One signal's generator; keeps nothing but a cache."""

    def __init__(self, line: Line, spec: Signal) -> None:
        self.line, self.spec, self.key = line, spec, (spec.machine, spec.name)
        self.station = line.stations[spec.machine]
        self.salt = random.Random(f"{line.seed}/{spec.machine}/{spec.name}").getrandbits(64)
        self.shift = SHIFTS.get(self.key)
        self._slot, self._from, self._to = -1, 0.0, 0.0

    def value(self, time: int) -> float:
        """The value at ``time`` (ns UTC), rounded as the sensor does."""
        if self.line.stuck and self.key in self.line.stuck:
            return self.line.stuck[self.key]
        spec, machine = self.spec, self.station.machine
        load = machine.load(time)
        level = machine.warmth(time) if spec.slow else load
        size = PRODUCT[machine.product].size if machine.product else 1.0
        run = spec.run * (1.0 + spec.by_size * (size - 1.0))
        value = spec.idle + (run - spec.idle) * level
        if load > 0.0:
            value += spec.swing * load * self._phase(time)
        if self.shift is not None:
            value += self.shift(self.line, time) * load
        value += spec.wander * self._wander(time) * (0.3 + 0.7 * load)
        noise = spec.noise * _hashed(self.salt ^ (time // MS)) * (0.25 + 0.75 * load)
        if self.line.noisy:
            noise *= self.line.noisy.get(self.key, 1.0)
        return round(value + noise, spec.digits)

    def _phase(self, time: int) -> float:
        """The cycle's shape: a sine from its begin to its end, 0 between two parts."""
        station = self.station
        if station.part is None or station.cycle == 0:
            return 0.0
        return math.sin(math.tau * min((time - station.started) / station.cycle, 1.0))

    def _wander(self, time: int) -> float:
        """A slow walk: straight lines between hashed points 75 s apart."""
        slot, part = divmod(time, _WANDER_NS)
        if slot != self._slot:
            self._slot, self._from, self._to = (
                slot,
                _hashed(~self.salt & _MASK ^ slot),
                _hashed(~self.salt & _MASK ^ (slot + 1)),
            )
        return self._from + (self._to - self._from) * part / _WANDER_NS


def _wear(gain: float) -> Shift:
    return lambda line, time: gain * line.machining.wear(time)


def _torque(gain: float, wrong: float) -> Shift:
    def shift(line: Line, time: int) -> float:
        trouble = line.active("wrong_program")
        return gain * line.machining.wear(time) + (wrong * trouble.strength if trouble else 0.0)

    return shift


def _coolant(line: Line, time: int) -> float:
    trouble = line.active("coolant_leak")
    return 9.0 * trouble.strength * trouble.ramp(time) if trouble else 0.0


def _press(gain: float) -> Shift:
    def shift(line: Line, time: int) -> float:
        lot = line.press.bearings.lot
        return gain * (line.press.drift(time) - (1.15 * lot.trouble.strength if lot.trouble else 0.0))

    return shift


def _leak(line: Line, time: int) -> float:
    return line.leak_test.offset()


def _rough(gain: float) -> Shift:
    def shift(line: Line, time: int) -> float:
        part = line.stations["OP70"].part
        return gain * part.roughness if part is not None else 0.0

    return shift


SHIFTS: dict[tuple[str, str], Shift] = {
    ("OP20", "torque"): _torque(2.6, -3.4),
    ("OP20", "vibration"): _wear(0.9),
    ("OP20", "spindle_current"): _torque(1.4, 2.1),
    ("OP20", "coolant_temperature"): _coolant,
    ("OP40", "press_force"): _press(1.0),
    ("OP40", "hydraulic_pressure"): _press(8.0),
    ("OP60", "leak_flow"): _leak,
    ("OP70", "motor_current"): _rough(0.25),
    ("OP70", "vibration"): _rough(1.0),
}
"""How the condition of tool, lot, program, press, tester and part moves a signal away from its level while the machine runs."""
