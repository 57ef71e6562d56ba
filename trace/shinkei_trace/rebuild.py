"""Making the lineage again from its log, and digests of it over natural keys: the proof that it is nothing but a projection."""

from __future__ import annotations

import hashlib
import time
from typing import Any, NamedTuple

from psycopg import Connection

from shinkei_events.errors import Corrupt
from shinkei_events.telemetry import emit
from shinkei_trace.ingest import BATCH, project_after
from shinkei_trace.planner import by_index
from shinkei_trace.telemetry import LineageRebuilt

_TABLES = ("event", "edge", "setup", "top_closure", "seen", "conflict", "finding")

_NOW = {
    "unit": "select u.kind, u.serial, u.item, u.finished from unit u where exists (select from event e where e.unit = u.id)",
    "event": "select e.eid, u.kind, u.serial, e.ts, e.role, e.machine, e.op, e.result, e.product, e.started, e.slot from event e join unit u on u.id = e.unit",
    "edge": """select a.kind, a.serial, b.kind, b.serial, e.t_from, e.t_to, e.ev, e.kind, e.qty, e.certainty
               from edge e join unit a on a.id = e.src join unit b on b.id = e.dst where e.rec_to is null""",
    "setup": """select s.machine, s.slot, u.kind, u.serial, s.t_from, s.t_to, s.ev, s.certainty from setup s join unit u on u.id = s.unit
                where s.rec_to is null""",
    "top_closure": """select a.kind, a.serial, b.kind, b.serial, c.certainty
                      from top_closure c join unit a on a.id = c.ancestor join unit b on b.id = c.finished_good""",
}
_RECORDED = {
    "event": "select e.eid, u.kind, u.serial, e.raw_number from event e join unit u on u.id = e.unit",
    "edge": """select a.kind, a.serial, b.kind, b.serial, e.t_from, e.t_to, e.ev, e.kind, e.rec_from, e.rec_to
               from edge e join unit a on a.id = e.src join unit b on b.id = e.dst""",
    "setup": """select s.machine, s.slot, u.kind, u.serial, s.t_from, s.t_to, s.ev, s.certainty, s.rec_from, s.rec_to
                from setup s join unit u on u.id = s.unit""",
    "seen": "select eid, raw_number, content, corrects from seen",
    "conflict": "select eid, raw_number, first_number from conflict",
    "finding": "select raw_number, kind, unit, detail from finding",
}


def state_hash(conn: Connection[Any], *, recorded: bool = False) -> dict[str, str]:
    """A digest of each table over natural keys: what is believed now, whatever the order in which it came.

    ``recorded``: also from when to when it was believed; the same only for the same log.
    """
    hashes = {name: _digest(conn, query) for name, query in _NOW.items()}
    if recorded:
        hashes |= {f"{name}.recorded": _digest(conn, query) for name, query in _RECORDED.items()}
    return hashes


def _digest(conn: Connection[Any], query: str) -> str:
    """The sum of the rows' digests: rows have no order, and none is left out by being there twice."""
    total = 0
    with conn.transaction(), conn.cursor(name="shinkei_digest") as cursor:
        cursor.itersize = 5_000
        cursor.execute(query)
        for row in cursor:
            total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=16).digest(), "big")
    return f"{total & (1 << 128) - 1:032x}"


class Rebuilt(NamedTuple):
    """The last event's number, and the state before and after (empty when it was not asked for)."""

    number: int
    before: dict[str, str]
    after: dict[str, str]

    @property
    def same(self) -> bool:
        """Whether it was nothing but a projection."""
        return self.before == self.after


def rebuild(conn: Connection[Any], batch: int = BATCH, *, compare: bool = False) -> Rebuilt:
    """Project everything again up to where it stood, in one transaction: readers see the old rows until the new ones are whole.

    Units keep their ids, because cases point at them. The running projector waits, and goes on from there. ``compare``: with digests.
    """
    began = time.monotonic()
    with conn.transaction():
        row = conn.execute("select number from trace_position for update").fetchone()
        assert row is not None
        upto = int(row[0])
        before = state_hash(conn, recorded=True) if compare else {}
        for table in _TABLES:
            conn.execute(f"delete from {table}")
        conn.execute("update unit set item = null, finished = false")
        by_index(conn)
        number = 0
        while number < upto and (done := project_after(conn, number, min(batch, upto - number))).events:
            number = done.number
        if number < upto:
            raise Corrupt(f"the record ends at {number}, the lineage stood at {upto}; nothing was changed")
        after = state_hash(conn, recorded=True) if compare else {}
    emit(LineageRebuilt(upto, time.monotonic() - began))
    return Rebuilt(upto, before, after)
