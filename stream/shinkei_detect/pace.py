"""How often a machine speaks, and so what is a pause: seconds for one that speaks each second, an hour for one that speaks every 5 min.

Pure arithmetic on ns of stream time; owned by `machine`.
"""

from __future__ import annotations

from shinkei_detect.settings import DetectSettings

LEAST_GRACE, MOST_GRACE = 60, 900
"""Steps that a signal has to come back to its level after a stop, however short or long."""

LONGER = 5
"""Times the usual interval between steps from which on silence is a pause, or an old value too old."""

_SECOND = 1_000_000_000


class Pace:
    """The usual interval between steps (ns), learned from all of them; one long one moves it little."""

    def __init__(self, settings: DetectSettings) -> None:
        lengths = (settings.step, settings.pause, settings.stop, settings.hold)
        self._step, self._pause, self._stop, self._hold = (int(length * _SECOND) for length in lengths)
        self._comeback = settings.comeback
        self.usual = float(self._step)

    def see(self, elapsed: int) -> None:
        """A step came ``elapsed`` ns after the one before (0: unknown)."""
        if elapsed:
            self.usual += 0.05 * (min(max(float(elapsed), float(self._step)), 4.0 * self.usual) - self.usual)

    def is_pause(self, elapsed: int) -> bool:
        """So long without a step that the past is not continued."""
        return elapsed > max(self._pause, LONGER * self.usual)

    def is_stop(self, away: int) -> bool:
        """So long that levels are learned anew."""
        return away >= max(self._stop, LONGER * LONGER * self.usual)

    def is_old(self, age: int) -> bool:
        """So long since a value was sent that it says nothing of now."""
        return age > max(self._hold, LONGER * self.usual)

    def grace(self, away: int) -> int:
        """Steps to come back after ``away`` ns."""
        return min(MOST_GRACE, max(LEAST_GRACE, int(self._comeback * away / self.usual)))
