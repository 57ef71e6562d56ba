"""Edges of a batch into their table: straight for holders that only ever took in, by a new fold of the holder otherwise.

Taking out and corrections change what was believed, so the holders they concern are folded from all their facts; everything else adds
rows and changes none. Called by `ingest`, inside its transaction, after the batch's event and seen rows are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from psycopg import Connection

from shinkei_events.telemetry import emit
from shinkei_trace import record, units
from shinkei_trace.facts import OperationFact, UnitKey
from shinkei_trace.fold import TAKING, Version, holders, put_all, versions
from shinkei_trace.telemetry import LineageMended

_COPY = "copy edge (src, dst, t_from, t_to, ev, kind, qty, certainty, rec_from, rec_to) from stdin"
_CHANGED = """
select distinct e.unit from event e
where e.unit = any(%s) and (e.op = any(%s) or exists (select from seen s where s.corrects = e.eid))"""
_OF_EVENTS = "select distinct unit from event where eid = any(%s::uuid[]) and role <> 'input'"
_KEYS = "select id, kind, serial from unit where id = any(%s)"
_FACTS = """
with own as (select eid, raw_number from event where unit = %s and role <> 'input')
select raw_number from own union select s.raw_number from seen s join own on s.corrects = own.eid"""
_ROWS = """
select src, dst, t_from, t_to, ev, kind, qty, certainty, rec_from, rec_to from edge
where (dst = %(holder)s and kind <> 'removed') or (src = %(holder)s and kind = 'removed')"""
_CLOSE = """
update edge set rec_to = %s where src = %s and dst = %s and t_from = %s and t_to is not distinct from %s and ev = %s::uuid and kind = %s
  and rec_from = %s and rec_to is null"""
_DROP = """
delete from edge where src = %s and dst = %s and t_from = %s and t_to is not distinct from %s and ev = %s::uuid and kind = %s and rec_from = %s"""

Row = tuple[int, int, int, int | None, str, str, float, float, int]
"""src, dst, t_from, t_to, ev, kind, qty, certainty, rec_from."""


class Changed(NamedTuple):
    """An edge whose belief changed in this batch: appeared, or ended."""

    src: int
    dst: int
    kind: str


def write_edges(conn: Connection[Any], facts: list[OperationFact], known: units.Known) -> list[Changed]:
    """Write what ``facts`` (new ones, in the order of their numbers) mean for edges."""
    slow = _to_fold(conn, facts, known)
    rows: list[tuple[Row, int | None]] = []
    for fact in facts:
        fresh = (edge for edge in put_all(fact) if edge.dst not in slow)
        rows += [((known.ids[edge.src], known.ids[edge.dst], *edge[2:], fact.number), None) for edge in fresh]
    changed = [Changed(row[0], row[1], row[5]) for row, _ in rows]
    for holder, number in sorted(slow.items()):
        added, others = _fold_again(conn, holder, number)
        rows += added
        changed += others
    if rows:
        with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row, rec_to in rows:
                copy.write_row((*row, rec_to))
    return changed


def _to_fold(conn: Connection[Any], facts: list[OperationFact], known: units.Known) -> dict[UnitKey, int]:
    """Holders of the batch that are to be folded from all their facts."""
    corrected = [fact.corrects for fact in facts if fact.corrects is not None]
    taking = {key for fact in facts if fact.kind in TAKING for key in holders(fact)}
    touched = {key for fact in facts for key in holders(fact)}
    unsettled = touched if corrected or taking else touched - known.new
    found: set[int] = {known.ids[key] for key in taking}
    if unsettled:
        found |= {
            row[0] for row in conn.execute(_CHANGED, ([known.ids[key] for key in unsettled], sorted(TAKING))).fetchall()
        }
    if corrected:
        found |= {row[0] for row in conn.execute(_OF_EVENTS, (corrected,)).fetchall()}
    if not found:
        return {}
    return {UnitKey(kind, serial): number for number, kind, serial in conn.execute(_KEYS, (list(found),)).fetchall()}


def _fold_again(
    conn: Connection[Any], holder: UnitKey, number: int
) -> tuple[list[tuple[Row, int | None]], list[Changed]]:
    """Rows to add for ``holder``, after those that are no longer believed were closed."""
    numbers = [row[0] for row in conn.execute(_FACTS, (number,)).fetchall()]
    facts = [fact for fact in record.facts_at(conn, numbers) if isinstance(fact, OperationFact)]
    wanted = _rows(conn, versions(holder, facts))
    there: dict[Row, int | None] = {}
    for row in conn.execute(_ROWS, {"holder": number}).fetchall():
        there[(*row[:4], row[4].hex, *row[5:9])] = row[9]
    changed: list[Changed] = []
    for row, rec_to in there.items():
        if row not in wanted:
            emit(LineageMended(f"{holder.type} {holder.id}"))
            conn.execute(_DROP, (*row[:6], row[8]))
        elif wanted[row] != rec_to:
            conn.execute(_CLOSE, (wanted[row], *row[:6], row[8]))
        else:
            continue
        changed.append(Changed(row[0], row[1], row[5]))
    added = [(row, rec_to) for row, rec_to in wanted.items() if row not in there]
    return added, changed + [Changed(row[0], row[1], row[5]) for row, _ in added]


def _rows(conn: Connection[Any], found: Iterable[Version]) -> dict[Row, int | None]:
    every = list(found)
    ids = units.find(conn, {key for version in every for key in (version.edge.src, version.edge.dst)})
    return {(ids[v.edge.src], ids[v.edge.dst], *v.edge[2:], v.rec_from): v.rec_to for v in every}
