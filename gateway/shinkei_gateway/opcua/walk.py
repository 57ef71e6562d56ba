"""Which nodes to browse next: the walk over an address space as a state machine. Pure; `browse` asks the server what it wants to know.

Breadth first, each node once however many ways lead to it. A server holds few continuation points (Part 4 §7.9): they are continued
before anything new is browsed, and released when the walk ends early. A server that finds a call too big is asked for half as much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

from shinkei_gateway.opcua.parts import NOT_DONE, TOO_BIG
from shinkei_gateway.opcua.tree import Key, Kind, Tree

BAD_NO_CONTINUATION_POINTS = 0x804B0000
BAD_CONTINUATION_POINT_INVALID = 0x804A0000
NO_POINT = frozenset({BAD_NO_CONTINUATION_POINTS, BAD_CONTINUATION_POINT_INVALID})
"""Of a node whose references are to be had alone, when no other needs a continuation point."""
BAD_UNEXPECTED_ERROR = 0x80010000
BAD = 0x80000000
_SERVER: Key = (0, 2253)


class Reference(NamedTuple):
    """A forward hierarchical reference to a node of this server."""

    key: Key
    name: str
    uri: str
    kind: Kind
    type: Key | None


class Answer(NamedTuple):
    """A BrowseResult."""

    status: int
    references: list[Reference]
    point: bytes | None


class Step(NamedTuple):
    """One call: ``browse`` the nodes at ``places``, or continue (``next``) them with ``points``."""

    do: Literal["browse", "next"]
    places: list[int]
    points: list[bytes]


class Walk:
    """``depth``: levels below the start; ``most``: nodes at most; ``nodes_a_call``: what the server allows in one call."""

    def __init__(self, tree: Tree, start: Iterable[int], *, depth: int, most: int, nodes_a_call: int) -> None:
        self.tree, self._depth, self._most, self._size = tree, depth, most, max(1, nodes_a_call)
        self._todo: deque[int] = deque(start)
        self._points: deque[tuple[int, bytes]] = deque()
        self._again: deque[int] = deque()
        self._alone: set[int] = set()
        self._open = 0

    @property
    def is_done(self) -> bool:
        """Nothing is to be asked and no answer is awaited."""
        return not (self._open or self._todo or self._points or self._again)

    def next(self) -> Step | None:
        """What to ask now; None: wait for an answer (or the walk is done)."""
        if self.tree.is_cut:
            self._todo.clear()
            self._again.clear()
            return None
        if self._points:
            part = [self._points.popleft() for _ in range(min(self._size, len(self._points)))]
            return self._asked(Step("next", [place for place, _ in part], [point for _, point in part]))
        if self._todo:
            return self._asked(
                Step("browse", [self._todo.popleft() for _ in range(min(self._size, len(self._todo)))], [])
            )
        if self._again and not self._open:  # all points are free now: a node that found none gets one
            place = self._again.popleft()
            self._alone.add(place)
            return self._asked(Step("browse", [place], []))
        return None

    def answered(self, step: Step, answers: list[Answer]) -> None:
        """The server's answers to ``step``, one a node."""
        self._open -= 1
        for place, answer in zip(step.places, answers, strict=False):
            for reference in answer.references:
                self._found(place, reference)
            if answer.point:
                self._points.append((place, answer.point))
            elif answer.status in NO_POINT and place not in self._alone:
                self._again.append(place)
            elif answer.status >= BAD:
                self.tree.refused.append((place, answer.status))
        self.tree.refused += [(place, BAD_UNEXPECTED_ERROR) for place in step.places[len(answers) :]]

    def failed(self, step: Step, status: int) -> bool:
        """The whole call failed with ``status``; False when asking for less cannot help. One node that is too big for an answer is refused."""
        self._open -= 1
        if len(step.places) == 1 and status in TOO_BIG - NOT_DONE:
            self.tree.refused.append((step.places[0], status))
            return True
        if status not in TOO_BIG or len(step.places) == 1:
            return False
        self._size = max(1, len(step.places) // 2)
        if step.do == "next":
            self._points.extendleft(reversed(list(zip(step.places, step.points, strict=True))))
        else:
            self._todo.extendleft(reversed(step.places))
        return True

    def take_points(self) -> list[bytes]:
        """Continuation points that will not be continued: release them."""
        points = [point for _, point in self._points]
        self._points.clear()
        return points

    def _asked(self, step: Step) -> Step:
        self._open += 1
        return step

    def _found(self, parent: int, reference: Reference) -> None:
        tree = self.tree
        if reference.key == _SERVER:
            return  # what the server says of itself is no machine
        if len(tree.nodes) >= self._most:
            tree.is_cut = tree.is_cut or reference.key not in tree.places
            return
        place = tree.add(reference.key, reference.name, reference.uri, reference.kind, parent, reference.type)
        if place is not None and reference.kind != "property" and tree.nodes[place].depth < self._depth:
            self._todo.append(place)
