"""The schema's history: numbered SQL files, each applied once, in order, in a transaction of its own.

Called by ``shinkei store migrate``, by the process that serves the embedded database, and by tests. It takes the owner's connection and
knows nothing of what the files contain. A file whose first line is ``-- no transaction`` holds one statement that refuses a transaction.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg import Connection

from shinkei_events.telemetry import emit
from shinkei_store.errors import EditedMigration, NewerSchema
from shinkei_store.telemetry import MigrationApplied

NO_TRANSACTION = "-- no transaction"
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 0x5348494E4B4549  # "SHINKEI"

_TABLE = """
create schema if not exists shinkei;
create table if not exists shinkei.migration (
  number  int primary key,
  name    text not null,
  sha256  text not null,
  applied timestamptz not null default now()
)"""


class Migration(NamedTuple):
    """One file."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Checksum of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def released() -> list[Migration]:
    """The migrations of this program, in order. Raises ValueError when two have one number."""
    folder = files("shinkei_store") / "migrations"
    return in_order((entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir())


def in_order(named: Iterable[tuple[str, str]]) -> list[Migration]:
    """Migrations from ``(file name, text)``; other files are left out."""
    found = sorted(Migration(int(match[1]), name, text) for name, text in named if (match := _NAME.fullmatch(name)))
    numbers = [entry.number for entry in found]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"two migrations have one number: {[entry.name for entry in found]}")
    return found


def pending(applied: dict[int, tuple[str, str]], known: list[Migration]) -> list[Migration]:
    """Those of ``known`` still to be applied. ``applied``: number to (name, sha256).

    Raises `EditedMigration` when an applied file reads differently now, `NewerSchema` when the database has more than this program.
    """
    numbers = {entry.number for entry in known}
    unknown = sorted(name for number, (name, _) in applied.items() if number not in numbers)
    if unknown:
        raise NewerSchema(
            f"the database has migrations this program does not know ({', '.join(unknown)}); run the newer program"
        )
    for entry in known:
        if entry.number in applied and applied[entry.number][1] != entry.sha256:
            raise EditedMigration(
                f"{entry.name} was applied as {applied[entry.number][0]} and differs now; put the released text back and add a new file"
            )
    return [entry for entry in known if entry.number not in applied]


def migrate(connection: Connection[Any], known: list[Migration] | None = None) -> list[str]:
    """Apply what is missing and return its names. Several processes may call it at once: one works, the others wait.

    ``connection``: of the schema's owner, outside a transaction; it is left in autocommit mode.
    """
    connection.autocommit = True
    known = released() if known is None else known
    connection.execute("select pg_advisory_lock(%s)", [_LOCK])
    try:
        with connection.transaction():
            connection.execute(_TABLE)
        rows = connection.execute("select number, name, sha256 from shinkei.migration").fetchall()
        todo = pending({number: (name, sha256) for number, name, sha256 in rows}, known)
        for entry in todo:
            _apply(connection, entry)
    finally:
        connection.execute("select pg_advisory_unlock(%s)", [_LOCK])
    return [entry.name for entry in todo]


def _apply(connection: Connection[Any], entry: Migration) -> None:
    began = time.monotonic()
    connection.execute("select set_config('search_path', 'shinkei, public', false)")
    if entry.text.startswith(NO_TRANSACTION):
        connection.execute(entry.text.encode())
        _record(connection, entry)
    else:
        with connection.transaction():
            connection.execute(entry.text.encode())
            _record(connection, entry)
    emit(MigrationApplied(entry.name, time.monotonic() - began))


def _record(connection: Connection[Any], entry: Migration) -> None:
    row = (entry.number, entry.name, entry.sha256)
    connection.execute("insert into shinkei.migration (number, name, sha256) values (%s, %s, %s)", row)
