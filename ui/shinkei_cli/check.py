"""Is plant.toml right, and are its peers there? The core of `shinkei check`; changes nothing anywhere.

Offline: the file, the master data, every part's own section. Connecting: the log, the database, every address the gateway reads from.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from shinkei_cli.part import PARTS
from shinkei_events.errors import BadConfig, NotConnected
from shinkei_events.settings import PlantFile, section

COLUMNS = ("what", "state", "detail")
DEFAULT_PORTS = {"opc.tcp": 4840, "mqtt": 1883, "mqtts": 8883}
CONNECT_TIMEOUT_S = 3.0

Row = dict[str, Any]


def offline(plant: PlantFile) -> Iterator[Row]:
    """One row for the file and one for each part's section; ``state`` is ok or wrong."""
    yield {
        "what": "plant.toml",
        "state": "ok",
        "detail": f"{plant.path}: site {plant.site.id}, {len(plant.documents())} master data documents",
    }
    for part in PARTS:
        if part == "store":  # its keys are those of [store], which reading the file has checked
            continue
        if part == "gateway" and not plant.gateway:
            yield {"what": part, "state": "ok", "detail": "no [gateway] section: no machines are read here"}
            continue
        try:
            _check_section(plant, part)
        except BadConfig as error:
            yield {"what": part, "state": "wrong", "detail": str(error)}
        else:
            yield {"what": part, "state": "ok", "detail": ""}


def _check_section(plant: PlantFile, part: str) -> None:
    kind = getattr(import_module(f"shinkei_{part}.settings"), f"{part.capitalize()}Settings")
    settings = section(plant, part, kind)
    if hasattr(settings, "check"):
        settings.check()


def peers(plant: PlantFile) -> Iterator[Row]:
    """One row for each peer; ``state`` is ok or absent."""
    yield _peer("log", lambda: _log(plant))
    yield _peer("database", lambda: _database(plant))
    for name, source in plant.gateway.get("sources", {}).items():
        if isinstance(source, dict) and "url" in source:
            yield _peer(f"gateway.sources.{name}", lambda url=source["url"]: _listens(url))


def _peer(what: str, ask: Any) -> Row:
    try:
        return {"what": what, "state": "ok", "detail": ask()}
    except NotConnected as error:
        return {"what": what, "state": "absent", "detail": str(error)}


def _log(plant: PlantFile) -> str:
    from shinkei_events.kafka import find_log

    log = find_log(plant)
    return f"{log.bootstrap} (log id {log.log_id})"


def _database(plant: PlantFile) -> str:
    from shinkei_store.pool import connect

    with connect(plant, "store") as connection:
        found = connection.execute("select version()").fetchone()
    return str(found[0]).split(" on ")[0] if found else ""


def _listens(url: str) -> str:
    """Raises `NotConnected` unless something takes a connection there."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0))
    try:
        socket.create_connection(address, CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise NotConnected(f"{url}: {error.strerror or error}") from error
    return url
