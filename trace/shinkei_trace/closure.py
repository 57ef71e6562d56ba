"""Which finished goods contain what: ``top_closure``, kept true by difference as edges change.

A finished good is a part or lot that was packed or shipped and did not go into anything else. Answers "as known now"; what is not in a
finished good yet is found by walking the edges. Called by `ingest`, inside its transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from psycopg import Connection

from shinkei_trace.edges import Changed
from shinkei_trace.fold import CONSUMED, PACKED, RELABELLED, REMOVED, SHIPPED

INTO = (CONSUMED, RELABELLED, REMOVED)
"""Kinds by which one thing becomes part of another (packing only puts it beside others)."""

_PARENTS = "select dst, src, certainty from edge where dst = any(%s) and rec_to is null and kind = any(%s)"
_GOODS = """
select u.id, u.finished, exists (select from edge e where e.src = u.id and e.rec_to is null and e.kind in ('packed', 'shipped'))
  and not exists (select from edge e where e.src = u.id and e.rec_to is null and e.kind in ('consumed', 'relabelled'))
from unit u where u.id = any(%s) and u.kind in ('serial', 'lot')"""
_ABOVE = "select distinct finished_good from top_closure where ancestor = any(%s)"
_THERE = "select ancestor, finished_good, certainty from top_closure where finished_good = any(%s)"

Parents = Callable[[list[int]], Iterable[tuple[int, int, float]]]


def ancestors(goods: Iterable[int], parents: Parents) -> dict[tuple[int, int], float]:
    """``(ancestor, good)`` to certainty: the best path's product. ``parents(units)`` gives ``(unit, part of it, certainty)``.

    One call of ``parents`` a level. A circle ends because a unit is visited again only with a better certainty.
    """
    best: dict[tuple[int, int], float] = {}
    level: dict[int, dict[int, float]] = {good: {good: 1.0} for good in goods}
    while level:
        following: dict[int, dict[int, float]] = {}
        for unit, part, sure in parents(list(level)):
            for good, certainty in level[unit].items():
                reached = round(certainty * sure, 6)
                if part != good and reached > best.get((part, good), 0.0):
                    best[part, good] = reached
                    following.setdefault(part, {})[good] = reached
        level = following
    return best


def update_closure(conn: Connection[Any], changed: list[Changed], new: set[int]) -> None:
    """Correct the closure after ``changed`` edges. ``new``: units first seen in this batch (nothing is above them yet)."""
    concerned = {edge.src for edge in changed if edge.kind in (PACKED, SHIPPED)}
    concerned |= {edge.src for edge in changed if edge.kind in (CONSUMED, RELABELLED) and edge.src not in new}
    grown = {edge.dst for edge in changed if edge.kind in INTO and edge.dst not in new}
    concerned |= grown
    if grown:
        concerned |= {row[0] for row in conn.execute(_ABOVE, (list(grown),)).fetchall()}
    if not concerned:
        return
    states = conn.execute(_GOODS, (list(concerned),)).fetchall()
    goods = [unit for unit, _, now in states if now]
    touched = [unit for unit, before, now in states if before or now]
    if [unit for unit, before, now in states if before != now]:
        conn.execute(
            "update unit set finished = not finished where id = any(%s)",
            ([u for u, before, now in states if before != now],),
        )
    if touched:
        _correct(conn, touched, ancestors(goods, lambda units: conn.execute(_PARENTS, (units, list(INTO))).fetchall()))


def _correct(conn: Connection[Any], goods: list[int], wanted: dict[tuple[int, int], float]) -> None:
    there = {(row[0], row[1]): row[2] for row in conn.execute(_THERE, (goods,)).fetchall()}
    gone = [pair for pair in there if pair not in wanted]
    with conn.cursor() as cursor:
        if gone:
            cursor.executemany("delete from top_closure where ancestor = %s and finished_good = %s", gone)
        other = [(sure, *pair) for pair, sure in wanted.items() if pair in there and there[pair] != sure]
        if other:
            cursor.executemany(
                "update top_closure set certainty = %s where ancestor = %s and finished_good = %s", other
            )
        fresh = [(*pair, sure) for pair, sure in wanted.items() if pair not in there]
        if fresh:
            with cursor.copy("copy top_closure (ancestor, finished_good, certainty) from stdin") as copy:
                for row in fresh:
                    copy.write_row(row)
