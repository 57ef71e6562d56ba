"""What is worth a line about alarms."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class AlarmMoved(Telemetry, frozen=True):
    """An alarm made a transition."""

    machine: str
    condition: str
    transition: str
    state: str
    occurrence: int
    id: str
    text: ClassVar[str] = "{machine}: {condition} {transition}, now {state}, occurrence {occurrence} ({id})"
    metric: ClassVar[str | None] = "shinkei_alarm_transitions"
    labels: ClassVar[tuple[str, ...]] = ("transition",)


class PageHandedOver(Telemetry, frozen=True):
    """A page was taken by its target."""

    alarm: str
    target: str
    attempts: int
    text: ClassVar[str] = "page of {alarm} handed to {target} (attempt {attempts})"
    metric: ClassVar[str | None] = "shinkei_pages_sent"


class PageRefused(Telemetry, frozen=True):
    """A page could not be handed over; it is tried again."""

    alarm: str
    target: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "page of {alarm} not taken by {target}: {why}"
    metric: ClassVar[str | None] = "shinkei_pages_refused"


class PageDead(Telemetry, frozen=True):
    """A page was given up."""

    alarm: str
    target: str
    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "page of {alarm} to {target} is given up; tell the person another way"
    metric: ClassVar[str | None] = "shinkei_pages_dead"
