"""Fills a gap from the server's own history (HistoryRead, Part 11): into the machine's history stream, pointing at the gap. Optional.

One small call at a time with a pause after each, so that live values come first. Which gaps are open and how far each channel is lies in
the spool with the values read: after a crash it goes on there. A server that says "not now" is asked again, ever more rarely, while others
have their turn. What is not filled in the end is told once; the gap stays as it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

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
JOBS_MAX = 1000
"""Gaps that wait; of more, the newest are kept."""
BUSY_S, BUSY_MOST_S = 1.0, 60.0
"""Pause after the first "not now", and the longest: each in a row is twice as long as the one before."""
BUSY_TRIES = 10
"""So often is one channel of a gap put off."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BAD, _POINT_INVALID = 0x8000_0000, 0x804A_0000
_PASSING = frozenset({
    0x8003_0000, 0x8004_0000, 0x8005_0000, 0x800A_0000, 0x800C_0000, 0x800E_0000, 0x8010_0000, 0x8031_0000, 0x8032_0000, 0x804B_0000,
    0x807D_0000, 0x8085_0000, 0x80EE_0000,
})  # fmt: skip
"""BadOutOfMemory, ResourceUnavailable, CommunicationError, Timeout, Shutdown, ServerHalted, TooManyOperations, NoCommunication,
WaitingForInitialData, NoContinuationPoints, TcpServerTooBusy, RequestTimeout, ServerTooBusy: what is there a while later (Part 4 §7.38)."""
_NEVER = frozenset({0x800B_0000, 0x801F_0000, 0x803D_0000, 0x8040_0000, 0x8071_0000, 0x8072_0000})
"""Of a whole call: BadServiceUnsupported, UserAccessDenied, NotSupported, NotImplemented, HistoryOperationInvalid and -Unsupported."""
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
        self._tries: Counter[tuple[str, int, int, str]] = Counter()
        self._busy_s = BUSY_S
        self.values = self.unfilled = 0

    @property
    def open(self) -> int:
        """Gaps that are not read to their end."""
        return len(self._jobs)

    def add(self, missing: list[Missing]) -> None:
        """Gaps that were told just now (their records are before this in the spool)."""
        if not missing or not self._is_wanted:
            return
        self._jobs += [Missing(one.gap, {c: s for c, s in one.spans.items() if c in self._nodes}) for one in missing]
        for job in self._jobs[:-JOBS_MAX]:
            span = f"{_moment(job.gap.t_from):%Y-%m-%dT%H:%M:%SZ} to {_moment(job.gap.t_to):%Y-%m-%dT%H:%M:%SZ}"
            self._left(f"{len(job.spans)} signals from {span}", f"more than {JOBS_MAX} gaps wait", len(job.spans))
        del self._jobs[:-JOBS_MAX]
        self._taker.put(Batch(self._name, [], self._state()))
        self._wake.set()

    def health(self) -> dict[str, int]:
        """For /health: gaps that are not read to their end, values read, signals of gaps that were not filled."""
        return {"backfill": self.open, "backfilled": self.values, "unfilled": self.unfilled}

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
                    self._give_up(job, channel, f"{type(error).__name__}: {error}")
                await asyncio.sleep(AFTER_SURPRISE_S)

    async def _run(self, session: Session) -> None:
        while True:
            while self._jobs:
                job = self._jobs[0]
                for channel in sorted(job.spans):
                    self._reading = (job, channel)
                    await self._channel(session, job, channel)
                self._reading = None
                others = [other for other in self._jobs if other is not job]
                is_dropped = len(others) == len(self._jobs)  # there were too many, and that was told
                if job.spans and not is_dropped:  # the server said "not now" to these
                    self._jobs = [*others, job]
                    continue
                self._jobs = others
                await self._taker.put(Batch(self._name, [], self._state()))
            self._wake.clear()
            await self._wake.wait()

    async def _channel(self, session: Session, job: Missing, channel: str) -> None:
        try:
            node = session.resolve(self._nodes[channel])
        except KeyError:
            self._give_up(job, channel, "the server has no such namespace")
            return
        point: bytes | None = None
        begin = 0
        while channel in job.spans:
            await wait_room(self._taker)
            since, until = job.spans[channel]
            # A continuation point goes with the request that it came from (Part 11 §6.4.2): some servers count on from its start.
            begin = since if point is None else begin
            found = await _asked(session, node, begin, until, point)
            if point is not None and found.StatusCode.value & 0xFFFF_0000 == _POINT_INVALID:
                point = None  # a server keeps few points, and not for long: from the last value that was read
                continue
            if found.StatusCode.value >= _BAD:
                await self._refused(job, channel, found.StatusCode)
                return
            self._busy_s = BUSY_S
            self._tries.pop(_key(job, channel), None)
            samples = [sample_of(data) for data in getattr(found.HistoryData, "DataValues", None) or []]
            point = found.ContinuationPoint or None
            more = point is not None or len(samples) >= PAGE
            await self._put(job, channel, samples, more, is_by_time=point is None)
            await asyncio.sleep(PAUSE_S)

    async def _refused(self, job: Missing, channel: str, status: ua.StatusCode) -> None:
        key = _key(job, channel)
        self._tries[key] += 1
        tries = self._tries[key]
        if status.value & 0xFFFF_0000 in _PASSING and tries < BUSY_TRIES:
            pause, self._busy_s = self._busy_s, min(2 * self._busy_s, BUSY_MOST_S)
            await asyncio.sleep(pause)
        else:
            self._give_up(job, channel, str(status.name) + (f", {tries} times" if tries > 1 else ""))

    def _give_up(self, job: Missing, channel: str, why: str) -> None:
        self._tries.pop(_key(job, channel), None)
        if job.spans.pop(channel, None) is not None:
            self._left(self._nodes.get(channel, channel), why, 1)

    def _left(self, what: str, why: str, signals: int) -> None:
        self.unfilled += signals
        emit(HistoryNotThere(self._source, what, why))

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


def _key(job: Missing, channel: str) -> tuple[str, int, int, str]:
    return *job.gap[:3], channel


async def _asked(
    session: Session, node: ua.NodeId, begin: int, until: int, point: bytes | None
) -> ua.HistoryReadResult:
    """The server's answer about the node, also where it refuses the whole call for a reason that is about history or passes."""
    try:
        return await session.history(node, _moment(begin), _moment(until), PAGE, point)
    except NotConnected as error:
        cause = error.__cause__
        if isinstance(cause, UaStatusCodeError) and cause.code & 0xFFFF_0000 in _PASSING | _NEVER:
            return ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.UInt32(cause.code)))
        raise


def is_inside(time: int, since: int, until: int) -> bool:
    """Whether a value belongs to the gap and not to its ends, which are known. Servers keep history by the microsecond or finer."""
    return since // 1000 < time // 1000 < until // 1000


def _job(raw: list[Any]) -> Missing:
    cause, t_from, t_to, channels, spans = raw
    return Missing(Filled(cause, t_from, t_to, list(channels)), {c: (s[0], s[1]) for c, s in spans.items()})


def _moment(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time // 1000)
