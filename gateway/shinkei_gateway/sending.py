"""One stream on its way from spool to log: numbers sent, delivered and recorded, and the readings that wait to be one frame. Pure.

`forward.Forwarder` has one of these a stream and decides when; here is what each of them knows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from shinkei_events.codec import decode_frame
from shinkei_events.errors import BadInput
from shinkei_events.frames import MAX_BYTES, MAX_VALUES, can_join, join
from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.model.frame import Frame, FrameHead, GapMark
from shinkei_events.model.numbered import Numbered

OUT_MOST = 4096
"""Records of one stream that are told apart while they wait to be recorded. A recorder that is away for days costs no memory."""


class Encoded(NamedTuple):
    """A frame as the spool has it: what joins no other goes to the log in the bytes it was written in."""

    head: FrameHead
    payload: bytes

    def decoded(self) -> Frame:
        """Raises `BadInput` when it is no frame after all."""
        return decode_frame(self.payload)


class Send(NamedTuple):
    """One record for the log. ``ticket`` comes back by `delivered` or `failed`. ``end`` is the number after its last."""

    ticket: int
    stream: StreamId
    first: int
    end: int
    record: Frame | Numbered | Encoded
    size: int

    @property
    def event(self) -> Frame | Numbered:
        """The record for who looks into it."""
        return self.record.decoded() if isinstance(self.record, Encoded) else self.record


class Missing(NamedTuple):
    """Numbers ``begin … end - 1`` of ``stream`` are not in the spool any more (or unreadable). The next record carries the mark."""

    stream: StreamId
    mark: GapMark


@dataclass(slots=True)
class Sending:
    """One stream on its way: what is read, joined, out, delivered and recorded."""

    id: StreamId
    partition: int
    sent: int = FIRST_NUMBER
    recorded: int = FIRST_NUMBER
    delivered: int = FIRST_NUMBER
    pending: list[Frame | Encoded] = field(default_factory=list)
    pending_values: int = 0
    pending_bytes: int = 0
    since: int = 0
    flying: int = 0
    farthest: int = FIRST_NUMBER
    offset: int = -1
    out: deque[tuple[int, int]] = field(default_factory=deque)

    def takes(self, frame: Frame | Encoded, size: int) -> bool:
        """Whether ``frame`` (of ``size`` bytes) still goes into the frame that waits."""
        return not self.pending or (
            can_join(_head(self.pending[-1]), _head(frame))
            and self.pending_values + _head(frame).count <= MAX_VALUES
            and self.pending_bytes + size <= MAX_BYTES
        )

    def add(self, frame: Frame | Encoded, size: int, now: int) -> bool:
        """Let ``frame`` wait; True when what waits is full."""
        if not self.pending:
            self.since = now
        self.pending.append(frame)
        self.pending_values += _head(frame).count
        self.pending_bytes += size
        return self.pending_values >= MAX_VALUES

    def taken(self) -> list[tuple[Frame | Encoded, int]]:
        """What waits as one frame with its size; nothing waits afterwards. Frames of which one cannot be read stay single."""
        pending, size = self.pending, self.pending_bytes
        self.drop_pending()
        if len(pending) == 1:
            return [(pending[0], size)]
        try:
            return [(join([one.decoded() if isinstance(one, Encoded) else one for one in pending]), size)]
        except BadInput:
            return [(one, size // len(pending)) for one in pending]

    def drop_pending(self) -> None:
        """Forget what waits."""
        self.pending, self.pending_values, self.pending_bytes = [], 0, 0

    def goes(self, end: int, size: int) -> None:
        """A record that ends before ``end`` is on its way; beyond `OUT_MOST` it counts as one with the record before it."""
        self.farthest = max(self.farthest, end)
        if len(self.out) >= OUT_MOST:
            size += self.out.pop()[1]
        self.out.append((end, size))

    def settle(self) -> int:
        """Bytes that were out and are recorded now."""
        freed = 0
        while self.out and self.out[0][0] <= self.recorded:
            freed += self.out.popleft()[1]
        return freed

    def go_back(self, number: int) -> int:
        """``number`` is the next to send; returns the bytes that are therefore out no more."""
        self.drop_pending()
        freed = 0
        while self.out and self.out[-1][0] > number:
            freed += self.out.pop()[1]
            if number > max(self.recorded, self.out[-1][0] if self.out else 0):
                self.out.append((number, 0))  # several records that counted as one: what is below is out still
        self.sent = number
        return freed


def _head(frame: Frame | Encoded) -> Frame | FrameHead:
    return frame.head if isinstance(frame, Encoded) else frame
