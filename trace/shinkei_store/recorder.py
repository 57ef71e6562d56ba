"""What the recorder takes from the log, and what it asks for. A pure state machine: no clock of its own, no database, no Kafka.

Numbers are taken strictly in order. A repeat is dropped; above a hole nothing is taken, the missing numbers are asked for again
(go-back-N brings everything behind them too), and only a gap record moves a watermark over numbers nobody has. The shell
(`worker`) writes what was accepted and the watermarks in one transaction, then reports progress.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from shinkei_events.frames import cut
from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.model.frame import Frame, GapMark
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.progress import Recorded
from shinkei_events.watermark import Hole, Repeat, judge

ASK_AGAIN_NS = 1_000_000_000


class Accepted(NamedTuple):
    """Write this. ``event`` is cut to what is new; ``gap``: these numbers before it are missing for good."""

    stream: StreamId
    type: str
    source: str
    event: Frame | Numbered
    gap: GapMark | None


class Ask(NamedTuple):
    """Ask ``source`` (``gateway/<id>/<shard>``) to send ``stream`` again from ``number``."""

    stream: StreamId
    number: int
    source: str


class Recorder:
    """Watermarks of the partitions it holds. ``watermarks``: stream text to next number, as the database has them."""

    def __init__(self, watermarks: dict[str, int]) -> None:
        self._next = dict(watermarks)
        self._asked: dict[str, tuple[int, int]] = {}
        self.repeats = 0
        self.holes = 0

    def offer(self, type: str, source: str, event: Any, now: int) -> Accepted | Ask | None:
        """Judge one record of the log. ``now``: any monotonic ns. None: known already, or its hole was asked for a moment ago."""
        stream: StreamId = event.stream
        name = str(stream)
        first, count = (event.first, event.count) if isinstance(event, Frame) else (event.number, 1)
        mark = event.gap_before
        verdict = judge(self._next.get(name, FIRST_NUMBER), first, count, mark.begin if mark is not None else None)
        if isinstance(verdict, Repeat):
            self.repeats += 1
            return None
        if isinstance(verdict, Hole):
            self.holes += 1
            return self._ask(stream, name, verdict.begin, source, now)
        expected, self._next[name] = self._next.get(name, FIRST_NUMBER), verdict.next_number
        self._asked.pop(name, None)
        if verdict.gap and mark is not None:  # what is known of the range is not missing
            mark = GapMark(mark.id, mark.cause, expected, first)
            return Accepted(stream, type, source, msgspec.structs.replace(event, gap_before=mark), mark)
        if verdict.skip and isinstance(event, Frame):
            event = cut(event, verdict.skip)
        return Accepted(stream, type, source, event, None)

    def _ask(self, stream: StreamId, name: str, number: int, source: str, now: int) -> Ask | None:
        asked = self._asked.get(name)
        if asked is not None and asked[0] == number and now - asked[1] < ASK_AGAIN_NS:
            return None
        self._asked[name] = (number, now)
        return Ask(stream, number, source)

    def restored(self, reported: list[Recorded], source_of: dict[str, str], now: int) -> list[Ask]:
        """At the start: streams whose own last progress report is ahead of the database (it was restored from a backup)."""
        asks = []
        for report in reported:
            name = str(report.stream)
            expected = self._next.get(name, FIRST_NUMBER)
            if report.next > expected and name in source_of:
                ask = self._ask(report.stream, name, expected, source_of[name], now)
                if ask is not None:
                    asks.append(ask)
        return asks

    def watermarks(self) -> dict[str, int]:
        """Next number of every stream, including what was accepted and is not yet committed."""
        return dict(self._next)
