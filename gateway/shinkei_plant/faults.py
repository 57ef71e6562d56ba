"""Planted troubles by name: what each one does to the line, and what a correct answer to it is.

The effect on parts sits in the stations and on signals in `waves` (both ask ``line.active(name)``); here is when a trouble begins and
ends, and the declared truth. Nothing here is ever told to the gateway.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from shinkei_events.errors import BadConfig
from shinkei_plant.catalog import MS, S
from shinkei_plant.station import Stop

if TYPE_CHECKING:
    from shinkei_plant.line import Line

Answer = Literal["parts", "no_part", "undetermined"]


class Kind(NamedTuple):
    """A trouble. ``seconds``: how long it lasts (0: until what it hit is used up); ``ramp_s``: how fast it grows.

    ``answer``: exactly these parts and the cause; no part (only a sensor, or a machine, is concerned); or undetermined because of a gap.
    ``cause``: kind of thing that is the cause.
    """

    name: str
    machine: str
    answer: Answer
    cause: str
    seconds: float
    ramp_s: float
    channel: str | None = None


FAULTS = {
    kind.name: kind
    for kind in (
        Kind("bad_bearing_lot", "OP40", "parts", "supplier_lot", 0, 0),
        Kind("tool_wear", "OP20", "parts", "tool", 0, 200),
        Kind("press_drift", "OP40", "parts", "machine", 240, 80),
        Kind("leak_tester_offset", "OP60", "parts", "measuring_device", 240, 0),
        Kind("coolant_leak", "OP20", "parts", "machine", 220, 180),
        Kind("wrong_program", "OP20", "parts", "program", 0, 0),
        Kind("sensor_stuck", "OP20", "no_part", "sensor", 240, 0, "vibration"),
        Kind("sensor_noise", "OP40", "no_part", "sensor", 200, 0, "hydraulic_pressure"),
        Kind("chatter", "OP50", "no_part", "machine", 45, 0),
        Kind("network_cut", "OP40", "undetermined", "gap", 40, 0),
        Kind("breakdown", "OP50", "no_part", "machine", 0, 0),
    )
}
"""All troubles by name; ``breakdown`` is an ordinary stop of a machine, long enough to be seen."""

BAD_LOT_PARTS = 96
MOST_SECONDS = 30 * 86400.0
"""How far from the line's start a trouble can be planted; NaN and infinity are no moment."""

_TOGGLE_MS = 1400


class Planned(NamedTuple):
    """Plant ``name`` at ``seconds`` after the line's start (negative: in its history).

    ``tool_wear`` begins from then on as soon as a tool is neither new nor nearly used up.
    """

    name: str
    seconds: float
    strength: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Planned:
        """``NAME@SECONDS`` or ``NAME@SECONDS:STRENGTH``; raises `BadConfig`."""
        name, at, rest = text.partition("@")
        seconds, _, strength = rest.partition(":")
        if name not in FAULTS:
            raise BadConfig("fault", text, f"unknown fault; known are {', '.join(sorted(FAULTS))}")
        try:
            planned = cls(name, float(seconds), float(strength or 1.0))
        except ValueError:
            planned = cls(name, 0.0, 0.0)
        if not at or not 0.0 < planned.strength <= 10.0 or not abs(planned.seconds) <= MOST_SECONDS:
            raise BadConfig(
                "fault",
                text,
                f"expected NAME@SECONDS or NAME@SECONDS:STRENGTH, up to {MOST_SECONDS:g} s, strength above 0 up to 10",
            )
        return planned


class Trouble:
    """One planted trouble while it lasts. ``watch`` is told each part it truly affects, and the cause when it is known."""

    def __init__(self, id: str, kind: Kind, start: int, strength: float, watch: Watch) -> None:
        self.id, self.kind, self.start, self.strength, self._watch = id, kind, start, strength, watch

    def ramp(self, time: int) -> float:
        """0 at the start … 1 after the time in which it grows."""
        if self.kind.ramp_s <= 0:
            return 1.0
        return min(max((time - self.start) / (self.kind.ramp_s * S), 0.0), 1.0)

    def hit(self, unit: str) -> None:
        """``unit`` is affected."""
        self._watch.hit(self, unit)

    def found(self, cause: str) -> None:
        """The cause is the thing with the id ``cause``."""
        self._watch.cause(self, cause)


class Watch:
    """Who wants to know about troubles; the base wants nothing."""

    def began(self, trouble: Trouble) -> None:
        """A trouble began."""

    def ended(self, trouble: Trouble, time: int) -> None:
        """It ended (parts that are already affected stay so)."""

    def hit(self, trouble: Trouble, unit: str) -> None:
        """It affected ``unit``."""

    def cause(self, trouble: Trouble, cause: str) -> None:
        """Its cause has the id ``cause``."""


