"""The spool of one shard: a sequence of segments; numbers go in at the end, cursors read them, whole segments are trimmed.

Not a thread and not a clock: `commit.GroupCommit` drives the writing, `forward.Forwarder` the reading and trimming. Readers see
only what is durable. At `open_spool` a torn tail (never durable, so never acknowledged or sent) is cut; a damaged one may have been
sent, so its numbers must not be used again and a new epoch begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

from shinkei_events.errors import Full
from shinkei_events.identity import FIRST_NUMBER
from shinkei_gateway.spool.disk import Disk
from shinkei_gateway.spool.opening import DAMAGED, ENDING, EPOCH, Contents, Opening, read_contents
from shinkei_gateway.spool.resume import applied, difference
from shinkei_gateway.spool.segment import (
    HEADER_BYTES,
    Batch,
    BatchIndex,
    Entry,
    encode_batch,
    encode_header,
    next_whole_batch,
    read_batch,
)
from shinkei_gateway.spool.segments import Cursor, Segment, find, is_done, place_of

__all__ = ["Cursor", "Opening", "Segment", "Spool", "open_spool"]

DROPPED = "@dropped"
"""Under this name a spool remembers what it gave up."""

SEGMENT_BYTES = 64 * 1024 * 1024


class TakenAway(Full):
    """The file that is written is not in its folder any more: nothing is taken until it is again. Giving up old data would not help."""


class Spool:
    """Open with `open_spool`. ``new_epoch`` is called when an epoch must be made; ``max_bytes`` is when `write` says Full."""

    def __init__(
        self, disk: Disk, new_epoch: Callable[[], str], *, segment_bytes: int = SEGMENT_BYTES, max_bytes: int = 1 << 62
    ) -> None:
        self._disk, self._new_epoch = disk, new_epoch
        self._segment_bytes, self._max_bytes = segment_bytes, max_bytes
        self._known = Contents()
        self._resume: dict[str, Any] = {}  # as written, durable or not: what the next difference starts from
        self._written = 0  # bytes of the last segment, synced or not
        self._unsynced: list[tuple[list[Entry], dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._must_cut = False
        self._dropped: dict[str, int] = {}
        self.corrupt = 0

    # ---- state -------------------------------------------------------------------------------------------------------
    @property
    def epoch(self) -> str:
        """The epoch that numbers are given in now."""
        return self._known.segments[-1].epoch

    def next_number(self, stream: str) -> int:
        """The number that comes next in ``stream`` (durable ones only)."""
        return self._known.next.get(stream, FIRST_NUMBER)

    def streams(self) -> dict[str, int]:
        """All streams with their next numbers."""
        with self._lock:
            return dict(self._known.next)

    def resume(self, source: str) -> Any:
        """The last durable resume state of a source, or None."""
        return self._known.resume.get(source)

    def used(self) -> int:
        """Bytes on disk."""
        with self._lock:
            return sum(segment.size for segment in self._known.segments)

    # ---- opening -----------------------------------------------------------------------------------------------------
    def open(self) -> Opening:
        """Read what is there; make the first segment when there is nothing. Raises OSError, or `Full` when no segment can be made."""
        self._known, found = read_contents(self._disk)
        self._resume = dict(self._known.resume)
        self._dropped = self._known.resume.get(DROPPED) or {}
        self.corrupt = found.corrupt
        if not self._known.segments:
            self._start_segment(self._new_epoch(), 1)
        elif found.tail == "damaged":
            found.previous_epoch = self.begin_epoch(self._new_epoch(), self.streams(), "spool_corrupt", DAMAGED)
        self._written = self._known.segments[-1].size
        return found

    # ---- writing -----------------------------------------------------------------------------------------------------
    def _start_segment(self, epoch: str, number: int, states: dict[str, Any] | None = None) -> None:
        resume = self._resume | (states or {})
        segment = Segment(number, epoch, dict(self._known.next), 0)
        data = encode_header(epoch) + encode_batch([], [], resume | {EPOCH: epoch}, segment.table)
        try:
            if self._disk_has(segment.name):
                self._disk.delete(segment.name)  # left by a making that never finished
            self._disk.append(segment.name, data)
            self._disk.sync(segment.name)
        except OSError as error:
            self._delete(segment)
            raise Full(f"spool: segment {segment.name} cannot be made: {error.strerror}; free disk space") from error
        segment.size = self._written = len(data)
        self._resume = resume
        with self._lock:
            self._known.segments.append(segment)
            self._known.resume |= states or {}

    def begin_epoch(
        self, epoch: str, ends: dict[str, int], cause: str, detail: str, resume: dict[str, Any] | None = None
    ) -> str:
        """Numbers start anew in ``epoch``; returns the old one. ``ends``: where its streams end (next numbers), to be told with ``cause``.

        Called by the writing thread, with nothing unsynced. ``resume``: states durable together with the change. Raises `Full`.
        """
        old = self.epoch
        ending = {
            "epoch": old,
            "next": {name: n for name, n in ends.items() if name.startswith(old)},
            "cause": cause,
            "detail": detail,
        }
        states = {ENDING: ending} | (resume or {})
        self._start_segment(epoch, self._known.segments[-1].number + 1, states)
        return old

    def _disk_has(self, name: str) -> bool:
        return name in self._disk.names()

    def write(self, entries: list[Entry], payloads: list[bytes], resume: dict[str, Any]) -> None:
        """Append one batch. Durable after `sync`. Raises `Full` when there is no room; then nothing was written."""
        last = self._known.segments[-1]
        if self._must_cut:
            self._cut_back(last)
        if self._dropped and self._dropped != self._resume.get(DROPPED):
            resume = resume | {DROPPED: self._dropped}
        index = self._index(entries, resume)
        data = encode_batch(entries, payloads, index.resume, None, index.changes)
        if self.used() + len(data) > self._max_bytes:
            raise Full(
                f"spool: {self.used()} of {self._max_bytes} bytes are used; nothing more is taken until the recorder catches up"
            )
        if last.size > HEADER_BYTES and self._written + len(data) > self._segment_bytes and not self._unsynced:
            self._start_segment(last.epoch, last.number + 1)
            last = self._known.segments[-1]
        try:
            self._disk.append(last.name, data)
        except OSError as error:
            self._must_cut = True
            self._cut_back(last)
            raise Full(f"spool: cannot write {len(data)} bytes: {error.strerror}; free disk space") from error
        self._written += len(data)
        changed = {name: applied(self._resume.get(name), change) for name, change in (index.changes or {}).items()}
        states = deepcopy(index.resume) | changed
        self._resume |= states
        self._unsynced.append((entries, states))

    def _index(self, entries: list[Entry], resume: dict[str, Any]) -> BatchIndex:
        """Resume states whole when they are new, else as what changed."""
        whole = {name: value for name, value in resume.items() if name not in self._resume}
        changes = {name: difference(self._resume[name], v) for name, v in resume.items() if name not in whole}
        return BatchIndex(entries, whole, None, changes or None)

    def _cut_back(self, last: Segment) -> None:
        """Remove a half-written batch, so that what follows is not behind garbage."""
        try:
            self._disk.truncate(last.name, self._written)
        except OSError as error:
            raise Full(f"spool: {last.name} cannot be repaired: {error.strerror}") from error
        self._must_cut = False

    def sync(self) -> None:
        """Make everything written durable and visible. Raises `Full`: then it is as if it had never been written.

        Writing it again is the only way: after an fdatasync that failed Linux takes the pages for clean, and the next one says that all is well.
        """
        last = self._known.segments[-1]
        try:
            self._disk.sync(last.name)
        except FileNotFoundError as error:
            hint = "put its folder back, or restart the gateway: it begins a new spool and tells the gap"
            raise TakenAway(f"spool: {last.name} was taken away while it was written; {hint}") from error
        except OSError as error:
            self._must_cut, self._written = True, last.size
            self._unsynced.clear()
            self._resume = dict(self._known.resume)
            raise Full(f"spool: cannot sync {last.name}: {error.strerror}") from error
        with self._lock:
            last.size = self._written
            for entries, states in self._unsynced:
                self._known.learn_numbers(entries)
                self._known.resume |= states
            self._unsynced.clear()

    # ---- reading -----------------------------------------------------------------------------------------------------
    def begin(self) -> Cursor:
        """The oldest place."""
        return Cursor(self._known.segments[0].number, HEADER_BYTES)

    def end(self) -> Cursor:
        """Behind the last durable batch."""
        with self._lock:
            return Cursor(self._known.segments[-1].number, self._known.segments[-1].size)

    def read(self, cursor: Cursor) -> tuple[Batch, Cursor] | None:
        """The batch at ``cursor`` and the place behind it; None at the end. Skips damage (counted in `corrupt`)."""
        while True:
            segment, last = self._at(cursor)
            if segment.number != cursor.segment:
                cursor = Cursor(segment.number, HEADER_BYTES)
            read = partial(self._disk.read, segment.name)
            if cursor.offset < segment.size:
                try:
                    batch = read_batch(read, cursor.offset, segment.size)
                except FileNotFoundError:
                    continue  # dropped by the writing thread at this moment
                if batch is not None:
                    return batch, Cursor(segment.number, batch.end)
                self.corrupt += 1
                onward = next_whole_batch(read, cursor.offset + 1, segment.size)
                cursor = Cursor(segment.number, segment.size if onward is None else onward)
            elif last is None:
                return None
            else:
                cursor = Cursor(last.number, HEADER_BYTES)

    def _at(self, cursor: Cursor) -> tuple[Segment, Segment | None]:
        with self._lock:
            return find(self._known.segments, cursor)

    def clamp(self, cursor: Cursor) -> Cursor:
        """``cursor``, or the beginning when its segment was trimmed."""
        oldest = self.begin()
        return cursor if cursor.segment >= oldest.segment else oldest

    def position_of(self, stream: str, number: int) -> Cursor:
        """The start of the newest segment in which ``number`` of ``stream`` may still be found; the oldest place if none."""
        with self._lock:
            return place_of(self._known.segments, stream, number)

    def oldest(self, stream: str) -> int:
        """The first number of ``stream`` that may still be here."""
        return self._known.segments[0].table.get(stream, FIRST_NUMBER)

    # ---- dropping ----------------------------------------------------------------------------------------------------
    def dropped(self, stream: str) -> int:
        """Numbers of ``stream`` below this one were, or may have been, dropped for want of room."""
        found: int = self._dropped.get(stream, 0)
        return found

    def drop_oldest(self) -> int:
        """Give up the oldest segment, whether or not anybody has it; returns the bytes freed (0: there is only what is being written).

        Called by the writing thread. What was in it shows as missing numbers with the cause ``spool_dropped``.
        """
        with self._lock:
            if len(self._known.segments) < 2:
                return 0
            oldest, after = self._known.segments[0], self._known.segments[1]
            before = self._dropped
            self._dropped = before | {
                name: number for name, number in after.table.items() if number > oldest.table.get(name, FIRST_NUMBER)
            }
            self._known.segments.pop(0)
        if not self._delete(oldest):
            with self._lock:
                self._known.segments.insert(0, oldest)
                self._dropped = before
            return 0
        return oldest.size

    def _delete(self, segment: Segment) -> bool:
        """False when the disk does not let it (it is read-only): the file stays, and is tried again."""
        try:
            self._disk.delete(segment.name)
        except OSError:
            return False
        return True

    # ---- trimming ----------------------------------------------------------------------------------------------------
    def trim(self, recorded: dict[str, int], keep: Callable[[str], bool] = lambda _name: False) -> int:
        """Delete oldest segments of which every number is below ``recorded``; returns how many. The last segment stays.

        ``keep(file name)``: must be kept a while longer (`keep_after`).
        """
        removed = 0
        while True:
            with self._lock:
                if len(self._known.segments) < 2:
                    return removed
                oldest, after = self._known.segments[0], self._known.segments[1]
                if not is_done(oldest, after, recorded, keep):
                    return removed
                self._known.segments.pop(0)
            if not self._delete(oldest):
                with self._lock:
                    self._known.segments.insert(0, oldest)
                return removed
            removed += 1


def open_spool(disk: Disk, new_epoch: Callable[[], str], **more: Any) -> tuple[Spool, Opening]:
    """A spool that is ready, and what was found."""
    spool = Spool(disk, new_epoch, **more)
    return spool, spool.open()
