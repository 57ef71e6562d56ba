"""What a host puts on the wire, packet by packet, against the specification's assertions: a broker that only writes down what it hears.

Of commands a host of ours sends rebirth requests alone: the assertions on other NCMD and on DCMD (`payloads-dcmd-*`, `topics-dcmd-*`,
`operational-behavior-data-commands-dcmd-*`, `-ncmd-metric-*`) have nothing here to hold for.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from shinkei_events.settings import strict
from shinkei_gateway.mqtt import wire
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.source import SparkplugHost
from shinkei_gateway.sparkplug.values import NUMBER
from tests.support.fake_intake import FakeIntake
from tests.support.mqtt_scribe import Scribe
from tests.support.waiting import eventually_async

STATE = "spBv1.0/STATE/shinkei"
MS = 1_000_000


class Heard(NamedTuple):
    """One life of a primary host: ``before`` and ``after`` in ms UTC; a node's data without a birth, a cut and an ending in it."""

    scribe: Scribe
    before: int
    cut: int
    after: int


def host(port: int, protocol: str) -> SparkplugHost:
    raw = {
        "type": "sparkplug", "url": f"mqtt://127.0.0.1:{port}", "client_id": "gw", "protocol": protocol, "retry": "100ms", "timeout": "20s",
        "role": "primary", "host_id": "shinkei", "group_ids": ["G"],
    }  # fmt: skip
    return SparkplugHost("src", strict(raw, SparkplugSource, "x"), FakeIntake(), Path())


async def life(protocol: str) -> Heard:
    scribe = Scribe(protocol == "5")
    port = await scribe.start()
    made, stop, before = host(port, protocol), asyncio.Event(), _now()
    task = asyncio.create_task(made.run(stop))
    await eventually_async(lambda: scribe.published(), 30)
    scribe.say("spBv1.0/G/NDATA/N", Payload(timestamp=_now(), seq=3).SerializeToString())
    await eventually_async(lambda: len(scribe.published()) >= 2, 30)
    scribe.say(STATE, b'{"online":false}')  # by whomever, and without a time
    await eventually_async(lambda: len(scribe.published()) >= 3, 30)
    await asyncio.sleep(0.01)
    cut = _now()
    scribe.drop()
    await eventually_async(lambda: scribe.connections == 2 and len(scribe.published()) >= 4, 30)
    stop.set()
    await asyncio.wait_for(task, 60)
    await scribe.stop()
    return Heard(scribe, before, cut, _now())


def _now() -> int:
    return time.time_ns() // MS


@pytest.fixture(scope="module", params=["3.1.1", "5"])
def heard(request: pytest.FixtureRequest) -> Heard:
    return asyncio.run(life(request.param))


def test_tck_id_message_flow_phid_sparkplug_clean_session(heard: Heard) -> None:
    for connect in heard.scribe.of(wire.CONNECT):
        assert connect.body[7] & 2
        assert not heard.scribe.is_5 or b"\x11\0\0\0\0" in connect.body[10:20]  # Session Expiry Interval 0


def test_tck_id_host_topic_phid_death_required_topic_qos_retain_payload(heard: Heard) -> None:
    """Also `operational-behavior-host-application-connect-will-*` and `payloads-state-will-message-*`."""
    for connect in heard.scribe.of(wire.CONNECT):
        will = heard.scribe.will(connect)
        assert connect.body[7] & 4
        assert (will.topic, will.qos, will.retain) == (STATE, 1, True)
        assert set(will.state) == {"online", "timestamp"}
        assert will.state["online"] is False


def test_tck_id_host_topic_phid_death_payload_timestamp_connect(heard: Heard) -> None:
    first, second = (heard.scribe.will(connect).state["timestamp"] for connect in heard.scribe.of(wire.CONNECT))
    assert heard.before <= first <= heard.cut <= second <= heard.after


def test_tck_id_message_flow_phid_sparkplug_subscription_before_the_first_publish(heard: Heard) -> None:
    """Also `host-topic-phid-birth-sub-required`, `-birth-required` and `payloads-state-subscribe`."""
    kinds = [
        packet.kind for packet in heard.scribe.packets if packet.kind in (wire.CONNECT, wire.SUBSCRIBE, wire.PUBLISH)
    ]
    at = kinds.index(wire.PUBLISH)
    assert set(kinds[1:at]) == {wire.SUBSCRIBE}
    wanted = [each for packet in heard.scribe.of(wire.SUBSCRIBE)[: at - 1] for each in heard.scribe.filters(packet)]
    names = {name for name, _ in wanted}
    assert (STATE, 1) in [(name, options & 3) for name, options in wanted]
    assert {f"spBv1.0/G/{kind}/+" for kind in ("NBIRTH", "NDATA", "NDEATH")} <= names
    assert {f"spBv1.0/G/{kind}/+/+" for kind in ("DBIRTH", "DDATA", "DDEATH")} <= names


