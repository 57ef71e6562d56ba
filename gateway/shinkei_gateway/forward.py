"""What goes from the spool to the log, and when. A pure state machine: no clock, no thread, no Kafka.

One cursor a partition reads the spool in the order written; consecutive runs of a stream are joined into frames. What the recorder
reports moves `recorded`; sending again is go-back-N: a stream's pointer goes back and everything follows in order, whoever has it
drops it. With a volatile log only ``credit`` bytes a partition may be out that the recorder has not reported. `shell`: `kafka_link`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from shinkei_events.codec import decode, decode_head
from shinkei_events.errors import BadInput
from shinkei_events.frames import cut
from shinkei_events.identity import FIRST_NUMBER, KINDS, Kind, StreamId, gap_id
from shinkei_events.model.frame import Context, Frame, FrameHead, GapMark
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.progress import Recorded
from shinkei_events.registry import FRAME
from shinkei_events.topics import PARTITIONS, partition_of
from shinkei_gateway.sending import Encoded, Missing, Send, Sending
from shinkei_gateway.spool.segment import HEADER_BYTES, Batch, Entry
from shinkei_gateway.spool.spool import Cursor, Spool

__all__ = ["CREDIT_BYTES", "Forwarder", "Missing", "Send"]

FRAME_AGE_NS = 100_000_000
CATCHING_UP_NS = 10**9
"""What was received longer ago is no live value any more."""
CREDIT_BYTES = 3 * 1024 * 1024
FLIGHT_BYTES = 32 * 1024 * 1024
"""Sent and not acknowledged by the log, at most and one batch more. Half of what the Kafka client holds: what it refuses is read from disk again."""


class Forwarder:
    """``credit`` None: the log is durable, no limit. ``keep_until``: what trimming waits for, ``stored`` or ``sent``."""

    def __init__(self, spool: Spool, *, frame_age: int = FRAME_AGE_NS, credit: int | None = CREDIT_BYTES, keep_until: str = "stored",
                 max_in_flight: int = 10_000, flight_bytes: int = FLIGHT_BYTES, partitions: int = PARTITIONS) -> None:  # fmt: skip
        self._flight_bytes, self._flying_bytes = flight_bytes, 0
        self._spool, self.frame_age, self._credit, self._keep_until = spool, frame_age, credit, keep_until
        self._max_in_flight, self._partitions = max_in_flight, partitions
        self._streams: dict[str, Sending] = {}
        self._by_partition: dict[int, list[Sending]] = {p: [] for p in range(partitions)}
        self._cursors: dict[int, Cursor] = {p: spool.begin() for p in range(partitions)}
        self._outstanding: dict[int, int] = dict.fromkeys(range(partitions), 0)
        self._flight: dict[int, tuple[str, int, int, int]] = {}
        self._ticket = 0
        self._told: set[str] = set()
        self._ended: dict[str, int] = {}
        self.missing: list[Missing] = []
        """Holes found since the list was last emptied; the shell writes a gap event for each."""
        self.due: int | None = None
        """When (monotonic ns) the next frame is old enough to be sent, as of the last `poll`."""
        self.has_more = False
        """Whether the last `poll` ended for its budget, with something left to read."""
        self._last: tuple[Cursor, tuple[Batch, Cursor]] | None = None
        self.log_id: str | None = None
        self._ahead: int | None = None
        for name in spool.streams():
            self._stream(name)

    def set_credit(self, credit: int | None) -> None:
        """Another share of what a volatile log can hold."""
        self._credit = credit

    # ---- what happens to it ------------------------------------------------------------------------------------------
    def on_log(self, log_id: str) -> None:
        """The log is another one (or the client was made anew): everything not recorded is sent again."""
        self.log_id = log_id
        self._flight.clear()
        self._flying_bytes = 0
        for stream in self._streams.values():
            stream.delivered, stream.flying, stream.offset = stream.recorded, 0, -1
            self._go_back(stream, stream.recorded)

    def on_progress(
        self, partition: int, reports: list[Recorded], kinds: Iterable[Kind] = KINDS, position: int = -1
    ) -> list[Recorded]:
        """The recorder's report of one partition (of a topic that carries ``kinds``); the last one wins, also a lower one.

        A stream that is not in it has nothing recorded. ``position``: how far it has read this log (-1: it reads another); it has then
        seen what was delivered below, and what it did not take follows again. Returns reports of this epoch that are above what the spool ever
        gave: it went back in time and needs a new epoch. Of an epoch that ended, whatever is above is not this spool's to send.
        """
        ahead = []
        ends = self._ends()
        named = {str(report.stream) for report in reports}
        for name, stream in self._streams.items():
            if (
                stream.partition == partition
                and stream.id.kind in kinds
                and name not in named
                and stream.recorded > FIRST_NUMBER
            ):
                stream.recorded = FIRST_NUMBER
                self._go_back(stream, FIRST_NUMBER)
        for report in reports:
            name = str(report.stream)
            if name not in ends and not name.startswith(self._spool.epoch):
                continue
            stream, end = self._stream(name), ends.get(name, FIRST_NUMBER)
            if report.next > end and report.stream.epoch == self._spool.epoch:
                ahead.append(report)
                continue
            self._recorded_up_to(stream, min(report.next, end), position)
        return ahead

    def end_streams(self, ended: dict[str, int]) -> None:
        """Of these streams only the numbers below are this spool's; the others follow under numbers of another epoch."""
        self._ended |= ended
        for name, number in ended.items():
            stream = self._stream(name)
            if stream.sent > number:
                self._go_back(stream, number)
            stream.recorded = min(stream.recorded, number)

    def sent_ever(self) -> dict[str, int]:
        """Per stream: the next of all that this life ever sent, whether or not it is sent again."""
        return {name: stream.farthest for name, stream in self._streams.items()}

    def _recorded_up_to(self, stream: Sending, number: int, position: int) -> None:
        lower = number < stream.recorded
        stream.recorded = number
        self._outstanding[stream.partition] -= stream.settle()
        if lower:
            self._go_back(stream, number)
        elif stream.sent < number:
            stream.sent = number
            stream.drop_pending()
        elif stream.out and not stream.flying and 0 <= stream.offset < position:
            self._go_back(stream, number)

    def skip_done(self) -> None:
        """Read on where something is to be sent, not through all that is kept for a database restored one day. After the progress was read."""
        last = Cursor(self._spool.end().segment, HEADER_BYTES)
        places = dict.fromkeys(range(self._partitions), last)
        for name, end in self._ends().items():
            stream = self._stream(name)
            if stream.sent < end:
                place = self._spool.position_of(name, stream.sent)
                places[stream.partition] = min(places[stream.partition], place)
        self._cursors = {p: max(place, self._cursors[p]) for p, place in places.items()}

    def on_send_again(self, stream: StreamId, number: int) -> None:
        """The recorder misses ``number``: it and everything behind follows again."""
        found = self._stream(str(stream))
        if number < found.sent:
            self._go_back(found, number)

    def on_asked_again(self, stream: StreamId, number: int) -> tuple[StreamId, int, int, int]:
        """A person wants ``stream`` (empty epoch: the one written now) again from ``number`` on. Returns which, from where it follows, its
        next number, and the next to be recorded.

        What is on record is left out: it is read there, and the recorder's next report would move the pointer over it. Raises `BadInput`
        for a stream that is not here and for numbers that are not: going back to them would only tell a gap that is none.
        """
        stream = stream if stream.epoch else StreamId(self._spool.epoch, stream.machine, stream.kind)
        name = str(stream)
        end = self._ends().get(name)
        if end is None:
            raise BadInput(f"{name}: this gateway has no such stream")
        if not FIRST_NUMBER <= number <= end:
            raise BadInput(f"{name}: {number} is none of its numbers, which go from {FIRST_NUMBER} to {end - 1}")
        found = self._stream(name)
        start, oldest = max(number, found.recorded), self._spool.oldest(name)
        if start < oldest:
            raise BadInput(f"{name}: the spool has its numbers from {oldest} on, asked for was {number}")
        if start < found.sent:
            self._go_back(found, start)
        return stream, start, end, found.recorded

    def delivered(self, ticket: int, offset: int) -> None:
        """The log has acknowledged a record and keeps it at ``offset``."""
        if (found := self._landed(ticket)) is not None:
            stream = self._stream(found[0])
            stream.delivered = max(stream.delivered, found[2])
            stream.flying -= 1
            stream.offset = max(stream.offset, offset)

    def failed(self, ticket: int) -> None:
        """The log will never have the record."""
        if (found := self._landed(ticket)) is not None:
            stream = self._stream(found[0])
            stream.flying -= 1
            self._go_back(stream, min(stream.sent, found[1]))

    def _landed(self, ticket: int) -> tuple[str, int, int, int] | None:
        """The record of ``ticket`` (stream, first, end, bytes) is in flight no more; None when it was not."""
        found = self._flight.pop(ticket, None)
        if found is not None:
            self._flying_bytes -= found[3]
        return found

    # ---- what it does ------------------------------------------------------------------------------------------------
    def poll(self, now: int, budget: int = 64, wall: int | None = None) -> list[Send]:
        """Records to produce now, at most about ``budget`` batches read. ``now``: any monotonic ns. ``wall``: ns UTC, so that what a reading has waited on
        its way to the disk counts towards the age of its frame; None: it does not."""
        self._ahead = None if wall is None else wall - now
        sends: list[Send] = []
        moved = True
        while moved and budget > 0:
            moved = False
            for partition in range(self._partitions):
                if self._may_read(partition) and self._advance(partition, now, sends):
                    moved, budget = True, budget - 1
        self.has_more = budget <= 0
        self._flush_old(now, sends)
        return sends

    def quiet(self, frames: Iterable[Frame]) -> list[Send]:
        """Empty frames of streams of which everything is sent; others would only be repeats."""
        return [
            Send(0, frame.stream, frame.first, frame.first, frame, 0)
            for frame in frames
            if (stream := self._stream(str(frame.stream))).sent == frame.first
            and not stream.pending
            and len(self._flight) < self._max_in_flight
        ]

    def trim(self, **how: Any) -> int:
        """Delete what nobody needs any more; returns the number of segments."""
        done = {
            name: (s.recorded if self._keep_until == "stored" else max(s.delivered, s.recorded))
            for name, s in self._streams.items()
        }
        done |= {name: 1 << 62 for name, number in self._ended.items() if done.get(name, FIRST_NUMBER) >= number}
        return self._spool.trim(done, **how)

    def backlog(self) -> int:
        """How many numbers are not recorded yet."""
        return sum(end - self._recorded(name) for name, end in self._ends().items())

    def on_log_of(self) -> dict[str, tuple[int, int]]:
        """Per machine written now, of its signals: next number in the spool, and next that the log does not have yet."""
        found = {}
        for name, end in self._spool.streams().items():
            stream = self._stream(name)
            if stream.id.kind == "signals" and name.startswith(self._spool.epoch):
                found[stream.id.machine] = (end, max(stream.delivered, stream.recorded))
        return found

    def state(self) -> dict[str, tuple[int, int, int]]:
        """Per stream: next number in the spool, next to send, next to be recorded."""
        return {name: (end, self._stream(name).sent, self._stream(name).recorded) for name, end in self._ends().items()}

    # ---- inside ------------------------------------------------------------------------------------------------------
    def _ends(self) -> dict[str, int]:
        """Streams with their next numbers, as far as they are this spool's to send."""
        return self._spool.streams() | self._ended

    def _recorded(self, name: str) -> int:
        found = self._streams.get(name)
        return found.recorded if found else FIRST_NUMBER

    def _stream(self, name: str) -> Sending:
        found = self._streams.get(name)
        if found is None:
            stream = StreamId.parse(name)
            found = self._streams[name] = Sending(stream, partition_of(stream.machine, self._partitions))
            self._by_partition[found.partition].append(found)
        return found

    def _may_read(self, partition: int) -> bool:
        if len(self._flight) >= self._max_in_flight or self._flying_bytes >= self._flight_bytes:
            return False
        return self._credit is None or self._outstanding[partition] < self._credit

    def _advance(self, partition: int, now: int, sends: list[Send]) -> bool:
        cursor = self._spool.clamp(self._cursors[partition])
        found = self._read(cursor)
        if found is None:
            self._close_holes(partition, cursor, sends)
            return False
        batch, self._cursors[partition] = found
        mine = [(at, entry) for at, entry in enumerate(batch.index.entries) if self._is_wanted(entry, partition)]
        if mine:
            payloads = batch.payloads()
            for at, entry in mine:
                self._take(self._stream(entry.stream), entry, payloads[at], now, sends)
        return True

    def _read(self, cursor: Cursor) -> tuple[Batch, Cursor] | None:
        """The partitions come by one after the other and mostly stand at the same place: each batch is read once for all of them."""
        if self._last is None or self._last[0] != cursor:
            found = self._spool.read(cursor)
            if found is None:
                return None
            self._last = (cursor, found)
        return self._last[1]

    def _is_wanted(self, entry: Entry, partition: int) -> bool:
        stream = self._stream(entry.stream)
        return (
            stream.partition == partition
            and entry.first + entry.count > stream.sent
            and entry.first < self._ended.get(entry.stream, entry.first + 1)
        )

    def _take(self, stream: Sending, entry: Entry, payload: bytes, now: int, sends: list[Send]) -> None:
        skip = stream.sent - entry.first
        event: Any
        try:
            if skip == 0 and entry.type == FRAME.ce_type:
                event = Encoded(decode_head(payload), payload)
            else:
                event = decode(entry.type, payload)
        except BadInput:
            return  # written by a newer program: its numbers show as missing, with a mark
        if skip < 0:
            self._flush(stream, sends)
            event = msgspec.structs.replace(event, gap_before=self._mark(stream, entry.first))
        elif skip > 0:
            event = cut(event, skip)
        stream.sent = entry.first + entry.count
        if not isinstance(event, Frame | Encoded):
            self._flush(stream, sends)
            self._send(stream, event, stream.sent - 1, stream.sent, len(payload), sends)
            return
        if not stream.takes(event, len(payload)):
            self._flush(stream, sends)
        if stream.add(
            event, len(payload), now - self._waited(event.head if isinstance(event, Encoded) else event, now)
        ):
            self._flush(stream, sends)

    def _waited(self, frame: Frame | FrameHead, now: int) -> int:
        """ns since the frame's first reading was received; none where that is long ago (catching up, in big frames) or the clock was set."""
        if self._ahead is None or not frame.received:
            return 0
        waited = now + self._ahead - frame.received[0][1]
        return waited if 0 < waited < CATCHING_UP_NS else 0

    def _mark(self, stream: Sending, end: int) -> GapMark:
        name = str(stream.id)
        cause = "trimmed" if stream.sent < self._spool.oldest(name) else "spool_corrupt"
        if stream.sent < self._spool.dropped(name):
            cause = "spool_dropped"
        mark = GapMark(gap_id(stream.id, stream.sent, end, cause), cause, stream.sent, end)
        if mark.id not in self._told:
            self._told.add(mark.id)
            self.missing.append(Missing(stream.id, mark))
        return mark

    def _close_holes(self, partition: int, cursor: Cursor, sends: list[Send]) -> None:
        """At the end of the spool: a stream whose last numbers are gone has no record to carry the mark. An empty frame does; for
        events, the gap event that the shell writes is the next one and carries it."""
        self._cursors[partition] = cursor
        ends = self._ends()
        open_ends = [
            (s, end) for s in self._by_partition[partition] if s.sent < (end := ends.get(str(s.id), FIRST_NUMBER))
        ]
        if not open_ends or self._spool.read(cursor) is not None:
            return  # the writing thread has added what seemed to be missing
        for stream, end in open_ends:
            self._flush(stream, sends)
            mark = self._mark(stream, end)
            if stream.id.kind != "production":
                stream.sent = end
                frame = Frame(stream.id, end, 0, Context(), [], [], [], [], [], [], 0, gap_before=mark)
                self._send(stream, frame, mark.begin or end, end, 0, sends)

    def _flush_old(self, now: int, sends: list[Send]) -> None:
        self.due = None
        for stream in self._streams.values():
            if not stream.pending:
                continue
            if now - stream.since >= self.frame_age:
                self._flush(stream, sends)
            elif self.due is None or stream.since + self.frame_age < self.due:
                self.due = stream.since + self.frame_age

    def _flush(self, stream: Sending, sends: list[Send]) -> None:
        if stream.pending:
            for frame, size in stream.taken():
                head = frame.head if isinstance(frame, Encoded) else frame
                self._send(stream, frame, head.first, head.end, size, sends)

    def _send(
        self, stream: Sending, event: Frame | Numbered | Encoded, first: int, end: int, size: int, sends: list[Send]
    ) -> None:
        self._ticket += 1
        self._flight[self._ticket] = (str(stream.id), first, end, size)
        self._flying_bytes += size
        stream.flying += 1
        stream.goes(end, size)
        self._outstanding[stream.partition] += size
        sends.append(Send(self._ticket, stream.id, first, end, event, size))

    def _go_back(self, stream: Sending, number: int) -> None:
        self._outstanding[stream.partition] -= stream.go_back(number)
        self._cursors[stream.partition] = min(
            self._cursors[stream.partition], self._spool.position_of(str(stream.id), number)
        )
