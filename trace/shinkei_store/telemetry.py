"""The store's noteworthy events."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class DatabaseStarted(Telemetry, frozen=True):
    """The embedded database takes connections."""

    text: ClassVar[str] = "database: ready after {seconds:.2f} s, process {pid}, in {folder}"
    folder: str
    pid: int
    seconds: float


class DatabaseRecovering(Telemetry, frozen=True):
    """The embedded database is being brought up and takes long."""

    text: ClassVar[str] = "database: {phase} for {seconds:.0f} s in {folder}"
    folder: str
    phase: str
    seconds: float


class DatabaseCrashed(Telemetry, frozen=True):
    """The embedded database ended by itself and is started again; what was committed is there."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "database: process {pid} ended with {code}, starting it again in {folder}"
    metric: ClassVar[str | None] = "shinkei_database_crashes"
    folder: str
    pid: int
    code: int


class DatabaseStopped(Telemetry, frozen=True):
    """The embedded database has ended."""

    text: ClassVar[str] = "database: stopped after {seconds:.2f} s in {folder}"
    folder: str
    seconds: float


class StaleServerFound(Telemetry, frozen=True):
    """Something of an earlier server was left behind and was dealt with."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "database: {what} in {folder}"
    folder: str
    what: str


class MigrationApplied(Telemetry, frozen=True):
    """A migration was applied."""

    text: ClassVar[str] = "schema: {name} applied in {seconds:.2f} s"
    name: str
    seconds: float


class RoleNotUsed(Telemetry, frozen=True):
    """The login may not take the part's role: it works with the rights of the login itself."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "database: login {login} may not SET ROLE {role}; GRANT {role} TO {login} gives the part its own least rights"
    )
    login: str
    role: str
