"""Roll-ups of readings per minute, quarter of an hour and hour, added up as readings are recorded. Pure.

A reading is recorded exactly once, so sums may simply be added; a late one lands in its own minute. Bad readings are counted, not averaged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVELS = (60, 900, 3600)
BAD = 0x80000000
SUMMED_AT_MOST = 1e140
"""What a value adds to the sums at most. A larger one (memory that nobody has set, a largest double as a mark) is nobody's measurement; its
square, or a second one, would be more than a double holds, and PostgreSQL refuses that: the recording would end there for good."""


@dataclass(slots=True)
class Bucket:
    """Count, sum, sum of squares, extremes and bad ones of a signal in a span."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float | None = None
    high: float | None = None
    bad: int = 0

    def add(self, value: float, status: int) -> None:
        """One reading."""
        self.n += 1
        if status >= BAD:
            self.bad += 1
            return
        summed = value if -SUMMED_AT_MOST < value < SUMMED_AT_MOST else math.copysign(SUMMED_AT_MOST, value)
        self.total += summed
        self.squares += summed * summed
        if self.low is None or value < self.low:
            self.low = value
        if self.high is None or value > self.high:
            self.high = value

    def merge(self, other: Bucket) -> None:
        """Another bucket of the same signal."""
        self.n += other.n
        self.bad += other.bad
        self.total += other.total
        self.squares += other.squares
        if other.low is not None and (self.low is None or other.low < self.low):
            self.low = other.low
        if other.high is not None and (self.high is None or other.high > self.high):
            self.high = other.high


Key = tuple[int, int, int]
"""Signal id, level in seconds, begin in seconds since 1970."""


def coarser(minutes: dict[tuple[int, int], Bucket]) -> dict[Key, Bucket]:
    """All levels of minute buckets ``(signal id, begin s)``."""
    found: dict[Key, Bucket] = {}
    for (signal, begin), bucket in minutes.items():
        for level in LEVELS:
            found.setdefault((signal, level, begin - begin % level), Bucket()).merge(bucket)
    return found
