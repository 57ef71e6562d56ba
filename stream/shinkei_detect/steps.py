"""Readings in the order of their numbers become steps: what each signal was, on average, in one step of source time.

A step ends with the first reading that is later than it, whatever frame it came in; empty frames decide nothing, for they are not
on record. A source that lags behind its neighbours falls into the step that is open. Pure; owned by `machine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shinkei_events.model.frame import Context, Frame

BAD = 0x80000000
"""Severity bit of an OPC UA status code (Part 4 §7.39): the value must not be used."""

MOST = 1e100
"""No physical quantity is larger; what is (or is not a number) is no value, for its square would spoil all means."""


class Step(NamedTuple):
    """``values``: mean of the good values per signal; ``bad``: signals that had only bad ones, with the last status code.

    ``first``/``last``: numbers, ``began``/``time``: source times (ns) of its first and latest reading; ``elapsed``: ns of stream time
    since the step before (0 for the first); ``back``: ns by which a source clock was set back in it (0: it was not).
    """

    values: dict[str, float]
    bad: dict[str, int]
    first: int
    last: int
    began: int
    time: int
    elapsed: int
    back: int
    context: Context


class Stepper:
    """Cuts one stream into steps of ``length`` ns. ``behind``: ns by which a reading may be older than the open step.

    A reading that is older than that tells that the clock was set back: it counts as no time passed, and the step says so.
    """

    def __init__(self, length: int, behind: int, unwatched: frozenset[str]) -> None:
        self._length, self._behind, self._unwatched = length, behind, unwatched
        self._sums: dict[str, list[float]] = {}
        self._bad: dict[str, int] = {}
        self._end = self._previous = 0
        self._shift = self._back = 0
        self._first = self._last = self._began = self._time = 0
        self._context = Context()
        self._from: int | None = None
        self._run_up = 0

    def skip(self, length: int) -> None:
        """Pass over the readings of the next ``length`` ns of source time."""
        self._from, self._run_up = None, length

    def add(self, frame: Frame) -> Iterator[Step]:
        """The steps that end within ``frame``. Use all of them: the frame is taken in while they are asked for."""
        names, t0, number = frame.channels, frame.t0, frame.first
        late = set(frame.late or ())
        watched = [name not in self._unwatched for name in names]
        sums, context = self._sums, frame.context
        statuses = iter(frame.status)
        left, code = 0, 0
        for ch, dt, value in zip(frame.ch, frame.dt, frame.v, strict=True):
            if left == 0:
                left, code = next(statuses)
            left -= 1
            this, number = number, number + 1
            if late and this - frame.first in late:
                continue
            if self._run_up and self._passed_over(t0 + dt):
                continue
            time = t0 + dt + self._shift
            if time >= self._end or time < self._end - self._length - self._behind:
                if self._end and time < self._end:
                    self._set_back(time)
                    time = self._end - self._length
                else:
                    if self._first:
                        yield self._close()
                        sums = self._sums
                    self._open(time)
            if not self._first:
                self._first, self._began = this, t0 + dt
            self._last = this
            if t0 + dt > self._time or self._back:
                self._time = t0 + dt
            self._context = context
            if not watched[ch]:
                continue
            name = names[ch]
            if code & BAD or value is None:
                self._bad[name] = code
            elif (type(value) is float or type(value) is int) and -MOST < value < MOST:
                entry = sums.get(name)
                if entry is None:
                    sums[name] = [float(value), 1.0]
                else:
                    entry[0] += value
                    entry[1] += 1.0

    def flush(self) -> Step | None:
        """Ends the open step now, before another context; None when there is none."""
        step = self._close() if self._first else None
        self._end = 0
        return step

    def drop(self) -> None:
        """Something is missing here: the open step is not whole and says nothing, and how much time passed is not known."""
        self._sums, self._bad = {}, {}
        self._end = self._previous = self._first = self._last = self._began = self._time = self._back = 0

    def _passed_over(self, time: int) -> bool:
        if self._from is None:
            self._from = time
        over = abs(time - self._from) < self._run_up
        if not over:
            self._run_up = 0
        return over

    def _open(self, time: int) -> None:
        self._end = (time // self._length + 1) * self._length

    def _set_back(self, time: int) -> None:
        missing = self._end - self._length - time
        self._shift += missing
        self._back += missing

    def _close(self) -> Step:
        sums, bad = self._sums, self._bad
        values = {name: entry[0] / entry[1] for name, entry in sums.items()}
        only_bad = {name: code for name, code in bad.items() if name not in values} if bad else {}
        elapsed = max(0, self._end - self._previous) if self._previous else 0
        step = Step(
            values, only_bad, self._first, self._last, self._began, self._time, elapsed, self._back, self._context
        )
        self._sums, self._bad = {}, {}
        self._previous = self._end
        self._first = self._last = self._began = self._time = self._back = 0
        return step
