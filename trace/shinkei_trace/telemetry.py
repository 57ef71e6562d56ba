"""The lineage's noteworthy events."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class LineageMended(Telemetry, frozen=True):
    """Rows of a holder were not what its facts say, and were replaced."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "lineage: rows of {holder} were not what its events say, and are now"
    metric: ClassVar[str | None] = "shinkei_trace_mended_rows"
    holder: str


class ContentConflict(Telemetry, frozen=True):
    """One operation id came with two contents: the first stands, the other is kept beside it."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "lineage: event {number} says something else than event {first} under the same id {eid}"
    metric: ClassVar[str | None] = "shinkei_trace_conflicts"
    eid: str
    number: int
    first: int


class EventUnreadable(Telemetry, frozen=True):
    """A recorded event cannot be read by this program."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "lineage: event {number} cannot be read: {reason}"
    metric: ClassVar[str | None] = "shinkei_trace_unreadable"
    number: int
    reason: str


class EventsProjected(Telemetry, frozen=True):
    """A batch of recorded events became lineage."""

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "lineage: {events} events up to {number}, {facts} about parts"
    metric: ClassVar[str | None] = "shinkei_trace_events"
    amount: ClassVar[str | None] = "events"
    number: int
    events: int
    facts: int


class LineageRebuilt(Telemetry, frozen=True):
    """Everything was projected from the record again."""

    text: ClassVar[str] = "lineage: made again from {number} events in {seconds:.1f} s"
    number: int
    seconds: float


class DatabaseAway(Telemetry, frozen=True):
    """The database does not answer; the lineage waits for it."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "lineage: the database is away: {reason}"
    reason: str


class DatabaseBack(Telemetry, frozen=True):
    """The database answers again."""

    text: ClassVar[str] = "lineage: the database is back"
