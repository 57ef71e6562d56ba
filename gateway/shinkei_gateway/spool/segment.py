"""How batches stand in a segment file. Pure: bytes in, batches out.

::

    segment = header batch*                 header = "SHINKEI SPOOL 1\\n" + 36 bytes epoch + "\\n"
    batch   = mark(4) crc32c(4) length(4) index_length(4) index block
    index   = MessagePack BatchIndex: which stream, first number, count and size each entry of the block has; resume states
              (at the head of a segment whole, then as differences); zstd when that is smaller. Names and times of some ten thousand
              signals repeat from batch to batch: uncompressed they were three quarters of a busy spool
    block   = zstd of the entries' payloads (encoded frames or events) one behind the other

The checksum covers everything behind itself. A file that ends inside a batch has a torn tail; a batch whose checksum is wrong
although all its bytes are there is mended when one bit is wrong, else damaged, and the next whole batch is found by its mark.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import google_crc32c
import msgspec
import zstandard

from shinkei_events.errors import BadInput
from shinkei_gateway.spool.mend import mended

MAGIC = b"SHINKEI SPOOL 1\n"
HEADER_BYTES = len(MAGIC) + 37
MARK = b"\xa5SB\x1a"
_FIXED = struct.Struct(">4sIII")
_LENGTHS = struct.Struct(">II")
MAX_BATCH_BYTES = 64 * 1024 * 1024

_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878 section 3.1.1; MessagePack of an index begins with an array's byte, 0x92 to 0x94
_PACKED_FROM = 256
"""Bytes of an index from which it is worth a compression."""


class _Own(threading.local):
    """Of each thread: a compressor that two use at once gives one the other's bytes (seen with two spools in one process)."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)


