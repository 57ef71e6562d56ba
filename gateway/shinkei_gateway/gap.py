"""What may have been lost at a source while nobody listened, worked out from the first values after it. Pure.

A channel whose first value has the source time of the last one seen lost nothing: nothing was written in between. Every other
channel has a gap from its last value seen to its first one now. `shinkei_gateway.intake` gives gaps their ids and marks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MAX_REMEMBERED = 256
"""Channels whose last source times fit into the resume state; of more only the newest of all is remembered."""


class Break(NamedTuple):
    """Source times ``t_from … t_to`` of ``channels`` are unproven; ``whole``: those are all the channels there are."""

    t_from: int
    t_to: int
    channels: list[str]
    whole: bool


class Continuity:
    """The last source time of each channel. ``resume``: what `state` gave before a restart, or None when there was no before."""

    def __init__(self, channels: Iterable[str], resume: dict[str, int] | None = None) -> None:
        self._channels = set(channels)
        known = dict(resume or {})
        self._floor: int | None = known.pop("", None)
        self._last = {name: time for name, time in known.items() if name in self._channels}
        self._awaited: set[str] = set()
        if known or self._floor is not None:
            self.interrupted()

    @property
    def newest(self) -> int | None:
        """The newest source time seen, or None."""
        times = [*self._last.values(), *([] if self._floor is None else [self._floor])]
        return max(times) if times else None

    def last(self, channel: str) -> int | None:
        """The newest source time seen of ``channel``."""
        return self._last.get(channel)

    def interrupted(self) -> None:
        """The connection was lost: from now on the first value of each channel must prove that nothing is missing."""
        self._awaited = set(self._channels)

    def seen(self, channel: str, time: int) -> tuple[bool, int | None]:
        """A value of ``channel``: (is it the one known already, since when its continuity is unproven or None)."""
        last = self._last.get(channel)
        if channel in self._awaited:
            self._awaited.discard(channel)
            if last is not None and time == last:
                return True, None
            since = last if last is not None else self._floor
            self._last[channel] = time
            return False, since
        if last is None or time > last:
            self._last[channel] = time
        return False, None

    def state(self) -> dict[str, int]:
        """For the resume state; ``""`` is the newest of all when there are too many channels."""
        if len(self._last) <= MAX_REMEMBERED:
            return dict(self._last) if self._floor is None else self._last | {"": self._floor}
        newest = self.newest
        return {} if newest is None else {"": newest}


def breaks(unproven: dict[str, tuple[int, int]], channels: int) -> Break | None:
    """One gap of all ``unproven`` channels (name to last time seen and first time now) of a source that has ``channels``."""
    if not unproven:
        return None
    t_from = min(since for since, _ in unproven.values())
    t_to = max(max(since, first) for since, first in unproven.values())
    return Break(t_from, t_to, sorted(unproven), len(unproven) == channels)
