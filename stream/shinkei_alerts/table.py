"""Alarms in the database: read, written, their transitions recorded and put into the outbox. SQL only."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from shinkei_alerts.lifecycle import Alarm, Step
from shinkei_events.identity import digest
from shinkei_events.model.alarm import AlarmChanged, Cause
from shinkei_store import outbox

_COLUMNS = (
    "id", "dedup_key", "condition", "machine", "line", "priority", "state", "since", "text", "active_since", "returned_at", "acknowledged_at",
    "acknowledged_by", "acknowledged_occurrence", "shelved_until", "closed_at", "occurrence", "revision", "causes", "active_causes",
)  # fmt: skip
_JSON = frozenset({"text", "causes", "active_causes"})
_UPSERT = f"""insert into alarm ({", ".join(_COLUMNS)}) values ({", ".join(["%s"] * len(_COLUMNS))})
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[5:])}"""


def open_alarms(conn: psycopg.Connection[Any]) -> dict[str, Alarm]:
    """Open alarms by dedup key."""
    rows = conn.execute(f"select {', '.join(_COLUMNS)} from alarm where closed_at is null").fetchall()
    return {alarm.dedup_key: alarm for row in rows for alarm in [alarm_of(row)]}


def find(conn: psycopg.Connection[Any], id: str) -> Alarm | None:
    """One alarm by its id."""
    row = conn.execute(f"select {', '.join(_COLUMNS)} from alarm where id = %s", (id,)).fetchone()
    return alarm_of(row) if row else None


def alarm_of(row: tuple[Any, ...]) -> Alarm:
    """The alarm of a row of all columns."""
    return msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), Alarm)


def write(conn: psycopg.Connection[Any], alarm: Alarm) -> None:
    """Insert or update the row."""
    built = msgspec.to_builtins(alarm)
    conn.execute(_UPSERT, [Jsonb(built[name]) if name in _JSON else built[name] for name in _COLUMNS])
    for cause in alarm.causes:
        sql = "insert into alarm_cause (alarm, kind, id, occurrence) values (%s, %s, %s, %s) on conflict do nothing"
        conn.execute(sql, (alarm.id, cause.kind, cause.id, alarm.occurrence))


def record(conn: psycopg.Connection[Any], step: Step, source: str) -> None:
    """Append a transition and say it to the world, under the same id for ever."""
    event = changed(step)
    alarm = step.alarm
    body = Jsonb(msgspec.to_builtins(event))
    row = (alarm.id, alarm.revision, step.transition, alarm.state, alarm.occurrence, step.time, step.actor, step.comment, body)
    sql = """insert into alarm_event (alarm, revision, transition, state, occurrence, time, actor, comment, body)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing"""
    conn.execute(sql, row)
    outbox.put(conn, "alerts", event, source=source, id=f"{alarm.id}/{alarm.revision}")


def changed(step: Step) -> AlarmChanged:
    """The event of a transition."""
    alarm = step.alarm
    return AlarmChanged(
        id=alarm.id, revision=alarm.revision, dedup_key=alarm.dedup_key, condition=alarm.condition, machine=alarm.machine, line=alarm.line,
        state=alarm.state, transition=step.transition, priority=alarm.priority, occurrence=alarm.occurrence, time=step.time, since=alarm.since,
        causes=list(alarm.causes), text=alarm.text, actor=step.actor, comment=step.comment, until=alarm.shelved_until,
    )  # fmt: skip


def page_key(alarm: Alarm, target: str) -> str:
    """The stable key of a page: the same occurrence to the same target is the same page."""
    return digest("page", alarm.id, alarm.occurrence, target)


def put_page(conn: psycopg.Connection[Any], alarm: Alarm, target: str, title: str, body: str) -> bool:
    """Make a page due; False when it is there already."""
    sql = """insert into delivery (page, alarm, occurrence, target, priority, body) values (%s, %s, %s, %s, %s, %s)
        on conflict (page) do nothing returning page"""
    row = (page_key(alarm, target), alarm.id, alarm.occurrence, target, alarm.priority, Jsonb({"title": title, "body": body}))
    return conn.execute(sql, row).fetchone() is not None


def taken(conn: psycopg.Connection[Any], id: str, revision: int = 0) -> bool:
    """Remember an input; False when it (or a later revision of it) was taken before."""
    sql = """insert into alarm_input (id, revision) values (%s, %s)
        on conflict (id) do update set revision = excluded.revision where alarm_input.revision < excluded.revision returning id"""
    return conn.execute(sql, (id, revision)).fetchone() is not None


__all__ = ["Cause", "alarm_of", "changed", "find", "open_alarms", "page_key", "put_page", "record", "taken", "write"]
