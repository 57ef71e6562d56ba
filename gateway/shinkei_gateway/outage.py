"""How long a source is away, and what is told of it: one outage once, again when it lasts, NO_DATA. The pauses between attempts.

Knows no protocol and does not connect. Called by the sources.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from shinkei_events.telemetry import emit
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.telemetry import SourceLost, SourceStillAway

LOOK_S = 0.25
FIRST_REMINDER_S, LAST_REMINDER_S = 30.0, 3600.0
"""A source that stays away is told again after so long, then after twice that …, at most once an hour."""
SHORT_S, SHORT_MOST = 1.0, 5
"""A peer that ends so many connections in a row this soon is not there: the pauses before the next attempts grow as if it had refused them."""


class Outage:
    """``tell``: called once an outage lasts longer than ``lost_after`` seconds. A source begins away."""

    def __init__(self, name: str, url: str, lost_after: float, backoff: Backoff, tell: Callable[[], None], *,
                 clock: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        self._name, self._url, self._lost_after = name, url, lost_after
        self._backoff, self._tell, self._clock = backoff, tell, clock
        self._since: float | None = clock()
        self._is_away_told = self._is_loss_told = False
        self._attempts = 0
        self._over_at, self._short = 0.0, 0
        self._remind_after = FIRST_REMINDER_S
        self.error = ""

    @property
    def is_away(self) -> bool:
        """Whether there is no connection."""
        return self._since is not None

    @property
    def seconds(self) -> float | None:
        """How long there has been no connection; None when there is one."""
        return None if self._since is None else self._clock() - self._since

    def over(self) -> None:
        """There is a connection (again)."""
        self._since, self.error = None, ""
        self._over_at = self._clock()
        if self._short <= SHORT_MOST:
            self._backoff.reset()
        self._is_away_told = self._is_loss_told = False
        self._attempts, self._remind_after = 0, FIRST_REMINDER_S

    def lost(self, reason: str) -> None:
        """An attempt or the connection failed for ``reason``."""
        self.error = reason
        if self._since is None:
            self._since = self._clock()
            self._short = self._short + 1 if self._since - self._over_at < SHORT_S else 0
            if not self._short:
                self._backoff.reset()
        self._attempts += 1
        away = self._clock() - self._since
        if not self._is_loss_told:
            self._is_loss_told = True
            emit(SourceLost(self._name, self._url, reason))
        elif away >= self._remind_after:
            self._remind_after = away + min(away, LAST_REMINDER_S)
            emit(SourceStillAway(self._name, self._url, away, self._attempts, reason))

    async def pause(
        self, stop: asyncio.Event, least: float = 0.0, is_changed: Callable[[], bool] = lambda: False
    ) -> None:
        """Until the next attempt is due: ``least`` seconds at least, unless a person has changed what the connection was refused for."""
        until = self._clock() + max(self._backoff.pause(), least)
        while not stop.is_set() and not is_changed() and (rest := until - self._clock()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(rest, LOOK_S))
            self._look()
        self._look()

    def _look(self) -> None:
        away = self.seconds
        if self._is_away_told or away is None or away < self._lost_after:
            return
        self._is_away_told = True
        self._tell()
