"""Address spaces for browsing: a pure one that answers as a strict server would, and builders of companion specifications' objects."""

from __future__ import annotations

from collections import deque
from typing import Any

from shinkei_gateway.opcua.tree import Key, Kind, Tree
from shinkei_gateway.opcua.walk import BAD_NO_CONTINUATION_POINTS, Answer, Reference, Step, Walk

ROOT: Key = (0, 85)
TOO_MANY = 0x80100000


class StrictServer:
    """Answers `Step`s of a walk over ``nodes`` (key to references); refuses what is beyond its limits and counts open points."""

    def __init__(
        self, nodes: dict[Key, list[Reference]], *, nodes_a_call: int = 100, references: int = 10, points: int = 5
    ) -> None:
        self.nodes, self._nodes_a_call, self._references, self._most_points = nodes, nodes_a_call, references, points
        self._open: dict[bytes, tuple[Key, int]] = {}
        self._last = 0
        self.calls = 0
        self.refused_calls = 0
        self.most_open = 0

    @property
    def open(self) -> int:
        return len(self._open)

    def ask(self, tree: Tree, step: Step) -> list[Answer] | int:
        """Answers, or the status of a call that is too big."""
        self.calls += 1
        if len(step.places) > self._nodes_a_call:
            self.refused_calls += 1
            return TOO_MANY
        if step.do == "browse":
            return [self._part(tree.nodes[place].key, 0) for place in step.places]
        return [self._part(*self._open.pop(point)) for point in step.points]

    def _part(self, key: Key, begin: int) -> Answer:
        found = self.nodes.get(key, [])
        end = begin + self._references
        if end >= len(found):
            return Answer(0, found[begin:], None)
        if len(self._open) >= self._most_points:
            return Answer(BAD_NO_CONTINUATION_POINTS, [], None)
        self._last += 1
        point = self._last.to_bytes(4, "big")
        self._open[point] = (key, end)
        self.most_open = max(self.most_open, len(self._open))
        return Answer(0, found[begin:end], point)


def reference(number: int, name: str, kind: Kind = "object") -> Reference:
    return Reference((2, number), name, "urn:test", kind, None)


def folders(folder_count: int, a_folder: int) -> dict[Key, list[Reference]]:
    """``folder_count`` folders below the root with ``a_folder`` variables each, all of which point back (loops)."""
    found: dict[Key, list[Reference]] = {ROOT: [reference(f, f"F{f}") for f in range(folder_count)]}
    for folder in range(folder_count):
        first = folder_count + folder * a_folder
        found[2, folder] = [reference(first + at, f"V{at}", "variable") for at in range(a_folder)]
        found[2, folder] += [reference(folder, "itself"), reference((folder + 1) % folder_count, "neighbour")]
    return found


def walked(
    server: StrictServer, *, nodes_a_call: int = 100, calls: int = 4, depth: int = 32, most: int = 1_000_000
) -> tuple[Tree, Walk]:
    """A whole walk with ``calls`` under way, answered out of order (the newest first, every second time)."""
    tree = Tree(["", "urn:server", "urn:test"])
    start = tree.add(ROOT, "Objects", "", "object")
    assert start is not None
    walk = Walk(tree, [start], depth=depth, most=most, nodes_a_call=nodes_a_call)
    under_way: deque[tuple[Step, Any]] = deque()
    turn = 0
    while not walk.is_done:
        while len(under_way) < calls and (step := walk.next()) is not None:
            under_way.append((step, server.ask(tree, step)))
        if not under_way:
            break
        turn += 1
        step, answer = under_way.pop() if turn % 2 else under_way.popleft()
        if isinstance(answer, int):
            assert walk.failed(step, answer)
        else:
            walk.answered(step, answer)
    return tree, walk
