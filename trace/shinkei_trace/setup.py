"""Setup intervals of a batch into their table: a step for changes that come in order, a new fold of the slot for late ones.

Called by `ingest`, inside its transaction, after the batch's event rows are written.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from shinkei_trace import record, units
from shinkei_trace.facts import SetupFact, UnitKey
from shinkei_trace.slots import Interval, IntervalVersion, order, slot_versions

_LAST = "select max(ts) from event where machine = %s and slot = %s and raw_number <= %s"
_NUMBERS = "select distinct raw_number from event where machine = %s and slot = %s"
_OPEN = """
select u.kind, u.serial, s.t_from, s.t_to, s.ev, s.certainty, s.rec_from, s.rec_to from setup s join unit u on u.id = s.unit
where s.machine = %s and s.slot = %s and s.rec_to is null and s.t_to is null"""
_ALL = """
select u.kind, u.serial, s.t_from, s.t_to, s.ev, s.certainty, s.rec_from, s.rec_to from setup s join unit u on u.id = s.unit
where s.machine = %s and s.slot = %s"""
_COPY = "copy setup (machine, slot, unit, t_from, t_to, ev, certainty, rec_from, rec_to) from stdin"
_CLOSE = """
update setup set rec_to = %s where machine = %s and slot = %s and unit = %s and t_from = %s and t_to is not distinct from %s
  and ev = %s::uuid and certainty = %s and rec_from = %s and rec_to is null"""


def write_setup(conn: Connection[Any], facts: list[SetupFact], known: units.Known, before: int) -> None:
    """Write what ``facts`` (new ones, in the order of their numbers) mean; ``before``: the last number of the batch before."""
    slots: dict[tuple[str, str], list[SetupFact]] = {}
    for fact in facts:
        slots.setdefault((fact.machine, fact.slot), []).append(fact)
    for slot, told in slots.items():
        last = conn.execute(_LAST, (*slot, before)).fetchone()
        in_order = told == sorted(told, key=order) and (last is None or last[0] is None or told[0].time > last[0])
        if in_order:
            there = _stored(conn, slot, _OPEN)
            wanted = slot_versions(told, dict(there.keys()))
        else:
            there = _stored(conn, slot, _ALL)
            found = record.facts_at(conn, [row[0] for row in conn.execute(_NUMBERS, slot).fetchall()])
            wanted = slot_versions(fact for fact in found if isinstance(fact, SetupFact))
        _store(conn, there, wanted, known)


def _stored(conn: Connection[Any], slot: tuple[str, str], query: str) -> dict[tuple[Interval, int], int | None]:
    return {
        (Interval(*slot, UnitKey(kind, serial), t_from, t_to, ev.hex, certainty), rec_from): rec_to
        for kind, serial, t_from, t_to, ev, certainty, rec_from, rec_to in conn.execute(query, slot).fetchall()
    }


def _store(
    conn: Connection[Any],
    there: dict[tuple[Interval, int], int | None],
    wanted: list[IntervalVersion],
    known: units.Known,
) -> None:
    ids = dict(known.ids)
    ids |= units.find(conn, {version.interval.unit for version in wanted} - ids.keys())
    fresh: list[IntervalVersion] = []
    for version in wanted:
        row = version.interval
        if (row, version.rec_from) not in there:
            fresh.append(version)
        elif there[row, version.rec_from] != version.rec_to:
            key = (row.machine, row.slot, ids[row.unit], row.t_from, row.t_to, row.eid, row.certainty, version.rec_from)
            conn.execute(_CLOSE, (version.rec_to, *key))
    if fresh:
        with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
            for version in fresh:
                row = version.interval
                copy.write_row(
                    (
                        row.machine,
                        row.slot,
                        ids[row.unit],
                        row.t_from,
                        row.t_to,
                        row.eid,
                        row.certainty,
                        version.rec_from,
                        version.rec_to,
                    )
                )
