"""The plant's clock: runs ``speed`` times as fast as the wall, from a start that history and live line share.

When it has to wait (nobody listens yet) it catches up afterwards, at most `CATCH_UP` times as fast, so that no moment is left out.
"""

from __future__ import annotations

CATCH_UP = 20.0


class PlantClock:
    """Plant time from wall time, both ns UTC. ``start``: plant time at the wall time ``anchor``."""

    def __init__(self, start: int, anchor: int, speed: float = 1.0, end: int | None = None) -> None:
        self.start, self.anchor, self.speed, self.end = start, anchor, speed, end
        self._shown, self._asked = start, anchor

    def now(self, wall: int) -> int:
        """Plant time at the wall time ``wall``; never goes back, never past ``end``."""
        goal = self.start + int((wall - self.anchor) * self.speed)
        most = self._shown + int(max(wall - self._asked, 0) * self.speed * CATCH_UP)
        self._shown = max(self._shown, min(goal, most) if self.end is None else min(goal, most, self.end))
        self._asked = max(wall, self._asked)
        return self._shown

    def resume(self, wall: int) -> None:
        """Count from ``wall`` on how far it may catch up (nothing was asked for while it waited)."""
        self._asked = max(wall, self._asked)

    @property
    def over(self) -> bool:
        """Whether the end is reached."""
        return self.end is not None and self._shown >= self.end

    def lag(self, wall: int) -> float:
        """How far the plant is behind the goal at ``wall``, s of plant time."""
        goal = self.start + int((wall - self.anchor) * self.speed)
        return max((goal if self.end is None else min(goal, self.end)) - self._shown, 0) / 1e9
