"""Is plant.toml right, and are its peers there? The core of `shinkei check`; changes nothing anywhere.

Offline: the file, the master data, every part's own section. Connecting: the log, the database, and every
source of the gateway by its own protocol, node by node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from shinkei_cli.part import PARTS
from shinkei_events.errors import BadConfig, NotConnected
from shinkei_events.settings import PlantFile, section

COLUMNS = ("what", "state", "detail")

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
            if part == "gateway":
                yield from _strangers(plant)
                yield from _shared(plant)


def demand(plant: PlantFile, parts: Iterable[str]) -> None:
    """Raises `BadConfig` for the first of ``parts`` whose section is wrong: better before anything was started."""
    for part in parts:
        if part != "store" and (part != "gateway" or plant.gateway):
            _check_section(plant, part)


def _strangers(plant: PlantFile) -> Iterator[Row]:
    """Sources whose machine the file's own master data do not know: most often a slip of the pen, and no board would show it."""
    from shinkei_gateway.settings import GatewaySettings, machines_of, sources_of

    known = {machine.name for machine in plant.machines}
    if not known or not plant.gateway:  # the master data may be in a file of their own
        return
    for name, source in sources_of(section(plant, "gateway", GatewaySettings)).items():
        if unknown := sorted(set(machines_of(source)) - known):
            detail = f"reads {', '.join(unknown)}, which `machines` does not name; there is {', '.join(sorted(known))}"
            yield {"what": f"gateway.sources.{name}", "state": "wrong", "detail": detail}


def _shared(plant: PlantFile) -> Iterator[Row]:
    """Sources that would write a machine's streams from two shards."""
    from shinkei_gateway.settings import GatewaySettings
    from shinkei_gateway.shared_topics import shared_topics

    for name, detail in shared_topics(section(plant, "gateway", GatewaySettings)).items():
        yield {"what": f"gateway.sources.{name}", "state": "wrong", "detail": detail}


def _check_section(plant: PlantFile, part: str) -> None:
    kind = getattr(import_module(f"shinkei_{part}.settings"), f"{part.capitalize()}Settings")
    settings = section(plant, part, kind)
    if hasattr(settings, "check"):
        settings.check()


def peers(plant: PlantFile) -> Iterator[Row]:
    """One row for each peer; ``state`` is ok, absent, or wrong: it answers, but not all that is configured is there.

    Or embedded: a log or database that does not run now and that `shinkei run` would start.
    """
    yield _embedded(_peer("log", lambda: _log(plant)), plant.log.bootstrap is None)
    yield _embedded(_peer("database", lambda: _database(plant)), plant.store.dsn is None)
    if plant.gateway:
        from shinkei_gateway.check import try_sources

        yield from try_sources(plant)


def _embedded(row: Row, embedded: bool) -> Row:
    if row["state"] == "ok" or not embedded:
        return row
    return row | {"state": "embedded", "detail": "does not run now; `shinkei run` starts it"}


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
