"""A source's absences: since when, why, told once and its return once, and the pauses between attempts to reach it again.

Knows no protocol. Owned by a source, which asks `is_overdue` to tell that its machines' states are unknown (NO_DATA).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from shinkei_events.telemetry import emit
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.telemetry import SourceLost

TICK_S = 0.5


class Away:
    """``retry``: longest pause between attempts, s; ``lost_after``: s until what is behind the source counts as lost. Begins away."""

    def __init__(
        self, name: str, url: str, retry: float, lost_after: float, uniform: Callable[[float, float], float]
    ) -> None:
        self._name, self._url, self._lost_after = name, url, lost_after
        self._backoff = Backoff(retry, uniform)
        self._since: float | None = time.monotonic()
        self._is_told = self._is_overdue_told = False
        self.error = ""

    @property
    def is_away(self) -> bool:
        """Whether there is no connection."""
        return self._since is not None

    def back(self) -> None:
        """There is a connection (again)."""
        self._since, self.error = None, ""
        self._is_told = self._is_overdue_told = False
        self._backoff.reset()

    def lost(self, reason: str) -> None:
        """There is none (any more), for ``reason``; one absence is told once, whatever its attempts come to."""
        self.error = reason
        if self._since is None:
            self._since = time.monotonic()
        if not self._is_told:
            self._is_told = True
            emit(SourceLost(self._name, self._url, reason))

    async def pause(self, stop: asyncio.Event) -> None:
        """Until the next attempt is due, or ``stop``."""
        until = time.monotonic() + self._backoff.pause()
        while not stop.is_set() and (rest := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(rest, TICK_S))

    def is_overdue(self) -> bool:
        """True once in an absence, when it has lasted ``lost_after``."""
        if self._is_overdue_told or self._since is None or time.monotonic() - self._since < self._lost_after:
            return False
        self._is_overdue_told = True
        return True
