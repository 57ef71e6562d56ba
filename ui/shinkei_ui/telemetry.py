"""What the screens' process tells its operator."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class FeedConnected(Telemetry, frozen=True):
    """The board reads the log."""

    text: ClassVar[str] = "the board reads the log at {bootstrap}"
    bootstrap: str


class FeedLost(Telemetry, frozen=True):
    """The board has lost the log; it shows how old its data are and looks for it again."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the board cannot read the log: {why}"
    metric: ClassVar[str | None] = "shinkei_board_log_losses_total"
    why: str


class FeedRecordRefused(Telemetry, frozen=True):
    """A record of the log that the board cannot read; it is left out here and quarantined by the recorder."""

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "{topic}: {why}"
    metric: ClassVar[str | None] = "shinkei_board_records_refused_total"
    labels: ClassVar[tuple[str, ...]] = ("topic",)
    topic: str
    why: str


class DatabaseAway(Telemetry, frozen=True):
    """The database does not answer; figures and lists stay as they were and say so."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the screens cannot read the database: {why}"
    metric: ClassVar[str | None] = "shinkei_screen_database_losses_total"
    why: str


class DatabaseBack(Telemetry, frozen=True):
    """The database answers again."""

    text: ClassVar[str] = "the screens read the database"


class ScreenFailed(Telemetry, frozen=True):
    """A screen could not be drawn; the visitor saw a sentence with this id instead."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "screen error {id}: {kind}: {what} {where}"
    metric: ClassVar[str | None] = "shinkei_screen_errors_total"
    id: str
    kind: str
    what: str
    where: str


class ScreensServed(Telemetry, frozen=True):
    """The web server answers."""

    text: ClassVar[str] = "the screens are served at {url}"
    url: str


class PartEnded(Telemetry, frozen=True):
    """A thread of the screens ended by an error nobody expected; it is started again."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "{thread} failed and starts again: {why}"
    metric: ClassVar[str | None] = "shinkei_screen_thread_failures_total"
    thread: str
    why: str