_own = _Own()
_encode = msgspec.msgpack.Encoder().encode


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One payload: ``count`` numbers of ``stream`` from ``first``; ``type`` is its ce_type, ``size`` its bytes in the block."""

    stream: str
    first: int
    count: int
    type: str
    size: int


class BatchIndex(msgspec.Struct, frozen=True, array_like=True):
    """What a batch holds. ``resume``: source to its whole resume state; ``table``: stream to its next number (at a segment's head).

    ``changes``: source to what its resume state changed by (`resume.difference`) since the batch before that named it.
    """

    entries: list[Entry]
    resume: dict[str, Any]
    table: dict[str, int] | None = None
    changes: dict[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as read: its place, its index, and its entries' bytes on demand."""

    offset: int
    end: int
    index: BatchIndex
    _block: bytes

    def is_sound(self) -> bool:
        """Whether the block is what the index says: asked of a mended batch, where the checksum has been used up."""
        try:
            block = zstandard.ZstdDecompressor().decompress(self._block) if self._block else b""
        except zstandard.ZstdError:
            return False
        return len(block) == sum(entry.size for entry in self.index.entries)

    def payloads(self) -> list[bytes]:
        """The entries' payloads, in order."""
        block = zstandard.ZstdDecompressor().decompress(self._block) if self._block else b""
        found, at = [], 0
        for entry in self.index.entries:
            found.append(block[at : at + entry.size])
            at += entry.size
        return found


_decode = msgspec.msgpack.Decoder(BatchIndex).decode


def _decode_index(data: bytes) -> BatchIndex:
    """Raises `BadInput` when it is none."""
    try:
        if data.startswith(_ZSTD):
            if zstandard.get_frame_parameters(data).content_size > MAX_BATCH_BYTES:
                raise BadInput(f"an index of more than {MAX_BATCH_BYTES} bytes")
            data = zstandard.ZstdDecompressor().decompress(data)
        return _decode(data)
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as error:  # ValueError: a text that is not UTF-8
        raise BadInput(f"no index of a batch: {error}") from error


def _encode_index(index: BatchIndex) -> bytes:
    plain = _encode(index)
    if len(plain) < _PACKED_FROM:
        return plain
    packed = _own.compressor.compress(plain)
    return packed if len(packed) < len(plain) else plain


def encode_header(epoch: str) -> bytes:
    """The first bytes of a segment."""
    return MAGIC + epoch.encode() + b"\n"


def decode_header(data: bytes) -> str | None:
    """The epoch, or None when this is no (whole) header."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC) or data[HEADER_BYTES - 1 : HEADER_BYTES] != b"\n":
        return None
    return data[len(MAGIC) : HEADER_BYTES - 1].decode("ascii", "replace")


def encode_batch(
    entries: list[Entry],
    payloads: list[bytes],
    resume: dict[str, Any],
    table: dict[str, int] | None = None,
    changes: dict[str, list[Any]] | None = None,
) -> bytes:
    """The bytes of a batch; about 0.3 µs an entry with 1000 entries."""
    index = _encode_index(BatchIndex(entries, resume, table, changes))
    block = _own.compressor.compress(b"".join(payloads)) if payloads else b""
    rest = struct.pack(">II", len(index) + len(block), len(index)) + index + block
    crc: int = google_crc32c.value(rest)
    return MARK + crc.to_bytes(4, "big") + rest


Read = Callable[[int, int], bytes]


def read_batch(read: Read, offset: int, size: int) -> Batch | None:
    """The batch at ``offset`` of a file of ``size`` bytes (one wrong bit mended), or None when there is no whole, right one."""
    head = read(offset, _FIXED.size)
    if len(head) < _FIXED.size:
        return None
    mark, crc, length, _ = _FIXED.unpack(head)
    end = offset + _FIXED.size + length
    if (mark != MARK and not _is_nearly(mark)) or length > MAX_BATCH_BYTES or end > size:
        return _with_other_length(read, offset, size, head)
    rest = head[8:] + read(offset + _FIXED.size, length)
    found = google_crc32c.value(rest)
    if found == crc:
        return _batch(rest, offset) if mark == MARK or end == size or read(end, 4) == MARK else None
    if mark != MARK:
        return None
    right = mended(rest, found ^ crc)
    if (
        right is not None
        and right[:4] == rest[:4]
        and (batch := _batch(right, offset)) is not None
        and batch.is_sound()
    ):
        return batch
    return _with_other_length(read, offset, size, head)


def _batch(rest: bytes, offset: int) -> Batch | None:
    """A batch of what its checksum covers; None when that is no batch after all."""
    length, index_length = _LENGTHS.unpack_from(rest)
    body = rest[_LENGTHS.size :]
    if index_length > length or length != len(body):
        return None
    try:
        index = _decode_index(body[:index_length])
    except BadInput:
        return None
    return Batch(offset, offset + _FIXED.size + length, index, body[index_length:])


def _is_nearly(mark: bytes) -> bool:
    """Whether one bit of the mark is wrong."""
    return (int.from_bytes(mark, "big") ^ int.from_bytes(MARK, "big")).bit_count() == 1


def _with_other_length(read: Read, offset: int, size: int, head: bytes) -> Batch | None:
    """The batch when one bit of its length is wrong: every length that differs by a bit and ends at a mark or the file's end is tried."""
    mark, crc, wrong, _ = _FIXED.unpack(head)
    if mark != MARK:
        return None
    for bit in range(32):
        length = wrong ^ 1 << bit
        end = offset + _FIXED.size + length
        if length > MAX_BATCH_BYTES or end > size or (end != size and read(end, len(MARK)) != MARK):
            continue
        rest = length.to_bytes(4, "big") + head[12:] + read(offset + _FIXED.size, length)
        if google_crc32c.value(rest) == crc:
            return _batch(rest, offset)
    return None


def guess_index(read: Read, offset: int, size: int) -> BatchIndex | None:
    """What the index of a damaged batch says, if it can be read at all. To be believed only when its numbers continue others."""
    head = read(offset, _FIXED.size)
    if len(head) < _FIXED.size:
        return None
    _, _, length, index_length = _FIXED.unpack(head)
    if index_length > length or offset + _FIXED.size + index_length > size:
        return None
    try:
        return _decode_index(read(offset + _FIXED.size, index_length))
    except BadInput:
        return None


def is_torn(read: Read, offset: int, size: int) -> bool:
    """Whether the file simply ends inside the batch at ``offset`` (a write that was never finished)."""
    head = read(offset, _FIXED.size)
    if len(head) < _FIXED.size:
        return True
    mark, _, length, _ = _FIXED.unpack(head)
    return bool(mark == MARK and length <= MAX_BATCH_BYTES and offset + _FIXED.size + length > size)


def next_whole_batch(read: Read, offset: int, size: int, step: int = 1 << 20) -> int | None:
    """The offset of the next readable batch at or behind ``offset``, found by its mark; None when there is none."""
    at = offset
    while at < size:
        chunk = read(at, step + len(MARK))
        found = chunk.find(MARK)
        while found != -1:
            if read_batch(read, at + found, size) is not None:
                return at + found
            found = chunk.find(MARK, found + 1)
        at += step
    return None
