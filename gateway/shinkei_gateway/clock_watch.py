"""How far a source's clock is from the gateway's. Pure; a skew is told and flagged, never corrected.

A value is at most as new as its arrival, so the newest source time against the time received bounds the skew: ahead shows at once,
behind only in the best of several (values may be old for good reasons).
"""

from __future__ import annotations

from typing import NamedTuple

WINDOW_NS = 10_000_000_000
MIN_SAMPLES = 3


class Skew(NamedTuple):
    """``skew`` ns ahead (negative: behind); ``within`` the limit again, or beyond it."""

    skew: int
    within: bool


class ClockWatch:
    """One source. Feed the newest source time of each message that carries live values, not those repeated at a new connection."""

    def __init__(self, limit: int, window: int = WINDOW_NS) -> None:
        self._limit, self._window = limit, window
        self._best: int | None = None
        self._samples = 0
        self._since = 0
        self.beyond = False
        self.skew = 0

    def sample(self, newest: int, received: int) -> Skew | None:
        """Returns a `Skew` when the clock went beyond the limit or came back within it."""
        if self._best is None:
            self._since = received
        self._best = newest - received if self._best is None else max(self._best, newest - received)
        self._samples += 1
        ahead = self._best > self._limit
        if not ahead and (received - self._since < self._window or self._samples < MIN_SAMPLES):
            return None
        self.skew = self._best
        beyond = ahead or self._best < -self._limit
        self._best, self._samples = None, 0
        if beyond == self.beyond:
            return None
        self.beyond = beyond
        return Skew(self.skew, not beyond)
