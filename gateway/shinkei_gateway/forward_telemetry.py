"""What is worth a line between spool and log."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class LogAway(Telemetry, frozen=True):
    """The log does not answer; the spool keeps everything."""

    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "forward: waiting for the log: {why}"


class LogFound(Telemetry, frozen=True):
    """Connected to a log; what is not recorded is sent again."""

    bootstrap: str
    log_id: str
    backlog: int
    text: ClassVar[str] = "forward: log {log_id} at {bootstrap}, {backlog} numbers to send"


class SentAgain(Telemetry, frozen=True):
    """The recorder asked for numbers again."""

    stream: str
    number: int
    text: ClassVar[str] = "forward: {stream} again from {number}"
    metric: ClassVar[str | None] = "shinkei_sent_again"


class NumbersMissing(Telemetry, frozen=True):
    """Numbers are not in the spool any more; a gap record says so."""

    stream: str
    begin: int
    end: int
    cause: str
    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "forward: {stream} has no numbers {begin} to before {end} ({cause}); a gap record says so"
    metric: ClassVar[str | None] = "shinkei_spool_numbers_missing"


class EpochBegun(Telemetry, frozen=True):
    """The numbers of a spool are, or may be, somebody else's as well: a new epoch begins."""

    old: str
    why: str
    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "spool: epoch {old} ends, a new one begins: {why}"
    metric: ClassVar[str | None] = "shinkei_spool_epochs_ended"


class CommandBroke(Telemetry, frozen=True):
    """A command ended by an error of this program; it is answered as failed."""

    command: str
    what: str
    error: str
    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "command {command} ({what}): {error}"
    metric: ClassVar[str | None] = "shinkei_commands_broken"


class CommandAnswered(Telemetry, frozen=True):
    """A command was carried out, refused or had expired."""

    command: str
    what: str
    outcome: str
    text: ClassVar[str] = "command {command} ({what}): {outcome}"


class KeptShort(Telemetry, frozen=True):
    """The spool's space does not last for what ``keep_after`` promises: a database restored from an older backup misses what went."""

    kept: str
    promised: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "spool: what is recorded is kept for {kept}, not for keep_after = {promised}: {why}; more max_bytes or disk keeps more"
    )
    metric: ClassVar[str | None] = "shinkei_spool_kept_short"