def test_tck_id_host_topic_phid_birth_message_is_the_first_of_each_session(heard: Heard) -> None:
    """Also `-birth-topic`, `-qos`, `-retain`, `-payload`, `-payload-timestamp`, `operational-behavior-host-application-connect-birth-*` and
    `primary-application-state-with-multiple-servers-state`."""
    packets = [packet for packet in heard.scribe.packets if packet.kind in (wire.CONNECT, wire.PUBLISH)]
    for at, packet in enumerate(packets):
        if packet.kind == wire.CONNECT:
            birth = heard.scribe.as_published(packets[at + 1])
            assert (birth.topic, birth.qos, birth.retain) == (STATE, 1, True)
            assert birth.state == {"online": True, "timestamp": heard.scribe.will(packet).state["timestamp"]}


def test_tck_id_message_flow_hid_sparkplug_state_message_delivered_whatever_else_it_says(heard: Heard) -> None:
    births = [one for one in heard.scribe.published() if one.topic == STATE and one.state["online"]]
    assert births[0].payload == births[1].payload
    assert len(births) == 3


def test_tck_id_payloads_ncmd_of_a_rebirth_request(heard: Heard) -> None:
    """`payloads-ncmd-qos`, `-retain`, `-seq`, `-timestamp`, `topics-ncmd-*`, `payloads-name-cmd-requirement` and
    `operational-behavior-data-commands-ncmd-rebirth-verb`, `-name`, `-value`."""
    asked = next(one for one in heard.scribe.published() if one.topic != STATE)
    payload = Payload.FromString(asked.payload)
    (metric,) = payload.metrics
    assert (asked.topic, asked.qos, asked.retain) == ("spBv1.0/G/NCMD/N", 0, False)
    assert not payload.HasField("seq")
    assert heard.before <= payload.timestamp <= heard.after
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", NUMBER["Boolean"], True)


def test_tck_id_operational_behavior_host_application_death_before_the_disconnect(heard: Heard) -> None:
    """Also `-termination`, `-disconnect-intentional` and `host-topic-phid-death-payload-timestamp-disconnect-clean`."""
    last = [packet for packet in heard.scribe.packets if packet.kind in (wire.PUBLISH, wire.DISCONNECT)]
    death, end = last[-2:]
    said = heard.scribe.as_published(death)
    assert end.kind == wire.DISCONNECT
    assert (said.topic, said.qos, said.retain, said.state["online"]) == (STATE, 1, True, False)
    assert set(said.state) == {"online", "timestamp"}
    assert heard.cut <= said.state["timestamp"] <= heard.after


def test_tck_id_operational_behavior_host_application_multi_server_timestamp() -> None:
    """One host id at two servers, a source for each: a birth at every new session, with the time of that server's own will.

    Also `operational-behavior-primary-application-state-with-multiple-servers-state`.
    """

    async def test() -> None:
        scribes, stop = [Scribe(is_5=False), Scribe(is_5=False)], asyncio.Event()
        ports = [await scribe.start() for scribe in scribes]
        tasks = []
        for port, scribe in zip(ports, scribes, strict=True):
            tasks.append(asyncio.create_task(host(port, "3.1.1").run(stop)))
            await eventually_async(lambda scribe=scribe: scribe.published(), 30)
            await asyncio.sleep(0.01)  # another ms
        scribes[0].drop()
        await eventually_async(lambda: len(scribes[0].published()) == 2, 30)
        stamps = [[one.state["timestamp"] for one in scribe.published()] for scribe in scribes]
        wills = [[scribe.will(one).state["timestamp"] for one in scribe.of(wire.CONNECT)] for scribe in scribes]
        assert stamps == wills
        assert stamps[0][0] < stamps[1][0] < stamps[0][1]
        assert (len(stamps[0]), len(stamps[1])) == (2, 1)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        for scribe in scribes:
            await scribe.stop()

    asyncio.run(test())
