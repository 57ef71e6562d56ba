"""Who a reading is: streams, numbers, and ids that are pure functions of their cause.

A *stream* is ``(epoch, machine, kind)``: one writer, one order, one Kafka partition. Numbers in a stream start at 1 and are
contiguous in the order written. Nothing here reads a clock; `new_epoch` takes the time and the random bits as arguments.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import Literal

import msgspec

from shinkei_events.errors import BadField

Kind = Literal["signals", "production", "history", "quarantine"]
KINDS: tuple[Kind, ...] = ("signals", "production", "history", "quarantine")

FIRST_NUMBER = 1
"""The number of the first reading or event of every stream; 0 means "none yet"."""


class StreamId(msgspec.Struct, frozen=True, order=True):
    """``(epoch, machine, kind)``; text form ``epoch/machine/kind``. ``epoch`` is the UUIDv7 of a shard's spool."""

    epoch: str
    machine: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.epoch}/{self.machine}/{self.kind}"

    @classmethod
    def parse(cls, text: str) -> StreamId:
        """Inverse of ``str``; raises `BadField` for anything else."""
        parts = text.split("/")
        if len(parts) != 3 or parts[2] not in KINDS or not parts[0] or not parts[1]:
            raise BadField("$.stream", text, "expected epoch/machine/kind")
        return cls(parts[0], parts[1], parts[2])

    def sibling(self, kind: Kind) -> StreamId:
        """The stream of another kind of the same machine and epoch."""
        return StreamId(self.epoch, self.machine, kind)


def new_epoch(now_ms: int, random_bits: int) -> str:
    """A UUIDv7 (RFC 9562 §5.7) of ``now_ms`` (Unix ms) and 74 random bits."""
    value = (now_ms & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random_bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def digest(*parts: object) -> str:
    """A 128-bit BLAKE2b of the parts as 32 hex digits; parts are separated, so ``("a", "bc")`` is not ``("ab", "c")``."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode()
        hasher.update(len(text).to_bytes(4, "big"))
        hasher.update(text)
    return hasher.hexdigest()


def event_id(stream: StreamId, number: int) -> str:
    """The CloudEvents id of a numbered event or of a frame that begins with ``number``."""
    return f"{stream}/{number}"


def gap_id(of: StreamId, begin: int, end: int, cause: str, channels: Iterable[str] = ()) -> str:
    """Id of a gap: the same hole found twice is the same gap (``begin``/``end`` are numbers or times in ns)."""
    return digest("gap", of, begin, end, cause, *sorted(channels))


def operation_id(source: str, trigger: str, edge_time: int, counter: int | None = None) -> str:
    """Id of an operation from the edge that closed it: read twice, it is the same operation."""
    return digest("operation", source, trigger, edge_time, "" if counter is None else counter)


def anomaly_id(stream: StreamId, first_number: int, rule: str) -> str:
    """Id of an anomaly: the reading that opened the episode and the rule that spoke."""
    return digest("anomaly", stream, first_number, rule)


def decision_id(site: str, part: str, number: int) -> str:
    """Id of what a person decided: ``site/part/number`` with the number of the part's outbox row."""
    return f"{site}/{part}/{number}"
