"""Quarantine records as a spool holds them: one of a running gateway's own, or all of a folder without touching it.

Does not open a spool (that would cut its torn end): `in_folder` only reads, also while a gateway writes. Used by `replay` and by
`shinkei gateway quarantine` where the database cannot be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from shinkei_events.codec import decode
from shinkei_events.errors import BadInput
from shinkei_events.identity import StreamId
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.segment import HEADER_BYTES, Batch, next_whole_batch, read_batch
from shinkei_gateway.spool.spool import Spool


def in_spool(spool: Spool, stream: StreamId, number: int) -> Quarantined | None:
    """The record, or None when the spool has it no more. Reads one segment."""
    name = str(stream)
    if stream.kind != "quarantine" or not spool.oldest(name) <= number < spool.next_number(name):
        return None
    cursor = spool.position_of(name, number)
    while (found := spool.read(cursor)) is not None:
        batch, cursor = found
        if any(entry.stream == name and entry.first == number for entry in batch.index.entries):
            return next(
                (record for record in _records(batch) if (record.stream, record.number) == (stream, number)), None
            )
    return None


def in_folder(folder: Path) -> Iterator[Quarantined]:
    """Every quarantine record in the segments of ``folder``, oldest first; nothing when there is no such folder."""
    if not folder.is_dir():
        return
    disk = FolderDisk(folder)
    try:
        for name in disk.names():
            if name.endswith(".seg"):
                yield from _in_segment(disk, name)
    finally:
        disk.close()


def _in_segment(disk: FolderDisk, name: str) -> Iterator[Quarantined]:
    try:
        size, read = disk.size(name), partial(disk.read, name)
    except FileNotFoundError:
        return  # trimmed meanwhile
    at: int | None = HEADER_BYTES
    while at is not None and at < size:
        batch = read_batch(read, at, size)
        if batch is None:
            at = next_whole_batch(read, at + 1, size)
            continue
        yield from _records(batch)
        at = batch.end


def _records(batch: Batch) -> Iterator[Quarantined]:
    entries = batch.index.entries
    if not any(entry.stream.endswith("/quarantine") for entry in entries):
        return
    for entry, payload in zip(entries, batch.payloads(), strict=True):
        if entry.stream.endswith("/quarantine"):
            try:
                event = decode(entry.type, payload)
            except BadInput:
                continue  # of a newer program
            if isinstance(event, Quarantined):
                yield event
