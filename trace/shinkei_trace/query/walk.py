"""Walking the edges, level by level, with the time in which each thing was inside the other. Pure; the rows come from a function.

Containment is not only reachability: what left a box before the box was shipped was not shipped, and what was poured into a silo after a
draw is not in what was drawn. So each unit carries the window of time in which it belongs to what was asked, and an edge is followed only
if it meets that window. ``tolerance`` (ns) widens it by what machine clocks are known to differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

LOT_TYPES = frozenset({"lot", "supplier_lot"})
ENDLESS = 1 << 62
TRANSITIONS = frozenset({"consumed", "removed", "mounted"})


class Neighbour(NamedTuple):
    """An edge and what is at its far end. ``reverse``: a relabelling followed from the new name to the old."""

    src: int
    dst: int
    t_from: int
    t_to: int | None
    eid: str
    kind: str
    certainty: float
    type: str
    serial: str
    item: str | None
    finished: bool
    reverse: bool = False


class Label(NamedTuple):
    """What is known of a unit in the walk: depth, best certainty, the window, and the edge it was first or most surely reached by."""

    depth: int
    certainty: float
    low: int
    high: int
    via: int | None
    by: Neighbour | None
    type: str
    serial: str
    item: str | None
    finished: bool


class Walk(NamedTuple):
    """Labels by unit id, and every edge that was followed. ``truncated``: there is more than ``limit``."""

    labels: dict[int, Label]
    followed: dict[tuple[int, int, str, str], Neighbour]
    truncated: bool


Fetch = Callable[[list[int]], Iterable[Neighbour]]


def walk(
    start: dict[int, Label],
    fetch: Fetch,
    *,
    forward: bool,
    tolerance: int = 0,
    limit: int = 200_000,
    max_depth: int = 100,
) -> Walk:
    """All that is reached from ``start``. ``fetch(units)`` gives the edges out of (forward) or into (backward) these units.

    One call of ``fetch`` a level. A unit is visited again only when its window widens or its certainty grows, so circles end.
    """
    labels = dict(start)
    followed: dict[tuple[int, int, str, str], Neighbour] = {}
    frontier, depth = list(start), 0
    while frontier and depth < max_depth and len(labels) < limit:
        depth += 1
        following: dict[int, None] = {}
        for edge in fetch(frontier):
            near, far = (edge.src, edge.dst) if forward != edge.reverse else (edge.dst, edge.src)
            window = _through(labels[near], edge, forward, tolerance)
            if window is None:
                continue
            followed[edge.src, edge.dst, edge.kind, edge.eid] = edge
            label = _merged(labels.get(far), labels[near], near, edge, window, depth)
            if label is not None:
                labels[far] = label
                following[far] = None
        frontier = list(following)
    return Walk(labels, followed, bool(frontier))


def _through(at: Label, edge: Neighbour, forward: bool, tolerance: int) -> tuple[int, int] | None:
    """The window at the far end of ``edge``, or None when the times do not meet."""
    if edge.kind == "relabelled":
        return at.low, at.high
    until = ENDLESS if edge.t_to is None else edge.t_to
    if forward:
        drawn = edge.kind in TRANSITIONS and at.type in LOT_TYPES
        last = edge.t_from if drawn else until
        if last < at.low - tolerance or edge.t_from > at.high + tolerance:
            return None
        return max(at.low, edge.t_from), until if drawn else min(at.high, until)
    if edge.t_from > at.high + tolerance or until < at.low - tolerance:
        return None
    if edge.kind in TRANSITIONS and edge.type in LOT_TYPES:
        return -ENDLESS, edge.t_from
    return max(at.low, edge.t_from), min(at.high, until)


def _merged(
    there: Label | None, at: Label, near: int, edge: Neighbour, window: tuple[int, int], depth: int
) -> Label | None:
    """The far unit's new label; None when nothing about it changes."""
    certainty = round(at.certainty * edge.certainty, 6)
    if there is None:
        return Label(depth, certainty, *window, near, edge, edge.type, edge.serial, edge.item, edge.finished)
    low, high = min(there.low, window[0]), max(there.high, window[1])
    if certainty <= there.certainty and (low, high) == (there.low, there.high):
        return None
    if there.by is None or certainty <= there.certainty:
        return there._replace(low=low, high=high, certainty=max(certainty, there.certainty))
    return there._replace(low=low, high=high, certainty=certainty, via=near, by=edge)
