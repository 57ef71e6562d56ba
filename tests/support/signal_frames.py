"""Frames of a made-up machine for detector tests: seeded noise on three signals, planted faults, contexts and gaps; and ways to cut them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

import msgspec

from shinkei_events.frames import cut, join
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame, GapMark, Value

STREAM = StreamId("018bcfe5-6800-7002-ab54-a98ceb1f0ad2", "OP20", "signals")
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
NAMES = ("torque", "vibration", "coolant")
RUNNING = Context("EXECUTE", "PUMP-A", None, "T-1")

Row = dict[str, Value]


def calm(seed: int = 1) -> Callable[[int], Row]:
    """Values at step ``n`` of a healthy machine: torque and vibration rise and fall together, the coolant drifts slowly."""
    rng = random.Random(seed)
    noise = [[rng.gauss(0, 1) for _ in range(4)] for _ in range(4096)]

    def at(n: int) -> Row:
        a, b, c, load = noise[n % 4096]
        return {
            "torque": 20 + 0.5 * a + load,
            "vibration": 2 + 0.05 * b + 0.2 * load,
            "coolant": 24 + 0.2 * c + 0.3 * math.sin(n / 400),
        }

    return at


class Machine:
    """Writes rows one second apart as frames: `run`, `gap`, `under`; ``frames`` is what it wrote."""

    def __init__(self, values: Callable[[int], Row] | None = None, stream: StreamId = STREAM) -> None:
        self._values, self._stream = values or calm(), stream
        self.context, self.step, self.number, self.time = RUNNING, 0, 1, START
        self.frames: list[Frame] = []
        self._mark: GapMark | None = None

    def run(
        self, steps: int, change: Callable[[Row], Row] | None = None, status: int = 0, every: int = SECOND
    ) -> Machine:
        """``steps`` rows, each changed by ``change`` (a missing signal is not sent; None is a bad value)."""
        for _ in range(steps):
            row = self._values(self.step)
            self._write(change(dict(row)) if change else row, status)
            self.step += 1
            self.time += every
        return self

    def under(self, context: Context) -> Machine:
        """From here on under another context."""
        self.context = context
        return self

    def gap(self, seconds: float) -> Machine:
        """Something is missing: time passes, and the next frame says so."""
        self.time += int(seconds * SECOND)
        self._mark = GapMark(f"g{self.number}", "session_lost")
        return self

    def pause(self, seconds: float) -> Machine:
        """Time passes without readings."""
        self.time += int(seconds * SECOND)
        return self

    def _write(self, row: Row, status: int) -> None:
        names, values = list(row), list(row.values())
        codes = [0x80000000 if value is None else status for value in values]
        self.frames.append(
            Frame(
                stream=self._stream, first=self.number, t0=self.time, context=self.context, channels=names, ch=list(range(len(names))),
                dt=[10 * at for at in range(len(names))], v=values, status=[(1, code) for code in codes],
                received=[(len(names), self.time + 5)], production=0, gap_before=self._mark,
            )
        )  # fmt: skip
        self._mark = None
        self.number += len(names)


def shift(**by: float) -> Callable[[Row], Row]:
    """A change of rows: signals moved by amounts."""

    def change(row: Row) -> Row:
        return {name: value + by.get(name, 0.0) if isinstance(value, float) else value for name, value in row.items()}

    return change


def recut(frames: Iterable[Frame], rng: random.Random) -> list[Frame]:
    """The same readings in frames that are cut elsewhere: joined at random and cut at random, contexts and marks kept."""
    made: list[Frame] = []
    run: list[Frame] = []
    for frame in [*frames, None]:
        fits = (
            frame is not None
            and run
            and run[-1].end == frame.first
            and not frame.gap_before
            and run[-1].context == frame.context
        )
        if run and (not fits or rng.random() < 0.1):
            made += _split(join(run), rng)
            run = []
        if frame is not None:
            run.append(frame)
    return made


def _split(frame: Frame, rng: random.Random) -> list[Frame]:
    places = sorted({rng.randrange(1, frame.count) for _ in range(rng.randrange(4))}) if frame.count > 1 else []
    parts, rest = [], frame
    for place in places:
        keep = place - (rest.first - frame.first)
        parts.append(head(rest, keep))
        rest = cut(rest, keep)
    return [*parts, rest]


def head(frame: Frame, count: int) -> Frame:
    """The first ``count`` readings of ``frame``."""
    return msgspec.structs.replace(
        frame, ch=frame.ch[:count], dt=frame.dt[:count], v=frame.v[:count], status=_first(frame.status, count),
        received=_first(frame.received, count), late=[at for at in frame.late or () if at < count] or None,
    )  # fmt: skip


def _first(runs: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for run, code in runs:
        if count > 0:
            kept.append((min(run, count), code))
            count -= run
    return kept
