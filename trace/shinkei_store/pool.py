"""Connections to the store, each with the role of the part that works on it.

A login is either the plant's DSN or the embedded database's owner; the part then takes its own role (``SET ROLE shinkei_<part>``), whose
rights the migrations give: writing its own tables, reading the views and functions offered to it. A login that may not take the role
works with its own rights, and says so once. `NotConnected` while the database or its schema is not there: try again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_store.access import OWNER, SCHEMA, read_access
from shinkei_store.telemetry import RoleNotUsed
from shinkei_store.zero_character import replace_zeros

PARTS = ("store", "trace", "detect", "alerts", "ui")
READER_TIMEOUT_MS = 15_000
CONNECT_TIMEOUT_S = 5
_refused: set[tuple[str, str]] = set()

_STATE = """
select to_regclass('shinkei.migration') is not null, current_user,
  (select case when current_setting('server_version_num')::int >= 160000
     then pg_has_role(oid, 'SET') else pg_has_role(oid, 'MEMBER') end from pg_roles where rolname = %s)"""


def database_folder(plant: PlantFile) -> Path:
    """Where the embedded database of a site lives."""
    return plant.dir / "postgres"


def conninfo(plant: PlantFile) -> str:
    """Connection string of the login; raises `NotConnected` while the embedded database was never started."""
    if plant.store.dsn is None:
        return read_access(database_folder(plant)).dsn(OWNER)
    if plant.store.password is None:
        return plant.store.dsn
    return make_conninfo(plant.store.dsn, password=plant.store.password.reveal(plant.path.parent))


def connect(plant: PlantFile, part: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """A connection for ``part`` of its own (writers; never one of a pool). As a context manager it commits and closes."""
    connection = _dial(plant, f"shinkei {part}")
    try:
        take_role(connection, part)
    except BaseException:
        connection.close()
        raise
    connection.autocommit = autocommit
    return connection


def owner(plant: PlantFile) -> psycopg.Connection[Any]:
    """The login itself, in autocommit mode: for migrations (there may be no schema yet) and the store's housekeeping."""
    connection = _dial(plant, "shinkei owner")
    _find_schema(connection)
    return connection


def reader_pool(plant: PlantFile, part: str, *, max_size: int = 8) -> ConnectionPool[psycopg.Connection[Any]]:
    """An opened pool of read-only connections, each checked before use; close it at the end.

    A statement ends after 15 s. A database that restarts, also at another address, is found again.
    """

    def configure(connection: psycopg.Connection[Any]) -> None:
        replace_zeros(connection)
        take_role(connection, part)
        connection.execute("select set_config('statement_timeout', %s, false)", [str(READER_TIMEOUT_MS)])
        connection.execute("select set_config('default_transaction_read_only', 'on', false)")

    return ConnectionPool(
        lambda: conninfo(plant),
        kwargs={"autocommit": True, "application_name": f"shinkei {part} reader", "connect_timeout": CONNECT_TIMEOUT_S},
        min_size=1,
        max_size=max_size,
        configure=configure,
        check=ConnectionPool.check_connection,
        name=f"{part}-readers",
        open=True,
    )


def take_role(connection: psycopg.Connection[Any], part: str) -> None:
    """Set role and search path of a new connection in autocommit mode; raises `NotConnected` while there is no schema."""
    part = part.removeprefix("shinkei_")
    if part not in PARTS:
        raise ValueError(f"{part!r} is no part with a role; parts are {', '.join(PARTS)}")
    role = f"shinkei_{part}"
    found = connection.execute(_STATE, [role]).fetchone()
    there, login, allowed = found if found is not None else (False, "", False)
    if not there:
        raise NotConnected("the database has no schema yet; run: shinkei store migrate")
    if allowed:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    elif (login, role) not in _refused:
        _refused.add((login, role))
        emit(RoleNotUsed(login, role))
    _find_schema(connection)


def _find_schema(connection: psycopg.Connection[Any]) -> None:
    connection.execute("select set_config('search_path', %s, false)", [f"{SCHEMA}, public"])


def _dial(plant: PlantFile, name: str) -> psycopg.Connection[Any]:
    try:
        connection = psycopg.connect(
            conninfo(plant), autocommit=True, application_name=name, connect_timeout=CONNECT_TIMEOUT_S
        )
    except psycopg.OperationalError as error:
        raise NotConnected(f"the database: {str(error).strip()}") from error
    replace_zeros(connection)
    return connection