def begin(line: Line, trouble: Trouble, time: int) -> None:
    """What happens at the moment a trouble starts."""
    kind = trouble.kind
    starter = _STARTERS.get(kind.name)
    if starter is not None:
        starter(line, trouble, time)
    else:
        trouble.found(kind.machine if kind.channel is None else f"{kind.machine}/{kind.channel}")
    if kind.seconds:
        line.at(time + int(kind.seconds * 1000) * MS, lambda now: line.finish(trouble, now))


def end(line: Line, trouble: Trouble, time: int) -> None:
    """What happens when it is over."""
    match trouble.kind.name:
        case "coolant_leak":
            line.machining.request(Stop("ABORTED", "coolant_low", 110.0), time)
        case "wrong_program":
            line.machining.reload(time)
        case "sensor_stuck":
            line.stuck.pop(("OP20", "vibration"), None)
        case "sensor_noise":
            line.noisy.pop(("OP40", "hydraulic_pressure"), None)
        case _:
            pass


def _bad_lot(line: Line, trouble: Trouble, time: int) -> None:
    line.press.bearings.plant(trouble, BAD_LOT_PARTS)


def _tool(line: Line, trouble: Trouble, time: int) -> None:
    """Ends with the tool: the operator changes it after 5 min at the latest."""
    trouble.found(line.machining.machine.tool or "")

    def change(now: int) -> None:
        line.machining.worn_out = line.active("tool_wear") is trouble

    line.at(time + 300 * S, change)


def _program(line: Line, trouble: Trouble, time: int) -> None:
    """Ends when somebody stops the machine and loads the right one, or when the next product happens to need this one."""
    trouble.found(line.machining.load_wrong(time))

    def correct(now: int) -> None:
        if line.active("wrong_program") is trouble:
            line.machining.request(Stop("STOPPED", "wrong_program", 25.0, lambda then: line.finish(trouble, then)), now)

    line.at(time + 110 * S, correct)


def _stuck(line: Line, trouble: Trouble, time: int) -> None:
    line.stuck["OP20", "vibration"] = line.value("OP20", "vibration", time)
    trouble.found("OP20/vibration")


def _noise(line: Line, trouble: Trouble, time: int) -> None:
    line.noisy["OP40", "hydraulic_pressure"] = 7.0 * trouble.strength
    trouble.found("OP40/hydraulic_pressure")


def _chatter(line: Line, trouble: Trouble, time: int) -> None:
    trouble.found("OP50")
    rng = random.Random(f"{line.seed}/{trouble.id}")
    machine = line.stations["OP50"].machine

    def toggle(now: int) -> None:
        over = line.active("chatter") is not trouble
        if machine.reason == "guard_open":
            machine.set(now, "EXECUTE")
        elif not over and machine.state == "EXECUTE":
            machine.set(now, "HELD", "guard_open")
        if not over or machine.reason == "guard_open":
            line.at(now + rng.randrange(_TOGGLE_MS // 2, _TOGGLE_MS) * MS, toggle)

    toggle(time)


def _breakdown(line: Line, trouble: Trouble, time: int) -> None:
    trouble.found("OP50")
    line.stations["OP50"].request(
        Stop("ABORTED", "screw_jam", 75.0 * trouble.strength, lambda now: line.finish(trouble, now)), time
    )


_STARTERS: dict[str, Callable[[Line, Trouble, int], None]] = {
    "bad_bearing_lot": _bad_lot, "tool_wear": _tool, "wrong_program": _program, "sensor_stuck": _stuck, "sensor_noise": _noise,
    "chatter": _chatter, "breakdown": _breakdown,
}  # fmt: skip

_PAST = (("tool_wear", -26000), ("chatter", -23000), ("coolant_leak", -20500), ("breakdown", -18200), ("bad_bearing_lot", -16000),
         ("sensor_stuck", -12500), ("press_drift", -9800), ("breakdown", -7300), ("leak_tester_offset", -5200), ("wrong_program", -2600))  # fmt: skip
SEED = 26
"""The demo's line: for the first ten minutes after its start there is no change-over, so that troubles are what a visitor sees."""

SOON = (("breakdown", 35), ("wrong_program", 80), ("chatter", 260), ("press_drift", 330), ("tool_wear", 560), ("sensor_stuck", 860),
        ("bad_bearing_lot", 1120))  # fmt: skip
"""The first is an alarm and a page in the first minute; the second an anomaly, as soon as the detector knows the machine."""

_LATER = ("coolant_leak", "chatter", "press_drift", "breakdown", "leak_tester_offset", "sensor_stuck", "wrong_program", "bad_bearing_lot",
          "network_cut", "tool_wear", "sensor_noise")  # fmt: skip


def story(seed: int, hours: float = 48.0) -> Iterable[Planned]:
    """The troubles of the demo: some in the last 8 hours, some that come while one watches, then one every 6 to 11 minutes."""
    yield from (Planned(name, seconds) for name, seconds in (*_PAST, *SOON))
    rng, at = random.Random(f"{seed}/story"), 2000.0
    while at < hours * 3600:
        for name in rng.sample(_LATER, len(_LATER)):
            yield Planned(name, round(at), round(rng.uniform(0.8, 1.3), 2))
            at += rng.uniform(360, 660)
