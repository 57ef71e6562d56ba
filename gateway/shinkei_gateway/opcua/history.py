"""Fills a gap from the server's own history (HistoryRead, Part 11): into the machine's history stream, pointing at the gap. Optional.

One small call at a time with a pause after each, so that live values come first. Which gaps are open and how far each channel is lies in
the spool with the values read: after a crash it goes on there. What a server does not keep is told once; the gap stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from shinkei_events.errors import NotConnected
from shinkei_events.telemetry import emit
from shinkei_gateway.offered import Batch, Draft, Filled, Reading
from shinkei_gateway.opcua.missing import Missing
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.sample import Sample, sample_of
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.taking import Taker, wait_room
from shinkei_gateway.telemetry import HistoryNotThere, SourceCrashed

PAGE = 500
PAUSE_S = 0.05
AFTER_SURPRISE_S = 1.0
JOBS_MAX = 100
"""Gaps that wait; of more, the newest are kept."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BAD, _POINT_INVALID = 0x8000_0000, 0x804A_0000
_Span = tuple[int, int]


class Backfill:
    """Of the source ``name``. ``values``: read so far."""

    def __init__(
        self, name: str, settings: OpcuaSource, items: list[Item], taker: Taker, clock: Callable[[], int]
    ) -> None:
        self._source, self._machine, self._is_wanted = name, settings.machine, settings.backfill
        self._nodes = {item.channel: item.node for item in items if item.role == "signal"}
        self._taker, self._clock = taker, clock
        self._name = f"{name}.history"
        known = taker.resume(self._name) or {}
        self._jobs = [_job(raw) for raw in known.get("jobs", [])]
        self._wake = asyncio.Event()
        self._reading: tuple[Missing, str] | None = None
        self.values = 0

    @property
    def open(self) -> int:
        """Gaps that are not read to their end."""
        return len(self._jobs)

    def add(self, missing: list[Missing]) -> None:
        """Gaps that were told just now (their records are before this in the spool)."""
        if not missing or not self._is_wanted:
            return
        self._jobs += [Missing(one.gap, {c: s for c, s in one.spans.items() if c in self._nodes}) for one in missing]
        del self._jobs[:-JOBS_MAX]
        self._taker.put(Batch(self._name, [], self._state()))
        self._wake.set()

    def health(self) -> dict[str, int]:
        """For /health: gaps that are not read to their end, values read."""
        return {"backfill": self.open, "backfilled": self.values}

    async def run(self, session: Session) -> None:
        """Read what is open, for as long as this connection lasts. After a surprise it goes on with the next channel."""
        while True:
            try:
                await self._run(session)
            except NotConnected:
                return  # the next connection goes on
            except Exception as error:  # noqa: BLE001  outermost of its task: live values go on beside it
                emit(SourceCrashed(self._source, f"backfill: {type(error).__name__}: {error}"))
                if self._reading is not None:  # asked again it would only bring the same, and hold up what is behind it
                    job, channel = self._reading
                    job.spans.pop(channel, None)
                await asyncio.sleep(AFTER_SURPRISE_S)

    async def _run(self, session: Session) -> None:
        while True:
            while self._jobs:
                job = self._jobs[0]
                for channel in sorted(job.spans):
                    self._reading = (job, channel)
                    await self._channel(session, job, channel)
                self._reading = None
                self._jobs = [other for other in self._jobs if other is not job]
                await self._taker.put(Batch(self._name, [], self._state()))
            self._wake.clear()
            await self._wake.wait()

    async def _channel(self, session: Session, job: Missing, channel: str) -> None:
        try:
            node = session.resolve(self._nodes[channel])
        except KeyError:
            job.spans.pop(channel)
            return
        point: bytes | None = None
        begin = 0
        while channel in job.spans:
            await wait_room(self._taker)
            since, until = job.spans[channel]
            # A continuation point goes with the request that it came from (Part 11 §6.4.2): some servers count on from its start.
            begin = since if point is None else begin
            found = await session.history(node, _moment(begin), _moment(until), PAGE, point)
            if point is not None and found.StatusCode.value & 0xFFFF_0000 == _POINT_INVALID:
                point = None  # a server keeps few points, and not for long: from the last value that was read
                continue
            if found.StatusCode.value >= _BAD:
                emit(HistoryNotThere(self._source, self._nodes[channel], found.StatusCode.name))
                job.spans.pop(channel)
                return
            samples = [sample_of(data) for data in getattr(found.HistoryData, "DataValues", None) or []]
            point = found.ContinuationPoint or None
            more = point is not None or len(samples) >= PAGE
            await self._put(job, channel, samples, more, is_by_time=point is None)
            await asyncio.sleep(PAUSE_S)

    async def _put(self, job: Missing, channel: str, samples: list[Sample], more: bool, is_by_time: bool) -> None:
        since, until = job.spans[channel]
        inside = [s for s in samples if s.source_time is not None and is_inside(s.source_time, since, until)]
        times = [s.source_time for s in inside if s.source_time is not None]
        if more and is_by_time and times and times[-1] > times[0]:
            # The next call begins at the last time of this one, which may have more values than came.
            inside = [s for s in inside if s.source_time != times[-1]]
            times = times[: len(inside)]
        if more and (times or not is_by_time):
            job.spans[channel] = (max([since, *times]), until)
        else:
            job.spans.pop(channel)
        received = self._clock()
        items: list[Reading | Draft] = [
            Reading(self._machine, channel, s.source_time or 0, s.value, s.status, received, s.server_time)
            for s in inside
            if s.error is None
        ]
        self.values += len(items)
        await self._taker.put(Batch(self._name, items, self._state(), history=True, fills=job.gap))

    def _state(self) -> dict[str, Any]:
        return {"jobs": [[*job.gap, {c: list(s) for c, s in job.spans.items()}] for job in self._jobs]}


def is_inside(time: int, since: int, until: int) -> bool:
    """Whether a value belongs to the gap and not to its ends, which are known. Servers keep history by the microsecond or finer."""
    return since // 1000 < time // 1000 < until // 1000


def _job(raw: list[Any]) -> Missing:
    cause, t_from, t_to, channels, spans = raw
    return Missing(Filled(cause, t_from, t_to, list(channels)), {c: (s[0], s[1]) for c, s in spans.items()})


def _moment(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time // 1000)
