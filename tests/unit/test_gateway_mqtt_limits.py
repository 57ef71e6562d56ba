"""What our own MQTT client obeys of what a broker says of itself, and which packet identifiers it uses: byte by byte."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shinkei_events.errors import NotConnected
from shinkei_gateway.mqtt import wire
from shinkei_gateway.mqtt.connection import Dial, Message
from shinkei_gateway.mqtt.memory import Memory
from shinkei_gateway.mqtt.own import OwnConnection
from shinkei_gateway.mqtt.packet_ids import MOST, PacketIds
from tests.support.mqtt_scribe import Scribe
from tests.support.waiting import eventually_async

T = 1_700_000_000_000_000_000
DEADLINE_S = 30.0


@asynccontextmanager
async def talking(connack: bytes = b"", **more: Any) -> AsyncIterator[tuple[OwnConnection, Scribe]]:
    scribe = Scribe(True, connack)
    made = OwnConnection(Dial("127.0.0.1", await scribe.start(), "gw", "5", **{"timeout": 20.0} | more), time.time_ns)
    try:
        await made.connect()
        yield made, scribe
    finally:
        await made.close()
        await scribe.stop()


def test_the_broker_s_keep_alive_counts_and_not_ours() -> None:
    async def test() -> None:
        async with talking(b"\x13\x00\x01", keepalive=3_600.0) as (made, scribe):  # Server Keep Alive: 1 s
            assert made.limits.keepalive == 1
            await eventually_async(lambda: len(scribe.of(wire.PINGREQ)) >= 2, DEADLINE_S)

    asyncio.run(test())


def test_a_client_identifier_from_the_broker_does_no_harm_ours_is_never_empty() -> None:
    async def test() -> None:
        async with talking(b"\x12\x00\x03xyz") as (made, scribe):  # Assigned Client Identifier
            await made.publish("t", b"1")
            assert scribe.of(wire.CONNECT)[0].body.endswith(b"\0\2gw")

    asyncio.run(test())


def test_the_broker_s_receive_maximum_bounds_what_is_under_way_and_the_rest_waits() -> None:
    async def test() -> None:
        async with talking(b"\x21\x00\x03") as (made, scribe):
            scribe.is_confirming = False
            sending = [asyncio.create_task(made.publish("t", b"%d" % number)) for number in range(10)]
            await made.subscribe(["a"], 1)  # is not held up: only PUBLISH counts (4.9)
            for done in range(10):
                await eventually_async(lambda done=done: len(scribe.published()) >= min(done + 3, 10), DEADLINE_S)
                assert len(scribe.published()) == min(done + 3, 10)
                scribe.confirm(scribe.mid(scribe.of(wire.PUBLISH)[done]))
            await asyncio.gather(*sending)
            assert [one.payload for one in scribe.published()] == [b"%d" % number for number in range(10)]

    asyncio.run(test())


def test_who_waits_for_room_is_told_when_the_connection_is_lost() -> None:
    async def test() -> None:
        async with talking(b"\x21\x00\x01") as (made, scribe):
            scribe.is_confirming = False
            sending = [asyncio.create_task(made.publish("t", b"1")) for _ in range(5)]
            await eventually_async(lambda: bool(scribe.published()), DEADLINE_S)
            scribe.drop()
            found = await asyncio.wait_for(asyncio.gather(*sending, return_exceptions=True), DEADLINE_S)
            assert [type(one) for one in found] == [NotConnected] * 5
            assert len(scribe.published()) == 1

    asyncio.run(test())


def test_nothing_goes_out_that_the_broker_does_not_take() -> None:
    async def test() -> None:
        # Maximum QoS 0, Retain Available 0, Maximum Packet Size 40, Topic Alias Maximum 0
        async with talking(b"\x24\x00\x25\x00\x27\x00\x00\x00\x28\x22\x00\x00") as (made, scribe):
            for payload, qos, retain, words in (
                (b"1", 1, False, "t: QoS 1 is more than the broker takes"),
                (b"1", 0, True, "t: the broker keeps no retained messages"),
                (bytes(36), 0, False, "t: 42 bytes are more than the broker takes in one packet"),
            ):
                with pytest.raises(NotConnected, match=words):
                    await made.publish("t", payload, qos, retain=retain)
            await made.publish("t", bytes(34), 0)
            names = [f"plant/line/{number}" for number in range(9)]
            await made.subscribe(names, 0)
            await made.unsubscribe(names)
            await eventually_async(lambda: len(scribe.of(wire.PUBLISH)) == 1, DEADLINE_S)
            asked = scribe.of(wire.SUBSCRIBE)
            assert [name for packet in asked for name, _ in scribe.filters(packet)] == names
            assert max(len(packet.body) + 2 for packet in [*asked, *scribe.of(wire.UNSUBSCRIBE)]) <= 40
            assert len(asked) == 5

    asyncio.run(test())


def test_a_confirmation_that_comes_too_late_is_not_that_of_the_next_message() -> None:
    async def test() -> None:
        async with talking(timeout=2.0) as (made, scribe):
            scribe.is_confirming = False
            with pytest.raises(NotConnected, match="no answer to publish"):
                await made.publish("t", b"1")
            next_one = asyncio.create_task(made.publish("t", b"2"))
            await eventually_async(lambda: len(scribe.published()) == 2, DEADLINE_S)
            first, second = (scribe.mid(packet) for packet in scribe.of(wire.PUBLISH))
            assert first != second
            scribe.confirm(first)
            scribe.say("t", b"behind it")
            assert await made.take(1, DEADLINE_S)
            assert not next_one.done() or next_one.exception() is not None  # the latter on a machine that is very slow
            next_one.cancel()

    asyncio.run(test())


def test_what_comes_is_acknowledged_by_its_number_also_where_the_numbers_begin_anew() -> None:
    async def test() -> None:
        mids = [65_534, 65_535, 1, 2]
        async with talking() as (made, scribe):
            for mid in mids:
                scribe.say("t", b"%d" % mid, 1, mid)
            found: list[Message] = []
            while len(found) < 4 and not made.lost.done():
                found += await made.take(10, DEADLINE_S)
            assert [message.mid for message in found] == mids
            made.acknowledge(found)
            await eventually_async(lambda: len(scribe.of(wire.PUBACK)) == 4, DEADLINE_S)
            assert [int.from_bytes(packet.body, "big") for packet in scribe.of(wire.PUBACK)] == mids

    asyncio.run(test())


def test_no_packet_identifier_is_given_twice_however_often_the_numbers_begin_anew(rng: random.Random) -> None:
    ids = PacketIds()
    used = {ids.take() for _ in range(100)}
    for _ in range(12):
        count = rng.randrange(1, 30_000)
        given = {ids.take() for _ in range(count)}
        assert len(given) == count
        assert not given & used
        assert 1 <= min(given) <= max(given) <= MOST
        used |= given
        for mid in rng.sample(sorted(used), max(len(used) // 2, len(used) - 30_000)):
            used.discard(mid)
            ids.free(mid)


def test_packet_identifiers_begin_anew_behind_those_in_use_and_end_when_all_are() -> None:
    ids = PacketIds()
    stuck = [ids.take() for _ in range(3_000)]
    for _ in range(MOST - 3_000):
        ids.free(ids.take())
    assert ids.take() == stuck[-1] + 1
    ids = PacketIds()
    for _ in range(MOST):
        ids.take()
    with pytest.raises(NotConnected, match="65535 packets"):
        ids.take()
    ids.free(777)
    assert ids.take() == 777


@pytest.mark.parametrize("qos", [1, 2])
def test_a_broker_s_packet_identifiers_that_begin_anew_make_no_message_a_repeat(qos: int) -> None:
    """The same bytes under the same number, another round later, is another message; one that the broker says again is not."""
    memory = Memory(2_000)
    memory.begins(is_present=True)
    verdicts = set()
    for number in range(MOST + 3_000):
        message = Message("t", b"on", qos, number % MOST + 1, False, T)
        verdicts.add(memory.judge(message))
        memory.released([message.mid] if qos == 2 else [])
    assert verdicts == {"new"}
    assert len(memory.state()["window"]) == 2_000 * 8
    assert memory.state()["unreleased"] == {}
    # Said to be there again: of QoS 1 the same one; of QoS 2 it cannot be that one, for its number was released, nor is it known to be new.
    assert memory.judge(message._replace(is_again=True)) == ("same" if qos == 1 else "unsure")
    memory.judge(message._replace(mid=7, payload=b"off"))
    assert memory.judge(message._replace(mid=7, payload=b"off", is_again=True)) == "same"
