"""The projection: a batch of ``event_raw`` becomes unit, event, edge, setup and closure rows, in one transaction with the position.

Idempotent: the position is locked, moves with the rows, and an operation that comes twice is one. Called by `run` for what is new and by
`rebuild` for everything. Nothing is decided here by arrival: rows follow from the facts, `fold` and `slots` say how.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Connection

from shinkei_events.telemetry import emit
from shinkei_trace import record, units
from shinkei_trace.closure import update_closure
from shinkei_trace.edges import write_edges
from shinkei_trace.facts import SHIPMENT, Fact, OperationFact, SetupFact, UnitKey
from shinkei_trace.planner import by_index
from shinkei_trace.setup import write_setup
from shinkei_trace.telemetry import ContentConflict, EventsProjected, EventUnreadable

BATCH = 2_000

_SEEN = "select eid, raw_number, content from seen where eid = any(%s::uuid[])"
_COPY_SEEN = "copy seen (eid, raw_number, content, corrects) from stdin"
_COPY_EVENT = "copy event (eid, ts, unit, role, machine, op, result, product, started, raw_number, slot) from stdin"
_CONFLICT = "insert into conflict (eid, raw_number, first_number) values (%s::uuid, %s, %s) on conflict do nothing"
_FINDING = "insert into finding (raw_number, kind, unit, detail) values (%s, %s, %s, %s) on conflict do nothing"


class Projected(NamedTuple):
    """What a batch was: the position after it, how many events, facts, repeats and conflicts."""

    number: int
    events: int
    facts: int = 0
    repeats: int = 0
    conflicts: int = 0


def project(conn: Connection[Any], limit: int = BATCH) -> Projected:
    """Project the next up to ``limit`` events and commit. ``conn``: of the trace part, outside a transaction.

    Two projectors at once are safe: one waits for the other's commit.
    """
    with conn.transaction():
        row = conn.execute("select number from trace_position for update").fetchone()
        assert row is not None
        by_index(conn)
        done = project_after(conn, int(row[0]), limit)
        if done.events:
            conn.execute("update trace_position set number = %s", (done.number,))
    if done.events:
        emit(EventsProjected(done.number, done.events, done.facts))
    return done


def project_after(conn: Connection[Any], position: int, limit: int) -> Projected:
    """Write the rows of up to ``limit`` events after ``position`` in the open transaction; the caller moves the position."""
    page = record.next_page(conn, position, limit)
    for number, reason in page.unreadable:
        conn.execute(_FINDING, (number, "unreadable", None, reason))
        emit(EventUnreadable(number, reason))
    fresh, conflicts = _new_facts(conn, page.facts)
    for fact, first in conflicts:
        conn.execute(_CONFLICT, (fact.eid, fact.number, first))
        emit(ContentConflict(fact.eid, fact.number, first))
    if fresh:
        _write(conn, fresh, position)
    return Projected(page.upto, page.events, len(fresh), len(page.facts) - len(fresh) - len(conflicts), len(conflicts))


def _new_facts(conn: Connection[Any], facts: list[Fact]) -> tuple[list[Fact], list[tuple[Fact, int]]]:
    """Facts not seen before, and those that contradict the first one of their eid (with its number)."""
    rows = conn.execute(_SEEN, ([fact.eid for fact in facts],)).fetchall() if facts else []
    seen = {eid.hex: (int(number), content.hex) for eid, number, content in rows}
    fresh: list[Fact] = []
    conflicts: list[tuple[Fact, int]] = []
    for fact in facts:
        before = seen.get(fact.eid)
        if before is None:
            seen[fact.eid] = (fact.number, fact.content)
            fresh.append(fact)
        elif before[1] != fact.content:
            conflicts.append((fact, before[0]))
    return fresh, conflicts


def _write(conn: Connection[Any], facts: list[Fact], position: int) -> None:
    known = units.register(conn, units.sights(facts))
    with conn.cursor() as cursor:
        with cursor.copy(_COPY_SEEN) as copy:
            for fact in facts:
                copy.write_row(
                    (fact.eid, fact.number, fact.content, fact.corrects if isinstance(fact, OperationFact) else None)
                )
        with cursor.copy(_COPY_EVENT) as copy:
            for fact in facts:
                for row in _event_rows(fact, known.ids):
                    copy.write_row(row)
    changed = write_edges(conn, [fact for fact in facts if isinstance(fact, OperationFact)], known)
    write_setup(conn, [fact for fact in facts if isinstance(fact, SetupFact)], known, position)
    update_closure(conn, changed, {known.ids[key] for key in known.new})


def _event_rows(fact: Fact, ids: dict[UnitKey, int]) -> list[tuple[Any, ...]]:
    """One row for each unit of the operation, or for the unit that was mounted."""
    if isinstance(fact, SetupFact):
        row = (
            fact.eid,
            fact.time,
            ids[fact.unit],
            "both",
            fact.machine,
            fact.action,
            "",
            None,
            fact.begin,
            fact.number,
            fact.slot,
        )
        return [row]
    return [
        (
            fact.eid,
            fact.time,
            ids[key],
            role,
            fact.machine,
            fact.kind,
            fact.result,
            fact.product,
            fact.started,
            fact.number,
            None,
        )
        for key, role in _roles(fact).items()
    ]


def _roles(fact: OperationFact) -> dict[UnitKey, str]:
    """``input``: it went into something else; ``output``: it came to be; ``both``: it was there before and after."""
    inputs, outputs = {part.key for part in fact.inputs}, {part.key for part in fact.outputs}
    stays = fact.kind in ("pack", "unpack", "ship", "disassemble") or not outputs
    made = {
        key: "both" if key in inputs or (fact.kind == "unpack" and key.type != SHIPMENT) else "output"
        for key in sorted(outputs)
    }
    return made | dict.fromkeys(sorted(inputs - outputs), "both" if stays else "input")
