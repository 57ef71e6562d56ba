"""Quarantine records for the terminal: from the database, and from this computer's spools what the database has not (yet).

Reads only. Used by `shinkei gateway quarantine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from shinkei_events.errors import BadInput, NotConnected

if TYPE_CHECKING:
    from shinkei_events.model.quarantine import Quarantined
    from shinkei_events.settings import PlantFile

_SQL = """select stream, number, machine, source, place, reason, path, content_type, time, received, raw, size, replayed
from v_quarantine order by recorded, stream, number"""
_REFUSED = 'select consumer, topic, "partition", position, reason, raw, recorded from refused order by recorded'
COLUMNS = ("id", "state", "source", "where", "received", "reason", "bytes")


class Kept(NamedTuple):
    """A record; ``replayed`` since when, None: not (or not known: ``on_record`` False, only the spool has it)."""

    record: Quarantined
    replayed: datetime | None
    on_record: bool

    @property
    def state(self) -> str:
        return "replayed" if self.replayed else "waiting" if self.on_record else "waiting (spool)"


def kept(plant: PlantFile) -> list[Kept]:
    """All records that the database or a spool in this folder has, oldest first."""
    found: dict[str, Kept] = {}
    try:
        for entry in _in_database(plant):
            found[entry.record.reference] = entry
    except NotConnected:
        pass  # a gateway alone, or the database is away: its spool has what is not recorded
    for record in _in_spools(plant):
        found.setdefault(record.reference, Kept(record, None, on_record=False))
    return sorted(found.values(), key=lambda entry: entry.record.received)


def refused_by_consumers(plant: PlantFile) -> list[dict[str, Any]]:
    """Records of the log that a consumer could not read, as rows of `COLUMNS`; none when the database is away."""
    from shinkei_store.pool import connect

    try:
        with connect(plant, "store") as conn:
            rows = conn.execute(_REFUSED).fetchall()
    except NotConnected:
        return []
    return [
        {"id": f"{consumer}:{topic}/{partition}/{position}", "state": "refused", "source": consumer, "where": f"{topic}/{partition}/{position}",
         "received": recorded, "reason": reason, "bytes": len(raw)}
        for consumer, topic, partition, position, reason, raw, recorded in rows
    ]  # fmt: skip


def rows(entries: Iterable[Kept]) -> Iterator[dict[str, Any]]:
    """Rows of `COLUMNS`."""
    for entry in entries:
        record = entry.record
        yield {
            "id": record.reference, "state": entry.state, "source": record.source, "where": record.where,
            "received": datetime.fromtimestamp(record.received / 1e9, UTC), "reason": record.reason, "bytes": record.size or len(record.raw),
        }  # fmt: skip


def find(entries: list[Kept], name: str) -> Kept:
    """The record ``name`` means: its whole id, or ``machine/number`` when only one has that. Raises `BadInput`."""
    from shinkei_events.allowed import nearest

    exact = [entry for entry in entries if entry.record.reference == name]
    if exact:
        return exact[0]
    machine, _, number = name.rpartition("/")
    near = [entry for entry in entries if (entry.record.machine, str(entry.record.number)) == (machine, number)]
    if len(near) == 1:
        return near[0]
    if near:
        raise BadInput(
            f"{name}: means {len(near)} records; give the whole id: {', '.join(e.record.reference for e in near)}"
        )
    if ":" in name:
        hint = "a consumer refused it as a record of the log: it is asked of its gateway again by itself, once the program reads it"
        raise BadInput(f"{name}: cannot be replayed from here; {hint}")
    meant = nearest(machine, {entry.record.machine for entry in entries}) if machine and "/" not in machine else ""
    raise BadInput(f"{name}: there is no such record{meant}; see: shinkei gateway quarantine list")


def _in_database(plant: PlantFile) -> Iterator[Kept]:
    from shinkei_events.identity import StreamId
    from shinkei_events.model.quarantine import Quarantined
    from shinkei_store.pool import connect

    with connect(plant, "store") as conn:
        for (
            stream,
            number,
            _,
            source,
            place,
            reason,
            path,
            content_type,
            time,
            received,
            raw,
            size,
            replayed,
        ) in conn.execute(_SQL):
            record = Quarantined(
                stream=StreamId.parse(stream), number=number, signals=0, time=time, received=received, source=source, where=place,
                reason=reason, raw=bytes(raw), path=path, content_type=content_type, size=size,
            )  # fmt: skip
            yield Kept(record, replayed, on_record=True)


def _in_spools(plant: PlantFile) -> Iterator[Quarantined]:
    from shinkei_events.settings import section
    from shinkei_gateway.quarantine_read import in_folder
    from shinkei_gateway.settings import GatewaySettings, shards_of
    from shinkei_gateway.shards import spool_folder

    settings = section(plant, "gateway", GatewaySettings)
    for shard in shards_of(settings):
        yield from in_folder(spool_folder(plant, settings, shard))
