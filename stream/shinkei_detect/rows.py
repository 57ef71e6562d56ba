"""The detector's tables: anomalies with all their revisions, and model snapshots. SQL only; transactions are the caller's."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from shinkei_detect.snapshot import Snapshot
from shinkei_events.identity import StreamId
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_store import outbox

PART = "detect"

_EVENT = "insert into anomaly_event (id, revision, time, body) values (%s, %s, %s, %s) on conflict do nothing"

_ANOMALY = """
insert into anomaly (id, revision, phase, finding, rule, machine, stream, first, last, began, ended, score, peak, body)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (id) do update set revision = excluded.revision, phase = excluded.phase, last = excluded.last, ended = excluded.ended,
  score = excluded.score, peak = excluded.peak, body = excluded.body
where anomaly.revision < excluded.revision"""

_SNAPSHOT = """
insert into model_snapshot (machine, stream, kind, next_number, version, sha256, blob) values (%s, %s, 'machine', %s, %s, %s, %s)
on conflict (machine, stream, kind) do update set next_number = excluded.next_number, version = excluded.version,
  sha256 = excluded.sha256, blob = excluded.blob, made = now()"""

_FIRST_RECORDED = """
select min(f.first) from frame f
where f.stream_id = (select id from stream where epoch = %s and machine = %s and kind = %s)"""


def write(conn: psycopg.Connection[Any], event: AnomalyChanged, source: str) -> bool:
    """Store one revision and put it into the outbox; False when it is there already (a replay)."""
    if not outbox.put(conn, PART, event, source=source, id=f"{event.id}/{event.revision}"):
        return False
    body = msgspec.json.encode(event).decode()
    conn.execute(_EVENT, (event.id, event.revision, event.time, body))
    conn.execute(
        _ANOMALY,
        (
            event.id, event.revision, event.phase, event.finding, event.rule, event.machine, str(event.stream), event.first, event.last,
            event.began, event.ended, event.score, event.peak, body,
        ),
    )  # fmt: skip
    return True


def open_anomalies(conn: psycopg.Connection[Any], stream: str) -> list[AnomalyChanged]:
    """The last revisions of what is open on ``stream``."""
    rows = conn.execute("select body::text from anomaly where stream = %s and phase <> 'closed' order by id", (stream,))
    return [msgspec.json.decode(body, type=AnomalyChanged) for (body,) in rows]


def said_by_others(conn: psycopg.Connection[Any], stream: str, version: str) -> bool:
    """Whether another version of the detector has spoken about ``stream``."""
    found = conn.execute("select 1 from anomaly where stream = %s and body->>'model' <> %s limit 1", (stream, version))
    return found.fetchone() is not None


def revisions(conn: psycopg.Connection[Any], stream: str) -> list[AnomalyChanged]:
    """Every revision ever said about ``stream``, by time, id and revision."""
    rows = conn.execute(
        "select e.body::text from anomaly_event e join anomaly a using (id) where a.stream = %s order by e.time, e.id, e.revision",
        (stream,),
    )
    return [msgspec.json.decode(body, type=AnomalyChanged) for (body,) in rows]


def read_snapshot(conn: psycopg.Connection[Any], stream: str) -> Snapshot | None:
    """The snapshot of ``stream``; raises `SnapshotRefused` when its form is unknown."""
    row = conn.execute("select blob from model_snapshot where stream = %s and kind = 'machine'", (stream,)).fetchone()
    return Snapshot.decode(bytes(row[0])) if row else None


def write_snapshot(conn: psycopg.Connection[Any], snapshot: Snapshot) -> None:
    """Replace the snapshot of its stream."""
    header = snapshot.header
    machine = StreamId.parse(header.stream).machine
    conn.execute(
        _SNAPSHOT, (machine, header.stream, header.next_number, header.version, header.sha256, snapshot.encode())
    )


def first_recorded(conn: psycopg.Connection[Any], stream: str) -> int | None:
    """Number with which the record of ``stream`` begins now (older frames may have gone), or None when it is empty."""
    one = StreamId.parse(stream)
    row = conn.execute(_FIRST_RECORDED, (one.epoch, one.machine, one.kind)).fetchone()
    return int(row[0]) if row and row[0] is not None else None
