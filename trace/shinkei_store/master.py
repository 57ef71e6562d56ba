"""Master data: plant.toml into the database, one version a change, and copies of it outward to `shinkei.config.v1`.

`apply` is its only writer (the command, the screens and the embedded database's start call it). What the file does not name stays as it is;
a document ends by ``retired = true``. Every derived row can name the version it used.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shinkei_events.model.master import MasterData
from shinkei_events.registry import type_of
from shinkei_events.settings import PlantFile
from shinkei_store import outbox
from shinkei_store.pool import connect

_LOCK = "select pg_advisory_xact_lock(hashtext('shinkei.master_data'))"
_LATEST = "select distinct on (kind, name) kind, name, version, body from master_data order by kind, name, version desc"
_ADD = "insert into master_data (kind, name, version, valid_from, retired, body) values (%s, %s, %s, %s, %s, %s::jsonb)"


class Change(NamedTuple):
    """One new version."""

    kind: str
    name: str
    change: str
    version: int
    document: MasterData


def kind_of(document: MasterData) -> str:
    """``machine``, ``signal``, ``ideal_cycle`` …: the last word of its type's name."""
    return type_of(document).name.rpartition(".")[2]


def changes(
    documents: list[MasterData], latest: dict[tuple[str, str], tuple[int, dict[str, Any]]], now: int
) -> list[Change]:
    """New versions that ``documents`` make of ``latest`` (kind and name to version and content). Pure.

    The first version holds since ever, so that history is judged by it; a later one from ``now`` (ns UTC), unless the file says from when.
    """
    found = []
    for document in documents:
        kind = kind_of(document)
        known = latest.get((kind, document.name))
        if known is not None and _content(msgspec.to_builtins(document)) == _content(known[1]):
            continue
        version = 1 if known is None else known[0] + 1
        valid_from = document.valid_from or (0 if known is None else now)
        word = "retired" if document.retired else "added" if known is None else "changed"
        found.append(
            Change(
                kind,
                document.name,
                word,
                version,
                msgspec.structs.replace(document, version=version, valid_from=valid_from),
            )
        )
    return found


def apply_documents(conn: Connection[Any], documents: list[MasterData], source: str, now: int) -> list[Change]:
    """Write new versions and put them into the store's outbox, in the open transaction of ``conn`` (role of the store)."""
    conn.execute(_LOCK)
    latest = {(kind, name): (version, body) for kind, name, version, body in conn.execute(_LATEST).fetchall()}
    found = changes(documents, latest, now)
    for change in found:
        document = change.document
        row = (
            change.kind,
            change.name,
            change.version,
            document.valid_from,
            document.retired,
            msgspec.json.encode(document).decode(),
        )
        conn.execute(_ADD, row)
        name = f"{change.kind}/{change.name}"  # the key of the compacted topic: names are unique within a kind only
        outbox.put(conn, "store", document, source=source, id=f"master/{name}/{change.version}", key=name)
    if found:
        outbox.wake(conn, "store")
    return found


def apply(plant: PlantFile) -> list[dict[str, Any]]:
    """Apply the file's master data; rows ``kind, name, change, version``. Raises `NotConnected`."""
    with connect(plant, "store") as conn:
        found = apply_documents(conn, plant.documents(), f"store/{plant.store.recorder}", time.time_ns())
    return [{"kind": each.kind, "name": each.name, "change": each.change, "version": each.version} for each in found]


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """A document without what applying gives it."""
    return {name: value for name, value in msgspec.to_builtins(body).items() if name not in ("version", "valid_from")}
