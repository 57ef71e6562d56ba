"""Which source times may be taken for what a machine's clock says now, and the newest of them. Pure; all sources and the intake ask it.

A time out of the window is carried as it came and filed under the time received (`columns`); here it moves nothing: one value that is
years off must not say where a gap begins, since when a machine is away, or how far its stream is complete. What is told to have a time of its own keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

EARLIEST_NS = 7 * 86_400 * 10**9
LATEST_NS = 3_600 * 10**9
"""A source time within [received - `EARLIEST_NS`, received + `LATEST_NS`] is one of now."""


def is_of_now(time: int, received: int) -> bool:
    """Both ns UTC."""
    return received - EARLIEST_NS <= time <= received + LATEST_NS


def newest_of_now(newest: int, times: Iterable[int | None], received: int) -> int | None:
    """``newest`` of all ``times`` (read only when it is not of now itself) or the newest of those that are; None: none is."""
    if is_of_now(newest, received):
        return newest
    return max((time for time in times if time is not None and is_of_now(time, received)), default=None)


def believed(time: int, now: int) -> int:
    """A time of a resume state: one that cannot have been yet was never of now, and when it was meant to be nobody knows: as early as may be."""
    return time if time <= now + LATEST_NS else now - EARLIEST_NS


class Newest:
    """The newest source time of a machine, ns UTC, or None. ``is_own``: by its clock; else that is never of now, and receipts are counted."""

    __slots__ = ("is_own", "time")

    def __init__(self, time: int | None = None, *, is_own: bool = True) -> None:
        self.time, self.is_own = time, is_own

    @classmethod
    def restored(cls, state: Sequence[Any] | None, now: int | None = None) -> Newest | None:
        """From what `state` gave before a restart; ``now``: see `believed` (None: all of it is)."""
        if state is None:
            return None
        return cls(state[0] if now is None else believed(state[0], now), is_own=state[1])

    def state(self) -> list[Any] | None:
        """For the resume state."""
        return None if self.time is None else [self.time, self.is_own]

    def take(self, time: int, received: int) -> None:
        """The newest value of a message. One that is not of now does not count where others were."""
        if is_of_now(time, received):
            if self.time is None or time > self.time or not self.is_own:
                self.time, self.is_own = time, True
        elif self.time is None or not self.is_own:
            self.time, self.is_own = received, False

    def set(self, time: int, received: int) -> None:
        """The machine's clock was set (a `ClockSkew` tells it), and says ``time`` now."""
        self.is_own = is_of_now(time, received)
        self.time = time if self.is_own else received
