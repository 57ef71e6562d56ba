"""What the inbox and the anomaly page ask: alarms, their history and pages, anomalies and what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shinkei_ui.read.reader import Reader, Row

_COLUMNS = """id, dedup_key, condition, machine, line, priority, state, occurrence, revision, since, active_since, returned_at, acknowledged_at,
acknowledged_by, shelved_until, closed_at, text, causes"""
_OPEN = f"select {_COLUMNS} from alarm where closed_at is null order by since desc"
_CLOSED = f"select {_COLUMNS} from alarm where closed_at is not null order by since desc limit %s"
_ONE = f"select {_COLUMNS} from alarm where id = %s"
_HISTORY = "select revision, transition, state, occurrence, time, actor, comment from alarm_event where alarm = %s order by revision"
_PAGES = "select target, priority, state, attempts, due_at, handed_over, last_error from delivery where alarm = %s order by created"
_CAUSES = "select kind, id, occurrence from alarm_cause where alarm = %s order by occurrence"
_OF_CAUSE = "select a.id, a.priority, a.state, a.text, a.machine from alarm_cause c join alarm a on a.id = c.alarm where c.kind = 'anomaly' and c.id = %s"
_ANOMALY = "select * from anomaly where id = %s"
_RECENT = "select id, machine, finding, began, ended, peak, phase, body from anomaly where %s::text is null or machine = %s order by began desc limit %s"


def open_alarms(reader: Reader) -> list[Row]:
    """Alarms that are not closed, newest first."""
    return reader.rows(_OPEN)


def closed_alarms(reader: Reader, most: int = 50) -> list[Row]:
    """The last alarms that are over, and those of the past that were only recorded."""
    return reader.rows(_CLOSED, most)


def alarm(reader: Reader, id: str) -> Row | None:
    """One alarm."""
    return reader.row(_ONE, id)


def history(reader: Reader, id: str) -> list[Row]:
    """Every transition of an alarm."""
    return reader.rows(_HISTORY, id)


def pages(reader: Reader, id: str) -> list[Row]:
    """Who was paged, and whether it was handed over."""
    return reader.rows(_PAGES, id)


def causes(reader: Reader, id: str) -> list[Row]:
    """What led to an alarm: kind and id."""
    return reader.rows(_CAUSES, id)


def anomaly(reader: Reader, id: str) -> Row | None:
    """The state of an anomaly that holds."""
    return reader.row(_ANOMALY, id)


def alarms_of(reader: Reader, anomaly_id: str) -> list[Row]:
    """Alarms that an anomaly led to."""
    return reader.rows(_OF_CAUSE, anomaly_id)


def recent_anomalies(reader: Reader, machine: str | None = None, most: int = 50) -> list[Row]:
    """The last anomalies, of one machine or of all."""
    return reader.rows(_RECENT, machine, machine, most)
