"""A site on a database of its own: configuration with a DSN, the schema, and rows as the recorder and the lineage would write them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from shinkei_events.settings import PlantFile, load_plant
from shinkei_store.migrate import migrate
from shinkei_store.pool import connect
from shinkei_store.recorder import Accepted, Recorder
from shinkei_store.writer import Writer
from tests.support.waiting import eventually

EPOCH = "018bcfe5-6800-7002-ab54-a98ceb1f0ad2"
T0 = 1_700_000_000_000_000_000
"""2023-11-14 22:13:20 UTC, a Tuesday."""
S = 1_000_000_000


def site_on(folder: Path, dsn: str) -> PlantFile:
    """A plant whose database is ``dsn``."""
    file = folder / "plant.toml"
    file.write_text(f'[site]\nid = "test"\n[store]\ndsn = {json.dumps(dsn)}\n')
    return load_plant(file, folder / "site")


_templates: dict[str, str] = {}


class Databases(Protocol):
    """What a server of the tests offers."""

    def new_database(self, template: str = "template0") -> str: ...


def migrated(server: Databases) -> str:
    """DSN of a new database with the schema, copied from one that is migrated once a session and server."""
    key = f"{id(server)}"
    if key not in _templates:
        dsn = server.new_database()
        with psycopg.connect(dsn) as conn:
            migrate(conn)
        _templates[key] = str(conninfo_to_dict(dsn)["dbname"])
    return server.new_database(_templates[key])


def record(plant: PlantFile, said: Iterable[tuple[str, Any]]) -> None:
    """Take events (type, event) of gateway ``gw`` as the recorder does, and write in one transaction what it accepts."""
    recorder = Recorder({})
    taken = [recorder.offer(type_, "gateway/gw/0", event, 0) for type_, event in said]
    with connect(plant, "store") as conn:
        writer = Writer(conn)
        writer.write([one for one in taken if isinstance(one, Accepted)])
        writer.finish()
        conn.commit()


def left_by(dsn: str, part: str) -> None:
    """Wait until no session of a part that was killed is at work in the database: its last transaction may still be committed."""
    sql = "select count(*) from pg_stat_activity where datname = current_database() and application_name like %s"
    with psycopg.connect(dsn, autocommit=True) as conn:
        eventually(lambda: one(conn, sql, f"shinkei {part}%") == 0, 30)


def owner_of(dsn: str) -> Connection[Any]:
    """A database as its owner, in autocommit mode, with the schema's search path."""
    conn = psycopg.connect(dsn, autocommit=True)
    conn.execute("select set_config('search_path', 'shinkei, public', false)")
    return conn


def one(conn: Connection[Any], query: str, *values: object) -> Any:
    """The only value of the only row."""
    row = conn.execute(query, values or None).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def add_stream(
    conn: Connection[Any],
    machine: str,
    kind: str = "production",
    source: str = "gateway/gw-01/0",
    next_number: int | None = None,
) -> int:
    """A stream, and how far recorder ``r`` has it."""
    stream_id = one(
        conn,
        "insert into stream (epoch, machine, kind, source) values (%s, %s, %s, %s) returning id",
        EPOCH,
        machine,
        kind,
        source,
    )
    conn.execute("insert into recorder values ('r') on conflict do nothing")
    if next_number is not None:
        conn.execute("insert into watermark values ('r', %s, %s)", (f"{EPOCH}/{machine}/{kind}", next_number))
    return int(stream_id)


def add_state(
    conn: Connection[Any],
    stream_id: int,
    machine: str,
    at: float,
    state: str,
    reason: str | None = None,
    number: int | None = None,
) -> None:
    """A state from ``at`` seconds after `T0`; it is an event on record too."""
    number = number if number is not None else int(at * 10) + 1
    time = T0 + int(at * S)
    conn.execute(
        "insert into state_change (machine, time, stream_id, number, state, reason) values (%s, %s, %s, %s, %s, %s)",
        (machine, time, stream_id, number, state, reason),
    )
    add_event(conn, stream_id, machine, number, time)


def add_event(conn: Connection[Any], stream_id: int, machine: str, number: int, time: int) -> None:
    """A row of the lineage's log."""
    end = one(conn, "update event_raw_end set number = number + 1 returning number")
    row = (end, stream_id, number, "shinkei.machine_state.v1", machine, time, b"{}")
    conn.execute(
        "insert into event_raw (number, stream_id, stream_number, type, machine, time, body) values (%s, %s, %s, %s, %s, %s, %s)",
        row,
    )


def add_operation(conn: Connection[Any], machine: str, serial: str, started: float, ended: float, result: str = "pass", product: str = "A", *,
                  kind: str = "serial", role: str = "output", op: str = "process") -> None:  # fmt: skip
    """An operation on one unit, seconds after `T0`."""
    unit = one(
        conn,
        "insert into unit (ns, serial, kind, first_number) values (0, %s, %s, 1) on conflict (ns, serial) do update set serial = excluded.serial returning id",
        serial, kind,
    )  # fmt: skip
    conn.execute(
        "insert into event (eid, ts, unit, role, machine, op, result, product, started, raw_number) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 1)",
        (uuid.uuid4(), T0 + int(ended * S), unit, role, machine, op, result, product, T0 + int(started * S)),
    )


def add_master(
    conn: Connection[Any],
    kind: str,
    name: str,
    body: dict[str, Any],
    version: int = 1,
    valid_from: int = 0,
    retired: bool = False,
) -> None:
    """A version of a document."""
    conn.execute(
        "insert into master_data values (%s, %s, %s, %s, %s, %s)",
        (kind, name, version, valid_from, retired, Jsonb(body)),
    )
