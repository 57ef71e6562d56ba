"""Monitored items: within the server's limits, one call after the other; refusals in words; what the queues cover."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from shinkei_events.errors import BadConfig, NotConnected
from shinkei_events.settings import strict
from shinkei_gateway.opcua.monitored import NO_NAMESPACE, Monitored, covered
from shinkei_gateway.opcua.plan import Item, plan
from shinkei_gateway.opcua.remembered import Revised
from shinkei_gateway.opcua.settings import OpcuaSource, check_opcua

SETTINGS: dict[str, Any] = {
    "type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "machine": "M1", "security": "none", "sampling": "100ms", "outage": "30s",
    "deadband": "2%", "discard": "newest",
}  # fmt: skip


def items(*nodes: str, **more: Any) -> list[Item]:
    signals = [{"node": node, "name": f"n{at}"} | more for at, node in enumerate(nodes)]
    return plan(strict(SETTINGS | {"signals": signals}, OpcuaSource, "x"))


class Server:
    """Takes ``limit`` items a call and one call at a time; refuses what ``refuse`` says."""

    def __init__(self, limit: int, refuse: dict[str, int] | None = None, *, filters: bool = True) -> None:
        self.limits = {"items": limit}
        self._filters = filters
        self._refuse = refuse or {}
        self._busy = False
        self.calls: list[int] = []
        self.wishes: list[ua.MonitoredItemCreateRequest] = []

    def resolve(self, node: str) -> ua.NodeId:
        if node.startswith("nsu=urn:elsewhere"):
            raise KeyError(node)
        return ua.NodeId.from_string(node)

    async def call(self, request: Any, _response: Any) -> Any:
        assert not self._busy, "an S7-1500 counts its limit over all calls that are outstanding"
        self._busy = True
        await asyncio.sleep(0)
        wishes = request.Parameters.ItemsToCreate
        self.calls.append(len(wishes))
        self.wishes += wishes
        response = ua.CreateMonitoredItemsResponse()
        for wish in wishes:
            status = self._refuse.get(wish.ItemToMonitor.NodeId.to_string(), 0)
            if wish.RequestedParameters.Filter is not None and not self._filters:
                status = ua.StatusCodes.BadMonitoredItemFilterUnsupported
            response.Results.append(ua.MonitoredItemCreateResult(
                ua.StatusCode(ua.UInt32(status)), ua.UInt32(1), wish.RequestedParameters.SamplingInterval * 2,
                ua.UInt32(wish.RequestedParameters.QueueSize // 3),
            ))  # fmt: skip
        self._busy = False
        return response


def watch(server: Server, watched: list[Item]) -> tuple[Monitored, list[int]]:
    monitored = Monitored(watched)
    return monitored, asyncio.run(monitored.watch(server, 1, range(len(watched))))  # type: ignore[arg-type]


def test_calls_keep_within_the_servers_limit_and_come_one_after_the_other() -> None:
    server = Server(3)
    monitored, watched = watch(server, items(*(f"ns=1;i={at}" for at in range(7))))
    assert server.calls == [3, 3, 1]
    assert watched == list(monitored.revised) == list(range(7))


def test_wishes_are_the_nodes_own_then_the_sources() -> None:
    server = Server(10)
    watch(server, items("i=1") + items("i=2", deadband=0.5, trigger="status_value", discard="oldest", sampling="1s"))
    first, second = (wish.RequestedParameters for wish in server.wishes)
    assert (first.SamplingInterval, first.QueueSize, first.DiscardOldest) == (100, 300, False)
    assert (first.Filter.Trigger, first.Filter.DeadbandType, first.Filter.DeadbandValue) == (2, 2, 2.0)
    assert (second.SamplingInterval, second.QueueSize, second.DiscardOldest) == (1000, 30, True)
    assert (second.Filter.Trigger, second.Filter.DeadbandType, second.Filter.DeadbandValue) == (1, 1, 0.5)


def test_refusals_say_what_to_do_and_cost_nobody_else() -> None:
    server = Server(10, {"i=2": ua.StatusCodes.BadDeadbandFilterInvalid, "i=3": ua.StatusCodes.BadNodeIdUnknown})
    monitored, watched = watch(server, items("i=1", "i=2", "i=3", "nsu=urn:elsewhere;i=4"))
    assert watched == [0]
    assert "EURange" in monitored.refused[1]
    assert monitored.refused[2] == "BadNodeIdUnknown"
    assert monitored.refused[3] == NO_NAMESPACE


def test_a_server_without_filters_is_asked_without_a_trigger_but_never_without_a_deadband() -> None:
    server = Server(2, {"i=5": ua.StatusCodes.BadNodeIdUnknown}, filters=False)
    wanted = items("i=1", "i=3", "i=5", deadband=0) + items("i=2", deadband=0.5)
    wanted += items("i=4", trigger="status_value", deadband=0)
    monitored, watched = watch(server, wanted)
    assert sorted(watched) == sorted(monitored.revised) == [0, 1, 4]
    assert (set(monitored.refused), monitored.refused[2]) == ({2, 3}, "BadNodeIdUnknown")
    assert "knows no deadband" in monitored.refused[3]
    assert monitored.without_trigger() == monitored.health(30)["without_trigger"] == 2, (
        "status_value is what is told anyhow"
    )
    assert server.calls == [2, 2, 1, 2, 2], "within the limit"
    assert [wish.RequestedParameters.ClientHandle for wish in server.wishes[5:]] == [0, 1, 2, 4]


def test_what_the_queues_cover_is_worked_out_from_what_the_server_made_of_it() -> None:
    monitored, _ = watch(Server(10), items("i=1", "i=2"))
    assert monitored.revised[0] == Revised(1, 0.2, 100)
    assert monitored.covers() == pytest.approx(20)
    assert monitored.short_of(30) == pytest.approx({"i=1": 20.0, "i=2": 20.0})
    assert monitored.short_of(10) == {}
    assert Monitored([]).covers() == math.inf
    assert covered(Revised(1, 0.0, 500)) == pytest.approx(0.5)


@pytest.mark.parametrize("deadband", ["2", "150%", -1.0, "wide%"])
def test_a_deadband_that_is_none_is_named(deadband: Any) -> None:
    source = strict(SETTINGS | {"signals": [{"node": "i=1", "name": "a", "deadband": deadband}]}, OpcuaSource, "x")
    with pytest.raises(BadConfig, match=r"signals\[0\]\.deadband"):
        check_opcua(source, "gateway.sources.m")


@pytest.mark.parametrize(("code", "lives"), [(0x8045_0000, True), (None, False)])
def test_a_server_without_events_still_has_values(code: int | None, lives: bool) -> None:
    """It may refuse the whole call (BadFilterNotAllowed); a connection that broke is another thing."""

    class Eventless(Server):
        async def call(self, request: Any, _response: Any) -> Any:
            failure: Any = UaStatusCodeError
            raise NotConnected("no") from (failure(code) if code is not None else ConnectionError())

    watched: Any = Monitored([]).watch_model
    if lives:
        assert not asyncio.run(watched(Eventless(1), 1))
        return
    with pytest.raises(NotConnected):
        asyncio.run(watched(Eventless(1), 1))
