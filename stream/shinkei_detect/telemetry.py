"""What is worth a line in the detector; nothing per reading."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class AnomalyOpened(Telemetry, frozen=True):
    """An anomaly or a finding about the data was opened."""

    machine: str
    finding: str
    rule: str
    signal: str
    id: str
    text: ClassVar[str] = "{machine}: {finding} opened ({rule} {signal}), {id}"
    metric: ClassVar[str | None] = "shinkei_detect_opened"
    labels: ClassVar[tuple[str, ...]] = ("machine", "finding")


class SnapshotNotUsed(Telemetry, frozen=True):
    """A snapshot does not fit this program; its machine is learned again from the record. Nothing is lost, it takes time."""

    stream: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "{why}"
    metric: ClassVar[str | None] = "shinkei_detect_snapshots_refused"


class ModelsLoaded(Telemetry, frozen=True):
    """The models of a partition were loaded, or begin empty."""

    partition: int
    streams: int
    restored: int
    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "partition {partition}: {restored} of {streams} streams from snapshots"


class ReadingsJudged(Telemetry, frozen=True):
    """Readings went through the detector."""

    readings: int
    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "{readings} readings judged"
    metric: ClassVar[str | None] = "shinkei_detect_readings"
    amount: ClassVar[str | None] = "readings"
