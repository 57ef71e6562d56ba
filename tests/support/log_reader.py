"""What a log holds, as a consumer that takes numbers strictly in order sees it: repeats dropped, holes shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shinkei_events import kafka
from shinkei_events.envelope import open_record
from shinkei_events.frames import cut, readings
from shinkei_events.identity import StreamId
from shinkei_events.kafka import LogAddress
from shinkei_events.model.frame import Frame
from shinkei_events.topics import PRODUCTION, QUARANTINE, SIGNALS
from shinkei_events.watermark import Hole, Repeat, Watermarks, judge
from tests.support.waiting import eventually


class LogReader:
    """Reads all streams from the beginning. ``holes``: numbers that were never closed by a repeat or a gap mark.

    ``keep`` False: frames are judged and forgotten (a long outage is a million readings).
    """

    def __init__(self, log: LogAddress, *, keep: bool = True) -> None:
        self._keep = keep
        self._consumer = kafka.plain_consumer(log, "test.reader")
        kafka.assign_from_beginning(self._consumer, [SIGNALS.name, PRODUCTION.name, QUARANTINE.name])
        self._marks = Watermarks()
        self._held: dict[str, tuple[int, int]] = {}
        self.frames: list[Frame] = []
        self.events: list[Any] = []
        self.repeats = 0

    def close(self) -> None:
        self._consumer.close()

    def read(self, until: Callable[[LogReader], object], timeout: float = 60.0) -> None:
        """Take what comes until ``until`` is true. It is of what was read so far: values, events and what is refused are three topics."""

        def so() -> bool:
            if until(self):
                return True
            self._take_some()
            return False

        eventually(so, timeout, every=0.0, about=until)

    def _take_some(self) -> None:
        for message in kafka.consume_batch(self._consumer, 500, 0.2):
            if message.error() is None:
                self._take(open_record(message.headers(), message.value()).event)  # type: ignore[arg-type]

    def expected(self, stream: StreamId) -> int:
        """The number that comes next in ``stream``."""
        return self._marks.expected(str(stream))

    @property
    def holes(self) -> dict[str, tuple[int, int]]:
        """Stream to the numbers missing before what could not be taken."""
        return {stream: hole for stream, hole in self._held.items() if self._marks.expected(stream) < hole[1]}

    def readings(self, machine: str, channel: str | None = None, kind: str = "signals") -> list[tuple[int, Any, int]]:
        """(source time, value, status) in the order of numbers."""
        return [
            (time_ns, value, status)
            for frame in self.frames
            if frame.machine == machine and frame.stream.kind == kind
            for _, name, time_ns, value, status, _ in readings(frame)
            if channel in (None, name)
        ]

    def of(self, kind: type[Any], machine: str | None = None) -> list[Any]:
        """Events of a type."""
        return [event for event in self.events if isinstance(event, kind) and machine in (None, event.machine)]

    def epochs(self, machine: str) -> set[int]:
        """Epochs in which something of ``machine`` is on record, values and events."""
        return {item.stream.epoch for item in (*self.frames, *self.events) if item.machine == machine}

    def _take(self, event: Any) -> None:
        stream = str(event.stream)
        first, count = (event.first, event.count) if isinstance(event, Frame) else (event.number, 1)
        mark = event.gap_before
        verdict = judge(self._marks.expected(stream), first, count, mark.begin if mark is not None else None)
        if isinstance(verdict, Repeat):
            self.repeats += 1
            return
        if isinstance(verdict, Hole):
            self._held[stream] = (verdict.begin, verdict.end)
            return
        self._marks.move(stream, verdict.next_number)
        if isinstance(event, Frame):
            if event.count and self._keep:
                self.frames.append(cut(event, verdict.skip) if verdict.skip else event)
        else:
            self.events.append(event)
