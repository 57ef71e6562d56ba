"""Alarms in the database: read, written, their transitions recorded and put into the outbox. SQL only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from shinkei_alerts.conditions import GATEWAY_SILENT, Effect
from shinkei_alerts.engine import Rules, Timer
from shinkei_alerts.lifecycle import Alarm, Step
from shinkei_events.identity import digest
from shinkei_events.model.alarm import AlarmChanged, Cause
from shinkei_events.model.master import Condition
from shinkei_events.topics import ANOMALIES, DECISIONS
from shinkei_store import outbox

_COLUMNS = (
    "id", "dedup_key", "condition", "machine", "line", "priority", "state", "since", "text", "active_since", "returned_at", "acknowledged_at",
    "acknowledged_by", "acknowledged_occurrence", "shelved_until", "closed_at", "occurrence", "revision", "causes", "active_causes",
)  # fmt: skip
_JSON = frozenset({"text", "causes", "active_causes"})
_UPSERT = f"""insert into alarm ({", ".join(_COLUMNS)}) values ({", ".join(["%s"] * len(_COLUMNS))})
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[5:])}"""

LATE_WAITS_S = 5.0
SETTLED_NS = 10**9

_FRAMES = """
select s.machine, s.epoch::text, f.t1, f.production from stream s
cross join lateral (select t1, production from frame where stream_id = s.id order by first desc limit 20) f
where s.machine = any(%s) and s.kind = 'signals' and s.closed_at is null"""
_GATEWAYS = """
select n.source, max(to_ns(greatest(last.recorded, shown.received))) from (
  select distinct on (machine) id, epoch, machine, source from stream where kind = 'production' order by machine, epoch desc) n
cross join lateral (select type, recorded from event_raw where stream_id = n.id order by stream_number desc limit 1) last
left join lateral (
  select f.received from stream s join frame f on f.stream_id = s.id
  where s.epoch = n.epoch and s.machine = n.machine and s.kind = 'signals' order by f.first desc limit 1) shown on true
where last.type <> 'shinkei.stream_closed.v1' group by n.source"""
_UNTAKEN = """
with said as (
  select number, type, body, id, id as of_id, 0 as revision from outbox where topic = %(decisions)s
  union all
  (select distinct on (split_part(id, '/', 1)) number, type, body, id, split_part(id, '/', 1), split_part(id, '/', 2)::integer
   from outbox where topic = %(anomalies)s and type = 'shinkei.anomaly.v1' order by split_part(id, '/', 1), number desc))
select s.type, s.body from said s
where not exists (select from alarm_input i where i.id = s.of_id and i.revision >= s.revision) order by s.number"""


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
    row = (
        alarm.id,
        alarm.revision,
        step.transition,
        alarm.state,
        alarm.occurrence,
        step.time,
        step.actor,
        step.comment,
        body,
    )
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


def put_page(
    conn: psycopg.Connection[Any], alarm: Alarm, target: str, title: str, body: str, *, late: bool = False
) -> bool:
    """Make a page due; False when it is there already. A ``late`` one is due a little later, to be dropped if the alarm is over by then."""
    sql = """insert into delivery (page, alarm, occurrence, target, priority, body, due_at)
        values (%s, %s, %s, %s, %s, %s, now() + %s * interval '1 second') on conflict (page) do nothing returning page"""
    content = Jsonb({"title": title, "body": body, "late": late})
    row = (
        page_key(alarm, target),
        alarm.id,
        alarm.occurrence,
        target,
        alarm.priority,
        content,
        LATE_WAITS_S if late else 0.0,
    )
    return conn.execute(sql, row).fetchone() is not None


def taken(conn: psycopg.Connection[Any], id: str, revision: int = 0) -> bool:
    """Remember an input; False when it (or a later revision of it) was taken before."""
    sql = """insert into alarm_input (id, revision) values (%s, %s)
        on conflict (id) do update set revision = excluded.revision where alarm_input.revision < excluded.revision returning id"""
    return conn.execute(sql, (id, revision)).fetchone() is not None


def untaken(conn: psycopg.Connection[Any]) -> list[tuple[str, bytes]]:
    """Type and body of anomalies (their last revisions) and decisions in the producers' outboxes that were never taken."""
    rows = conn.execute(_UNTAKEN, {"anomalies": ANOMALIES.name, "decisions": DECISIONS.name}).fetchall()
    return [(type, bytes(body)) for type, body in rows]


def rules(conn: psycopg.Connection[Any]) -> Rules:
    """Conditions, reasons, lines and signals' titles of the master data as they are now."""
    found = conn.execute(
        "select kind, name, body from v_master where kind in ('condition', 'reason', 'machine', 'signal') order by name"
    ).fetchall()
    conditions = {name: msgspec.convert(body, Condition) for kind, name, body in found if kind == "condition"}
    if all(condition.on != "gateway" for condition in conditions.values()):
        conditions[GATEWAY_SILENT.name] = GATEWAY_SILENT
    return Rules(
        conditions,
        {name: body.get("title", {}) for kind, name, body in found if kind == "reason"},
        {name: body["path"].rpartition("/")[0] or None for kind, name, body in found if kind == "machine"},
        {name: body["title"] for kind, name, body in found if kind == "signal" and body.get("title")},
    )


class _Kept(msgspec.Struct, frozen=True):
    condition: str
    machine: str
    cause: Cause
    active: bool
    time: int
    text: dict[str, str]


def timers(conn: psycopg.Connection[Any], conditions: Mapping[str, Condition]) -> dict[str, Timer]:
    """Waiting timers by name; those of conditions that are no more are left out."""
    found = {}
    for name, due, body in conn.execute("select key, due, body from alert_timer").fetchall():
        kept = msgspec.convert(body, _Kept)
        if kept.condition in conditions:
            effect = Effect(conditions[kept.condition], kept.machine, kept.cause, kept.active, kept.time)
            found[name] = Timer(effect, due, kept.text)
    return found


def keep_timers(conn: psycopg.Connection[Any], changed: Mapping[str, Timer | None]) -> None:
    """Store timers that were set, forget those that are None."""
    for name, timer in changed.items():
        if timer is None:
            conn.execute("delete from alert_timer where key = %s", (name,))
            continue
        effect = timer.effect
        kept = _Kept(effect.condition.name, effect.machine, effect.cause, effect.active, effect.time, timer.text)
        sql = "insert into alert_timer (key, due, body) values (%s, %s, %s) on conflict (key) do update set due = excluded.due, body = excluded.body"
        conn.execute(sql, (name, timer.due, Jsonb(msgspec.to_builtins(kept))))


def gateways(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """Gateways (``gateway/ID/SHARD``) that some machine's newest stream comes from and has not ended, with the time (ns UTC) of their last record."""
    found = conn.execute(_GATEWAYS).fetchall()
    return {source: int(recorded) for source, recorded in found if source.startswith("gateway/")}


def horizons(conn: psycopg.Connection[Any], machines: set[str], taken: Mapping[str, int]) -> dict[str, int]:
    """Up to which source time (ns UTC) everything of a machine was taken: a frame says which production events were before it.

    ``taken``: by production stream, the last number taken. Less `SETTLED_NS`, by which an event may come after the readings around it.
    """
    found: dict[str, int] = {}
    for machine, epoch, until, production in conn.execute(_FRAMES, (sorted(machines),)).fetchall() if machines else ():
        if production <= taken.get(f"{epoch}/{machine}/production", 0):
            found[machine] = max(found.get(machine, 0), until - SETTLED_NS)
    return found
