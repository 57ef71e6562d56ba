"""How any consumer but the recorder follows a stream: live from the log, and from the record for whatever it missed. Pure.

A new consumer, a slow one and a restarted one are the same case: the next number is known, and everything from it up to what comes
live is read from the record. None of them ever asks a gateway. The shell is `consumer`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.watermark import Hole, Repeat, judge

BUFFER_RECORDS = 256


@dataclass(frozen=True, slots=True)
class Item:
    """One record: ``count`` numbers of ``stream`` from ``first``. ``gap_begin``: a gap record covers from there to ``first``."""

    stream: StreamId
    first: int
    count: int
    gap_begin: int | None
    type: str
    event: Any
    recorded: bool = False


class Use(NamedTuple):
    """Use ``item`` without its first ``skip`` numbers."""

    item: Item
    skip: int


@dataclass(slots=True)
class _Stream:
    expected: int = FIRST_NUMBER
    behind: bool = False
    waiting: deque[Item] = field(default_factory=deque)


class Follower:
    """The streams of one partition. ``watermarks``: stream text to next number, as the consumer's state includes it.

    ``expected`` streams named there are first read from the record: what is recorded may never come live again.
    """

    def __init__(self, watermarks: dict[str, int], buffer: int = BUFFER_RECORDS) -> None:
        self._buffer = buffer
        self._streams = {name: _Stream(number, behind=True) for name, number in watermarks.items()}

    def live(self, item: Item) -> list[Use]:
        """A record from the log. While its stream is behind, it waits (or is forgotten: the record will have it)."""
        stream = self._streams.get(str(item.stream))
        if stream is None:
            stream = self._streams[str(item.stream)] = _Stream()
        if not stream.behind:
            verdict = judge(stream.expected, item.first, item.count)  # a gap counts when it is recorded, not before
            if isinstance(verdict, Repeat):
                return []
            if not isinstance(verdict, Hole):
                stream.expected = verdict.next_number
                return [Use(item, verdict.skip)]
            stream.behind = True
        if len(stream.waiting) < self._buffer and item.count:
            stream.waiting.append(item)
        return []

    def sweep(self, recorded: dict[str, int]) -> None:
        """What the record has, asked for at the start and now and then: streams that never came live are read from there too."""
        for name, number in recorded.items():
            stream = self._streams.get(name)
            if stream is None:
                stream = self._streams[name] = _Stream()
            if number > stream.expected:
                stream.behind = True

    def behind(self) -> dict[str, int]:
        """Streams to be read from the record, and from which number."""
        return {name: stream.expected for name, stream in self._streams.items() if stream.behind}

    def recorded(self, name: str, items: list[Item], end: bool) -> list[Use]:
        """Records read from the record, in order from the wanted number. ``end``: the record has no more now.

        When they reach what waits, the stream is live again; when the record ends before, it stays behind if something waits that
        it does not reach (the recorder is still to come), and is live if nothing waits.
        """
        stream = self._streams[name]
        uses: list[Use] = []
        for item in items:
            self._use(stream, item, uses)
        while stream.waiting:
            before = len(uses)
            item = stream.waiting[0]
            if isinstance(judge(stream.expected, item.first, item.count), Hole):
                break
            self._use(stream, stream.waiting.popleft(), uses)
            if len(uses) > before and not stream.waiting:
                stream.behind = False
        if end and not stream.waiting:
            stream.behind = False
        return uses

    @staticmethod
    def _use(stream: _Stream, item: Item, uses: list[Use]) -> None:
        verdict = judge(stream.expected, item.first, item.count, item.gap_begin)
        if isinstance(verdict, Hole):
            raise ValueError(
                f"{item.stream}: the record jumps from {stream.expected} to {item.first} without a gap record"
            )
        if not isinstance(verdict, Repeat):
            stream.expected = verdict.next_number
            uses.append(Use(item, verdict.skip))

    def watermarks(self) -> dict[str, int]:
        """Next numbers after everything used so far."""
        return {name: stream.expected for name, stream in self._streams.items()}
