"""What is worth a line in the parts that read the log and write to the database."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class PeerAway(Telemetry, frozen=True):
    """A database or log is not there; work waits and nothing is lost."""

    who: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "{who}: waiting for a peer: {why}"


class PeerBack(Telemetry, frozen=True):
    """The peer is there again."""

    who: str
    text: ClassVar[str] = "{who}: the peer is there again"


class PartitionLoaded(Telemetry, frozen=True):
    """A consumer has loaded the state of a partition."""

    consumer: str
    topic: str
    partition: int
    streams: int
    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "{consumer}: {topic}/{partition} loaded with {streams} streams"


class PartitionFenced(Telemetry, frozen=True):
    """Somebody else moved a position; what was in memory is dropped and loaded again."""

    consumer: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "{consumer}: state dropped and loaded again: {why}"
    metric: ClassVar[str | None] = "shinkei_consumer_fenced"


class RecordRefused(Telemetry, frozen=True):
    """A record of the log could not be understood; it is in the quarantine table, its neighbours go on."""

    consumer: str
    where: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "{consumer}: record {where} refused: {why}"
    metric: ClassVar[str | None] = "shinkei_records_refused"


class HoleAsked(Telemetry, frozen=True):
    """Numbers are missing; the gateway is asked to send them again."""

    stream: str
    number: int
    text: ClassVar[str] = "{stream}: number {number} is missing; asked to send again"
    metric: ClassVar[str | None] = "shinkei_holes_asked"


class GapRecorded(Telemetry, frozen=True):
    """Numbers are missing for good and a gap record covers them."""

    stream: str
    begin: int
    end: int
    cause: str
    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "{stream}: numbers {begin} to before {end} are lost ({cause}); a gap record says so"
    metric: ClassVar[str | None] = "shinkei_gaps_recorded"
