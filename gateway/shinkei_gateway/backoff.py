"""How long to wait before the next attempt: full jitter, so that a hundred sources do not knock at the same moment. Pure."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 0.2


class Backoff:
    """``pause()`` before each attempt but the first: a random part of a limit that doubles up to ``longest`` seconds.

    ``uniform``: random.uniform or a seeded one. `reset` after success. Source: "Exponential Backoff And Jitter", AWS 2015.
    """

    def __init__(self, longest: float, uniform: Callable[[float, float], float], first: float = FIRST_S) -> None:
        self._longest, self._uniform, self._first = longest, uniform, first
        self._attempts = 0

    def pause(self) -> float:
        """Seconds to wait now."""
        limit = min(self._longest, self._first * 2 ** min(self._attempts, 32))
        self._attempts += 1
        return self._uniform(0.0, limit)

    def reset(self) -> None:
        """The peer is there again."""
        self._attempts = 0
