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


class Window(NamedTuple):
    """When what belongs to an edge may be stamped (ns): after the edge ``after``, up to ``lag`` after ``edge``, nearer to it than to ``later``.

    ``is_sure``: nothing of the next cycle is stamped within ``lag``. Else what may be either's is nobody's. ``is_part``: empty text is no value.
    ``is_reading``: it may change at any time (a temperature): what was measured in the cycle is the cycle's.
    """

    after: int
    edge: int
    later: int | None = None
    lag: int = 0
    is_sure: bool = True
    is_part: bool = False
    is_reading: bool = False


class Found(NamedTuple):
    """``firm``: nothing that comes yet can change it; ``torn``: there are values, and nobody can tell whose they are."""

    taken: Taken | None
    firm: bool = True
    torn: bool = False


@dataclass(slots=True)
class Said:
    """``floor``: source time up to which everything is spoken for, ``doubt``: up to which it may be of the edge before that got nothing; ``given``: what an edge got last; ``stood``: said last before the clock was set back."""

    told: deque[Taken] = field(default_factory=lambda: deque(maxlen=KEPT))
    floor: int = NEVER
    doubt: int = NEVER
    first: int | None = None
    """Source time of the first value since listening began: it stood there, and some servers stamp it anew."""
    given: Taken | None = None
    stood: Taken | None = None

    def add(self, taken: Taken) -> None:
        """The node has this value."""
        if self.told and self.told[-1].time == taken.time:
            self.told.pop()
        self.told.append(taken)
        self.first = taken.time if self.first is None else self.first

    def set_back(self, since: int, until: int, heard: int | None) -> None:
        """The machine's clock was set back, between an edge at ``since`` and the next at ``until``: what was said before stands, and belongs to no edge since.

        Where no value shows the step itself, the newest of them that was told before that edge was (of source time ``heard``) is of before
        when it is nearer to ``since``.
        """
        given, step = self._given(), self._step()
        if step is None and heard is not None and heard > (since + until) // 2:
            step = next((at for at in reversed(range(len(self.told))) if self.told[at].time == heard), None)
        self._part(max(given, -1 if step is None else step))
        self.floor, self.doubt, self.given = NEVER, NEVER, None

    def step(self) -> None:
        """What was told since shows where the clock was set back: what was said before stands."""
        if (step := self._step()) is not None:
            self._part(step)

    def _part(self, last: int) -> None:
        for _ in range(last + 1):
            self.stood = self.told.popleft()

    @property
    def is_stepping(self) -> bool:
        """Whether what was told shows that the clock was set back."""
        return self._step() is not None

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

    def spoken(self, edge: int, lag: int, taken: Taken | None, *, is_sure: bool) -> None:
        """An edge got ``taken``, or nothing."""
        self.given, self.doubt = taken or self.given, NEVER
        if is_sure:
            self.floor = edge + lag
        elif taken is not None:
            self.floor = min(max(edge, taken.time), edge + lag)
        else:
            self.floor, self.doubt = edge, edge + lag

    def choose(self, values: list[Taken], window: Window) -> Found:
        """Which of ``values`` (of this node) is the edge's."""
        edge, lag = window.edge, window.lag
        known = [taken for taken in values if self._is_in(taken.time, window)]
        if window.is_sure:
            return Found(newest(known), firm=not lag)
        best = newest([taken for taken in known if taken.time <= edge])
        behind = [taken for taken in known if taken.time > edge]
        is_sure = best is not None and (best.time > self.doubt or edge - best.time <= best.time - window.after)
        is_beside = (
            best is not None
            and (edge - best.time <= lag or (window.is_reading and best.time - window.after > lag))
            and (best.time != self.first or best.time == edge)
        )
        if is_sure and is_beside:
            return Found(best)  # written with the edge
        if window.is_part and any(not _is_empty(taken) for taken in known):
            behind = [taken for taken in behind if not _is_empty(taken)]
            best = None if behind and best is not None and _is_empty(best) else best
        torn = Found(None, firm=False, torn=True)
        if not behind:
            return Found(best, firm=False) if best is None or is_sure else torn
        one = behind[-1]
        if any(taken.value != one.value for taken in behind) or (
            window.later is not None and window.later - one.time <= lag
        ):
            return torn
        if best is None or best.value == one.value:
            return Found(best or one, firm=False)
        return torn if is_sure or window.is_part else Found(one, firm=False)

    def _is_in(self, time: int, window: Window) -> bool:
        after, edge, later = window.after, window.edge, window.later
        if time <= edge:
            return max(self.floor, after) < time or time == edge > after
        return self.floor < time <= edge + window.lag and (later is None or later - time > time - edge)

    def stands(self, at: int) -> Taken | None:
        """What was said last, if that was not after ``at``."""
        last = self.told[-1] if self.told else None
        return self.stood if last is None else last if last.time <= at else None

    def is_open(self, time: int) -> bool:
        """Whether the value of ``time`` may belong to an edge not seen yet."""
        return time > self.floor and any(taken.time == time for taken in self.told)


def _is_empty(taken: Taken) -> bool:
    return taken.value is None or (isinstance(taken.value, str) and not taken.value.strip("\x00 \t\r\n"))


def newest(values: list[Taken]) -> Taken | None:
    """The one with the newest source time."""
    return max(values, key=lambda taken: taken.time, default=None)
