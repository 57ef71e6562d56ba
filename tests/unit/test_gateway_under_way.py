"""Limits that a server counts over all calls under way: several users of one session stay within them, in the order they came."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary

from shinkei_gateway.opcua import asking
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.opcua.under_way import UnderWay


class CountingServer:
    """In the place of the library's connection: answers every read after a moment, and counts what is asked for at the same time."""

    def __init__(self) -> None:
        self.nodes = self.most = self.calls = 0

    async def send_request(self, request: Any, *_: Any) -> Buffer:
        n = len(request.Parameters.NodesToRead)
        self.nodes, self.calls = self.nodes + n, self.calls + 1
        self.most = max(self.most, self.nodes)
        await asyncio.sleep(0.002)
        self.nodes -= n
        response = ua.ReadResponse()
        response.Results = [ua.DataValue(ua.Variant(1.0)) for _ in range(n)]
        return Buffer(struct_to_binary(response))


async def shared(limit: int | None) -> CountingServer:
    session, server = Session("opc.tcp://127.0.0.1:9", "t", 4.0), CountingServer()
    session._client.uaclient.protocol = server  # type: ignore[assignment]
    if limit is not None:
        session.limits["reads"] = session._under_way.most["reads"] = limit
    nodes = [ua.NodeId(n, 0) for n in range(300)]  # type: ignore[arg-type]
    described, again, read = await asyncio.gather(
        asking.read(session, Structures([]), [(f"i={n}", 14) for n in range(300)]),
        session.samples(nodes),
        session.samples(nodes[:3]),
    )
    assert (len(described), len(again), len(read)) == (300, 300, 3)
    return server


def test_users_of_a_session_stay_within_the_servers_limit_together() -> None:
    server = asyncio.run(shared(100))
    assert server.most <= 100
    assert server.nodes == 0


def test_a_server_that_says_no_limit_is_asked_at_the_same_time() -> None:
    assert asyncio.run(shared(None)).most > 300


def test_a_big_call_has_its_turn_and_one_that_gives_up_leaves_its_place() -> None:
    async def run() -> list[str]:
        under_way, done = UnderWay(), []
        under_way.most["reads"] = 10

        async def call(name: str, nodes: int, wait: asyncio.Event) -> None:
            async with under_way.call("reads", nodes):
                done.append(name)
                await wait.wait()

        go = asyncio.Event()
        first = asyncio.create_task(call("first", 5, go))
        await asyncio.sleep(0)
        given_up = asyncio.create_task(call("given up", 6, go))
        big = asyncio.create_task(call("larger than the limit", 50, go))
        small = asyncio.create_task(call("small", 1, go))
        for _ in range(5):
            await asyncio.sleep(0)
        assert done == ["first"]
        given_up.cancel()
        go.set()
        await asyncio.gather(first, big, small)
        with pytest.raises(asyncio.CancelledError):
            await given_up
        async with under_way.call("reads", 10):
            return done

    assert asyncio.run(run()) == ["first", "larger than the limit", "small"]


def test_a_call_that_is_given_up_before_its_turn_is_never_made() -> None:
    async def run() -> int:
        session, server = Session("opc.tcp://127.0.0.1:9", "t", 4.0), CountingServer()
        session._client.uaclient.protocol = server  # type: ignore[assignment]
        session._under_way.most["reads"] = 1
        one = [ua.NodeId(1, 0)]  # type: ignore[arg-type]
        first, second = (asyncio.create_task(session.samples(one)) for _ in range(2))
        await asyncio.sleep(0.001)
        second.cancel()
        await first
        return server.calls

    assert asyncio.run(run()) == 1
