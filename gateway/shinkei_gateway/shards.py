"""What each of a gateway's shards is called, where it keeps its things, what it may use and which commands it answers. Pure.

A shard is a process with a spool and numbers of its own; all sources of a machine sit in one (`settings` checks it).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from pathlib import Path

import msgspec

from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.model.progress import Apply, Replay, Request, SendAgain
from shinkei_events.settings import PlantFile
from shinkei_gateway.forward import CREDIT_BYTES
from shinkei_gateway.settings import GatewaySettings, shards_of


def part_name(settings: GatewaySettings, shard: str) -> str:
    """The name of a shard's process among the parts: that of the gateway's own shard is plain."""
    return "gateway" if shard == settings.shard else f"gateway-{shard}"


def spool_folder(plant: PlantFile, settings: GatewaySettings, shard: str) -> Path:
    """Where the shard's segments are."""
    return plant.dir / "spool" / settings.id / shard


def forgotten(plant: PlantFile, settings: GatewaySettings) -> list[tuple[str, Path]]:
    """Shards that have segments here and no source in the file any more, with their folders."""
    folders = sorted(path.parent for path in (plant.dir / "spool" / settings.id).glob("*/*.seg"))
    named = set(shards_of(settings))
    return [(folder.name, folder) for folder in dict.fromkeys(folders) if folder.name not in named]


def left_behind(streams: Mapping[str, int], epoch: str, closed: Container[str], spoken: Container[str], is_recorded: bool) -> list[str]:  # fmt: skip
    """Machines whose streams of ``epoch`` go on in this spool (next numbers: ``streams``) though nobody in the file speaks for them any more.

    They were taken out of it while the gateway was down. ``closed``: streams that have ended; ``spoken``: machines, and names of sources (what
    could not be understood may stand under those); ``is_recorded``: a recording is a source, and which machines it has it does not say before.
    """
    found = []
    for name, number in streams.items():
        stream = StreamId.parse(name)
        machine = stream.machine
        if stream.epoch != epoch or stream.kind != "production" or name in closed or machine in spoken:
            continue
        is_history = is_recorded and str(StreamId(epoch, machine, "history")) in streams
        has_said = number > FIRST_NUMBER + 1 or str(StreamId(epoch, machine, "signals")) in streams
        if has_said and not is_history:
            found.append(machine)
    return sorted(found)


def books_file(folder: Path) -> Path:
    """Where the books of the spool in ``folder`` are."""
    return folder.with_name(f"{folder.name}.books.json")


def session_file(folder: Path, source: str) -> Path:
    """Where the OPC UA session of ``source`` is remembered, beside the spool in ``folder``; mode 0600."""
    return folder.with_name(f"{folder.name}.sessions") / source


def address_of(settings: GatewaySettings, shard: str) -> str:
    """Where the shard answers: the file's address for the gateway's own, any free port of that host for the others."""
    host, _, _ = settings.http.rpartition(":")
    return settings.http if shard == settings.shard else f"{host}:0"


def credit_of(settings: GatewaySettings) -> int:
    """The bytes a partition that one shard may have under way on the embedded log: all writers share what it can hold."""
    return CREDIT_BYTES // (settings.writers or len(shards_of(settings)))


def of_epoch(request: Request, epoch: str) -> Request:
    """``request``; where it asks for a stream and names no epoch, of the one that this shard writes now."""
    if not isinstance(request, SendAgain) or request.stream.epoch:
        return request
    return msgspec.structs.replace(request, stream=msgspec.structs.replace(request.stream, epoch=epoch))


def concerns(
    request: Request,
    settings: GatewaySettings,
    shard: str,
    source_of: Callable[[str], object | None],
    streams: Container[str],
) -> bool:
    """Whether ``shard`` answers: it has the source, or wrote the stream. For a source that no shard has the gateway's own answers."""
    if isinstance(request, Apply) or len(shards_of(settings)) == 1:
        return True
    if isinstance(request, SendAgain):
        return str(request.stream) in streams
    if isinstance(request, Replay) and request.record is None:
        return str(request.stream) in streams
    source = request.record.source if isinstance(request, Replay) and request.record else getattr(request, "source", "")
    if source_of(source) is not None:
        return True
    return shard == settings.shard and source not in settings.sources
