"""Whether the broker still lives, and which of our acknowledgements it has: when to ask (PINGREQ) and what an answer proves. Pure.

Time is counted in ticks, so that a process that stood still for a while accuses nobody.
"""

from __future__ import annotations

from typing import Literal


class Pulse:
    """``keepalive``, ``timeout`` in s. Call `tick` every ``every`` seconds and do what it says."""

    def __init__(self, keepalive: float, timeout: float) -> None:
        self.every = min(1.0, keepalive / 4, timeout / 4)
        self._idle_ticks = max(1, int(keepalive / 2 / self.every))
        self._patience = max(2, round(timeout / self.every))
        self._idle = self._silent = 0
        self._acknowledged = self._asked = self._settled = 0
        self._is_asked = False
        self._unanswered = 0
        self.is_heard = False
        """Set it with whatever comes from the broker."""

    def acknowledged(self, count: int) -> None:
        """So many messages were acknowledged just now."""
        self._acknowledged += count

    def answered(self) -> None:
        """A PINGRESP: everything written before the PINGREQ has arrived (TCP keeps one order)."""
        self._unanswered -= 1
        if self._unanswered > 0:
            return
        self._unanswered = 0
        self._is_asked = False
        self._settled = self._asked

    def settled(self) -> int:
        """How many acknowledgements are proven since the last call."""
        count, self._settled = self._settled, 0
        self._acknowledged -= count
        self._asked -= count
        return count

    def tick(self, *, is_reading: bool) -> Literal["", "ping", "dead"]:
        """``is_reading`` False: the silence is our own; the broker still hears from us, or it would end it (3.1.2.10)."""
        self._idle += 1
        if self._is_asked:
            self._silent = 0 if self.is_heard or not is_reading else self._silent + 1
            self.is_heard = False
            if self._silent >= self._patience:
                return "dead"
            if is_reading or self._idle < self._idle_ticks:
                return ""
            self._idle, self._unanswered = 0, self._unanswered + 1
            return "ping"
        if self._idle < self._idle_ticks and self._acknowledged == self._asked:
            return ""
        self._idle = self._silent = 0
        self._unanswered += 1
        self._is_asked, self._asked, self.is_heard = True, self._acknowledged, False
        return "ping"
