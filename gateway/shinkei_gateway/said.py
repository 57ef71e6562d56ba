"""What one node of a handshake said, in the order told, and what of it is spoken for. Pure; kept by `handshake`, which knows the edges.

Source times order it, as a server groups values by node. Only where the machine's clock was set back they do not: then the order in which a
server told the values of the one node parts what was said before from what was said since.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NEVER = -(1 << 63)
KEPT = 64
"""Values of a node that are remembered."""


class Taken(NamedTuple):
    """A value of one node."""

    time: int
    value: Any
    status: int


@dataclass(slots=True)
class Said:
    """``floor``: source time up to which everything is spoken for; ``given``: what an edge got last; ``stood``: said last before the clock was set back."""

    told: deque[Taken] = field(default_factory=lambda: deque(maxlen=KEPT))
    floor: int = NEVER
    given: Taken | None = None
    stood: Taken | None = None

    def add(self, taken: Taken) -> None:
        """The node has this value."""
        if self.told and self.told[-1].time == taken.time:
            self.told.pop()
        self.told.append(taken)

    def set_back(self, since: int, until: int) -> None:
        """The machine's clock was set back, between an edge at ``since`` and the next at ``until``: what was said before stands, and belongs to no edge since.

        Where no value shows the step itself, the newest of them is of before when it is nearer to ``since``.
        """
        given, step = self._given(), self._step()
        if step is None and self.told and self.told[-1].time > (since + until) // 2:
            step = len(self.told) - 1
        for _ in range(max(given, -1 if step is None else step) + 1):
            self.stood = self.told.popleft()
        self.floor, self.given = NEVER, None

    def before_step(self) -> list[Taken]:
        """What was said before the clock was set back (once more)."""
        step = self._step()
        return list(self.told)[: None if step is None else step + 1]

    def _given(self) -> int:
        times = [taken.time for taken in self.told]
        return times.index(self.given.time) if self.given is not None and self.given.time in times else -1

    def _step(self) -> int | None:
        """Place of the last value before source times go back, since what an edge got last."""
        times = [taken.time for taken in self.told]
        places = range(max(self._given(), 0), len(times) - 1)
        return next((at for at in places if times[at + 1] < times[at]), None)

    def stands(self, at: int) -> Taken | None:
        """What was said last, if that was not after ``at``."""
        last = self.told[-1] if self.told else None
        return self.stood if last is None else last if last.time <= at else None

    def is_open(self, time: int) -> bool:
        """Whether the value of ``time`` may belong to an edge not seen yet."""
        return time > self.floor and any(taken.time == time for taken in self.told)


def newest(values: list[Taken]) -> Taken | None:
    """The one with the newest source time."""
    return max(values, key=lambda taken: taken.time, default=None)
