"""What a spool finds on its disk at the start: segments, the next number of each stream, resume states, and what is damaged.

A torn tail was never durable, so never acknowledged or sent: it is cut. What is damaged may have been sent. One wrong bit is mended; in
more, the numbers are those that the batch's index names when they continue what came before; when even that is unreadable in the newest
segment, nobody knows which numbers were given, so none may be given again: a new epoch must begin. Called by `Spool.open` alone.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from shinkei_events.identity import FIRST_NUMBER
from shinkei_gateway.spool.disk import Disk
from shinkei_gateway.spool.resume import applied
from shinkei_gateway.spool.segment import (
    HEADER_BYTES,
    Batch,
    BatchIndex,
    Entry,
    decode_header,
    guess_index,
    is_torn,
    next_whole_batch,
    read_batch,
)
from shinkei_gateway.spool.segments import SUFFIX, Segment

EPOCH = "@epoch"
"""Under this name the head of a segment repeats its epoch below a checksum."""


ENDING = "@ending"
"""Under this name the head of a new epoch's first segment says which epoch ended, where and why, until that was told."""

DAMAGED = "the newest file of the spool was damaged; which numbers were in it nobody knows"


@dataclass(slots=True)
class Opening:
    """What was found. ``tail`` is clean, torn (cut, nothing lost) or damaged (``previous_epoch`` ended)."""

    tail: str = "clean"
    corrupt: int = 0
    previous_epoch: str | None = None


@dataclass(slots=True)
class Contents:
    """What is learned by reading segments in order."""

    segments: list[Segment] = field(default_factory=list)
    next: dict[str, int] = field(default_factory=dict)
    resume: dict[str, Any] = field(default_factory=dict)

    def learn(self, index: BatchIndex) -> None:
        """Take numbers and resume states of a batch."""
        self.learn_numbers(index.entries)
        for name, value in index.resume.items():
            if name != EPOCH:
                self.resume[name] = value
        for name, change in (index.changes or {}).items():
            self.resume[name] = applied(self.resume.get(name), change)

    def learn_numbers(self, entries: list[Entry]) -> None:
        """Take the numbers alone."""
        for entry in entries:
            self.next[entry.stream] = max(self.next.get(entry.stream, FIRST_NUMBER), entry.first + entry.count)

    def continues(self, entries: list[Entry]) -> bool:
        """Whether every entry has exactly the next number of its stream."""
        ends: dict[str, int] = {}
        for entry in entries:
            expected = ends.get(entry.stream, self.next.get(entry.stream, FIRST_NUMBER))
            if entry.first != expected or entry.count < 1 or entry.size < 1:
                return False
            ends[entry.stream] = entry.first + entry.count
        return bool(entries)


def read_contents(disk: Disk) -> tuple[Contents, Opening]:
    """Read what there is; cuts a torn tail. Raises OSError when the disk cannot be read or cut."""
    found, opening = Contents(), Opening()
    names = [name for name in disk.names() if name.endswith(SUFFIX)]
    for name in names:
        _adopt(disk, name, found, opening, is_last=name == names[-1])
    while found.segments and not _read_last(disk, found, opening):
        disk.delete(found.segments.pop().name)  # its head was never durable, so nothing after it was
    return found, opening


def _adopt(disk: Disk, name: str, found: Contents, opening: Opening, *, is_last: bool) -> None:
    read, size = partial(disk.read, name), disk.size(name)
    head = read_batch(read, HEADER_BYTES, size)
    if head is not None and head.index.table is not None:
        epoch = head.index.resume.get(EPOCH) or decode_header(read(0, HEADER_BYTES))
        found.segments.append(Segment(_number(name), epoch or _epoch_before(found), head.index.table, size))
        return
    if next_whole_batch(read, 0, size) is None and is_last and is_torn(read, HEADER_BYTES, size):
        disk.delete(name)  # its making never finished
        opening.tail = "torn"
        return
    # Its head is unreadable: what it would say is what the segment before it ends with.
    opening.corrupt += 1
    before = Contents()
    if found.segments:
        _scan(disk, found.segments[-1], before, None)
    epoch = decode_header(read(0, HEADER_BYTES))
    if epoch is None or not _is_uuid(epoch):
        epoch = _epoch_before(found) or _epoch_inside(disk, name, size)
    found.segments.append(Segment(_number(name), epoch, before.next, size))
    found.resume = before.resume
    if is_last:
        opening.tail = "damaged"


def _read_last(disk: Disk, found: Contents, opening: Opening) -> bool:
    """Learn all of the newest segment; False when it holds nothing durable (and is not the only one that could)."""
    last = found.segments[-1]
    found.next = dict(last.table)
    whole, cut_at = _scan(disk, last, found, opening)
    if cut_at is None:
        return True
    if whole == 0:
        return False
    disk.truncate(last.name, cut_at)
    last.size = cut_at
    return True


def _scan(disk: Disk, segment: Segment, into: Contents, opening: Opening | None) -> tuple[int, int | None]:
    """Learn a segment's batches: (how many are whole, where a torn tail begins or None)."""
    read, at, whole = partial(disk.read, segment.name), HEADER_BYTES, 0
    into.next = dict(segment.table)
    while at < segment.size:
        batch = read_batch(read, at, segment.size)
        if batch is not None:
            into.learn(batch.index)
            whole, at = whole + 1, batch.end
            continue
        onward = next_whole_batch(read, at + 1, segment.size)
        if onward is None and is_torn(read, at, segment.size):
            if opening is not None:
                opening.tail = "torn" if opening.tail == "clean" else opening.tail
            return whole, at
        _note_damage(read, at, segment, into, opening, onward)
        at = segment.size if onward is None else onward
    return whole, None


def _note_damage(
    read: Any, at: int, segment: Segment, into: Contents, opening: Opening | None, onward: int | None
) -> None:
    index = guess_index(read, at, segment.size)
    known = index is not None and into.continues(index.entries)
    if index is not None and known:
        into.learn_numbers(index.entries)
    if opening is None:
        return
    opening.corrupt += at != HEADER_BYTES or opening.tail != "damaged"  # a damaged head was counted when it was met
    if not known:
        opening.tail = "damaged"


def _number(name: str) -> int:
    return int(name.removesuffix(SUFFIX))


def _epoch_before(found: Contents) -> str:
    return found.segments[-1].epoch if found.segments else ""


def _epoch_inside(disk: Disk, name: str, size: int) -> str:
    at: int | None = 0
    read = partial(disk.read, name)
    while at is not None and (at := next_whole_batch(read, at, size)) is not None:
        batch: Batch | None = read_batch(read, at, size)
        if batch is None:
            return ""
        for entry in batch.index.entries:
            return entry.stream.partition("/")[0]
        at = batch.end
    return ""


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
