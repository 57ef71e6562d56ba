"""Pages of a server's history: continuation points that go with the request they came from, and such as are forgotten early."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from shinkei_events.errors import NotConnected
from shinkei_events.settings import strict
from shinkei_gateway.offered import Filled
from shinkei_gateway.opcua import history
from shinkei_gateway.opcua.history import Backfill
from shinkei_gateway.opcua.missing import Missing
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.settings import OpcuaSource
from tests.support.counting_machine import settings
from tests.support.fake_intake import FakeIntake
from tests.support.waiting import eventually_async

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEP_NS = 1_000_000
INVALID = 0x804A_0000
BUSY = 0x8010_0000


class Kept:
    """A server's history of one node, a value a millisecond from 0 on. A point is an offset from the request's own start, as open62541 has it.

    ``forgets``: every so many calls it does not know a point any more.
    """

    busy = 0
    """So many calls are answered with "not now" first, in turn by the answer and by a fault."""
    never: frozenset[str] = frozenset()
    """Nodes that it always is too busy for."""

    def __init__(self, many: int, page: int, forgets: int = 0) -> None:
        self._many, self._page, self._forgets = many, page, forgets
        self._calls = 0

    def resolve(self, node: str) -> str:
        return node

    async def history(self, node: Any, begin: datetime, end: datetime, _most: int, point: bytes | None) -> Any:
        self._calls += 1
        if self._calls <= self.busy or node in self.never:
            if self._calls % 2:
                raise NotConnected("busy") from UaStatusCodeError(BUSY)  # type: ignore[no-untyped-call]  # the library's own
            return ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.UInt32(BUSY)))
        if point is not None and self._forgets and self._calls % self._forgets == 0:
            return SimpleNamespace(
                StatusCode=ua.StatusCode(ua.UInt32(INVALID)), HistoryData=None, ContinuationPoint=None
            )
        first = int((begin - EPOCH) / timedelta(milliseconds=1)) + int(point or b"0")
        last = min(self._many, int((end - EPOCH) / timedelta(milliseconds=1)) + 1)
        stop = min(last, first + self._page)
        values = [ua.DataValue(ua.Variant(at, ua.VariantType.Int64), SourceTimestamp=EPOCH + timedelta(milliseconds=at)) for at in range(first, stop)]  # fmt: skip
        more = str(int(point or b"0") + len(values)).encode() if stop < last else None
        return SimpleNamespace(
            StatusCode=ua.StatusCode(), HistoryData=SimpleNamespace(DataValues=values), ContinuationPoint=more
        )


@pytest.mark.parametrize("forgets", [0, 3])
def test_every_page_follows_the_one_before(monkeypatch: pytest.MonkeyPatch, forgets: int) -> None:
    monkeypatch.setattr(history, "PAUSE_S", 0.0)

    async def test() -> None:
        source, intake = strict(settings("opc.tcp://plc:4840", backfill=True), OpcuaSource, "x"), FakeIntake()
        backfill = Backfill("src", source, plan(source), intake, lambda: 0)
        until = 100 * STEP_NS
        backfill.add([Missing(Filled("overflow", 0, until, ["t1"]), {"t1": (0, until)})])
        session: Any = Kept(500, 7, forgets)
        task = asyncio.create_task(backfill.run(session))
        await eventually_async(lambda: backfill.open == 0)
        task.cancel()
        assert [reading.value for reading in intake.readings("t1")] == list(range(1, 100))

    asyncio.run(test())


def test_a_server_that_is_too_busy_now_is_asked_again_and_its_neighbours_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history, "PAUSE_S", 0.0)
    monkeypatch.setattr(history, "BUSY_S", 0.001)
    monkeypatch.setattr(history, "BUSY_MOST_S", 0.004)

    async def test() -> None:
        source, intake = strict(settings("opc.tcp://plc:4840", backfill=True), OpcuaSource, "x"), FakeIntake()
        backfill = Backfill("src", source, plan(source), intake, lambda: 0)
        span = (0, 100 * STEP_NS)
        backfill.add([Missing(Filled("overflow", *span, ["t1", "t2"]), {"t1": span, "t2": span})])
        session: Any = Kept(500, 7)
        session.busy = 4
        session.never = frozenset(signal.node for signal in source.signals if signal.name == "t2")
        task = asyncio.create_task(backfill.run(session))
        await eventually_async(lambda: backfill.open == 0)
        task.cancel()
        assert [reading.value for reading in intake.readings("t1")] == list(range(1, 100))
        assert backfill.health()["unfilled"] == 1

    asyncio.run(test())
    (told,) = [record.getMessage() for record in caplog.records if "no history" in record.getMessage()]
    assert "BadTooManyOperations, 10 times" in told


def test_gaps_beyond_those_that_may_wait_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        source, intake = strict(settings("opc.tcp://plc:4840", backfill=True), OpcuaSource, "x"), FakeIntake()
        backfill = Backfill("src", source, plan(source), intake, lambda: 0)
        for n in range(history.JOBS_MAX + 1):
            span = (n * 10**9, (n + 1) * 10**9)
            backfill.add([Missing(Filled("overflow", *span, ["t1"]), {"t1": span})])
        assert backfill.health() == {"backfill": history.JOBS_MAX, "backfilled": 0, "unfilled": 1}

    asyncio.run(test())
    (told,) = [record.getMessage() for record in caplog.records if "no history" in record.getMessage()]
    assert "1 signals from 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z: more than 1000 gaps wait" in told
