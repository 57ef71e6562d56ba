"""How far a source's clock is from the gateway's. Pure; a skew is told and flagged, never corrected.

A value is at most as new as its arrival, so the newest source time against the time received bounds the skew: ahead shows at once,
behind only in the best of several (values may be old for good reasons). A single time that is years off is no clock: it counts where none is of now.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shinkei_gateway.source_time import is_of_now

WINDOW_NS = 10_000_000_000
MIN_SAMPLES = 3
HOST_STEP_NS = 1_000_000_000
"""A clock that is kept by NTP is slewed by less between two looks."""


class Skew(NamedTuple):
    """``skew`` ns ahead (negative: behind); ``within`` the limit, or beyond it; ``step``: ns it was set back by (negative), if it was."""

    skew: int
    within: bool
    step: int | None = None


class ClockWatch:
    """One source. Feed the newest source time of each message that carries live values, not those repeated at a new connection.

    ``told``: the skew that was told before a restart, when it was beyond the limit then.
    """

    def __init__(self, limit: int, window: int = WINDOW_NS, told: int | None = None) -> None:
        self._limit, self._window = limit, window
        self._best: int | None = None
        self._far: int | None = None
        self._samples = 0
        self._since = 0
        self._level = told
        self.beyond = told is not None
        self.skew = told or 0

    def sample(self, newest: int, received: int) -> Skew | None:
        """Returns a `Skew` when the clock went beyond the limit, came back within it, or was set back by more than it."""
        if self._samples == 0:
            self._since = received
        self._samples += 1
        off = newest - received
        if is_of_now(newest, received):
            self._best = off if self._best is None else max(self._best, off)
        else:
            self._far = off if self._far is None else max(self._far, off)
        ahead = self._best is not None and self._best > self._limit
        if not ahead and (received - self._since < self._window or self._samples < MIN_SAMPLES):
            return None
        best = self._best if self._best is not None else self._far or 0
        self.skew = best
        beyond = abs(best) > self._limit
        step = None if self._level is None else best - self._level
        self._level, self._best, self._far, self._samples = best, None, None, 0
        is_back = step is not None and step < -self._limit
        if beyond == self.beyond and not is_back:
            return None
        self.beyond = beyond
        return Skew(self.skew, not beyond, step if is_back else None)


class Skews:
    """By how much which clocks were last told to be off, for marking what they say. ``stored``: what `state` gave before a restart."""

    def __init__(self, stored: dict[str, int] | None = None) -> None:
        self._skews = dict(stored or {})

    def take(self, machine: str, fields: dict[str, Any]) -> bool:
        """A `ClockSkew` event of ``machine`` with ``fields``; whether anything is another way now."""
        before, key = dict(self._skews), f"{fields['source']}/{machine}"
        if fields["within"]:
            self._skews.pop(key, None)
        else:
            self._skews[key] = fields["skew"]
        return self._skews != before

    def of(self, source: str, machine: str) -> int | None:
        """ns ahead (negative: behind) of a clock that is beyond its limit, else None."""
        return self._skews.get(f"{source}/{machine}") if self._skews else None

    def state(self) -> dict[str, int]:
        """For the resume state."""
        return dict(self._skews)


class HostClock:
    """Tells when the clock of this computer was set: it then goes another way than the monotonic one. Both in ns."""

    def __init__(self, wall: int, monotonic: int) -> None:
        self._offset = wall - monotonic

    def look(self, wall: int, monotonic: int) -> int | None:
        """ns by which it was set since the last look (negative: back), when that is more than `HOST_STEP_NS`."""
        step, self._offset = wall - monotonic - self._offset, wall - monotonic
        return step if abs(step) > HOST_STEP_NS else None
