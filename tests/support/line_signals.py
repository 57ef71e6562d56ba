"""The simulated line's signals as frames, without sockets: what a gateway would have made of them under each machine's context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame, Value
from shinkei_plant.faults import Planned
from shinkei_plant.line import Line
from shinkei_plant.records import SignalSample, StateChange

EPOCH = "018bcfe5-6800-7002-ab54-a98ceb1f0ad2"
ORIGIN = 1_700_000_000_000_000_000
GRID = 100_000_000
VALUES = 128


class _Frames:
    """Collects samples per machine; values that did not change are not sent, as by a subscription."""

    def __init__(self) -> None:
        self.contexts: dict[str, Context] = {}
        self._numbers: dict[str, int] = {}
        self._samples: dict[str, list[SignalSample]] = {}
        self._last: dict[tuple[str, str], Value] = {}

    def add(self, one: SignalSample) -> Iterator[Frame]:
        if self._last.get((one.machine, one.signal)) == one.value:
            return
        self._last[one.machine, one.signal] = one.value
        samples = self._samples.setdefault(one.machine, [])
        samples.append(one)
        if len(samples) >= VALUES:
            yield from self.flush(one.machine)

    def flush(self, machine: str) -> Iterator[Frame]:
        samples = self._samples.pop(machine, [])
        if not samples:
            return
        names = sorted({one.signal for one in samples})
        first, count, t0 = self._numbers.get(machine, 1), len(samples), samples[0].time
        self._numbers[machine] = first + count
        yield Frame(
            stream=StreamId(EPOCH, machine, "signals"), first=first, t0=t0, context=self.contexts.get(machine, Context()), channels=names,
            ch=[names.index(one.signal) for one in samples], dt=[one.time - t0 for one in samples], v=[one.value for one in samples],
            status=[(count, 0)], received=[(count, samples[-1].time)], production=0,
        )  # fmt: skip

    def enter(self, one: StateChange) -> Iterator[Frame]:
        yield from self.flush(one.machine)
        old = self.contexts.get(one.machine, Context())
        self.contexts[one.machine] = Context(
            one.state, one.product or old.product, one.recipe or old.recipe, one.tool or old.tool
        )

    def machines(self) -> list[str]:
        return list(self._samples)


def line_signals(seed: int, seconds: int, troubles: Iterable[Planned] = (), *, past_s: int = 0) -> Iterator[Frame]:
    """``seconds`` of the whole line from `ORIGIN` on, as frames in the order in which they become full.

    ``past_s``: so long the line has run before, unseen; troubles are planted relative to `ORIGIN`.
    """
    frames = _Frames()
    line = Line(seed, ORIGIN - past_s * 10**9, start=ORIGIN, troubles=troubles)
    for record in line.play(ORIGIN):
        if isinstance(record, StateChange):
            for _ in frames.enter(record):
                raise AssertionError("a frame from before the first signal")
    for record in line.play(ORIGIN + seconds * 10**9, grid=GRID):
        if isinstance(record, SignalSample):
            yield from frames.add(record)
        elif isinstance(record, StateChange):
            yield from frames.enter(record)
    for machine in frames.machines():
        yield from frames.flush(machine)
