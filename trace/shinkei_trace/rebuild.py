"""Making the lineage again from its log, and digests of it over natural keys: the proof that it is nothing but a projection."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from psycopg import Connection

from shinkei_events.telemetry import emit
from shinkei_trace.ingest import BATCH, project_after
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


def rebuild(conn: Connection[Any], batch: int = BATCH) -> int:
    """Project everything again, in one transaction: readers see the old rows until the new ones are whole. Returns the last number.

    Units keep their ids, because cases point at them. The running projector waits.
    """
    began = time.monotonic()
    with conn.transaction():
        conn.execute("select number from trace_position for update")
        for table in _TABLES:
            conn.execute(f"delete from {table}")
        conn.execute("update unit set item = null, finished = false")
        number = 0
        while (done := project_after(conn, number, batch)).events:
            number = done.number
        conn.execute("update trace_position set number = %s", (number,))
    emit(LineageRebuilt(number, time.monotonic() - began))
    return number
