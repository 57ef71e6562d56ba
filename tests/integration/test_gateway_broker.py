"""What a real broker says of itself: limits that cannot keep the promise are seen by `check`, and told when they break it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shinkei_events.settings import load_plant
from shinkei_gateway.check import try_sources
from shinkei_gateway.mqtt import broker_state
from shinkei_gateway.mqtt.broker_state import look
from shinkei_gateway.mqtt.connection import Dial
from shinkei_gateway.mqtt.dial import connection
from tests.integration.test_gateway_mqtt import TOPICS, Device, came, running, source
from tests.support.fake_intake import FakeIntake
from tests.support.gateway_site import write_site
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import eventually_async, patient

pytestmark = pytest.mark.needs("mosquitto")
SMALL = "\nsys_interval 1\nmax_queued_messages 1\nmax_inflight_messages 5\n"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mosquitto]:
    """A broker that queues one message for an absent client and counts itself every second; on a busy machine it is waited for."""
    monkeypatch.setattr(broker_state, "LOOK_S", 60.0)
    broker = Mosquitto(tmp_path / "broker", SMALL)
    broker.start()
    yield broker
    broker.kill()


def checked(broker: Mosquitto, folder: Path, **more: object) -> tuple[str, str]:
    cell = {"type": "mqtt", "url": broker.url, "client_id": "gw", "topics": TOPICS, "timeout": "20s"} | more
    (row,) = try_sources(load_plant(write_site(folder, {"cell": cell})))
    return row["state"], row["detail"]


async def counted(broker: Mosquitto, dropped: int) -> bool:
    dial = Dial("127.0.0.1", broker.port, "look", timeout=20.0)
    return (await look(dial, time.time_ns))[1].dropped == dropped


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_check_says_what_the_broker_dropped_and_leaves_nothing_behind(
    small: Mosquitto, tmp_path: Path, protocol: str
) -> None:
    state, detail = checked(small, tmp_path, protocol=protocol)
    assert state == "ok", detail
    assert "mosquitto version" in detail
    assert "0 messages dropped" in detail

    async def absent() -> None:
        device, intake = Device(small.port), FakeIntake()
        async with running(source(small.port, intake)):
            device.publish(1)
            await came(device, intake)
        device.publish(50)
        device.settle()
        device.close()

    asyncio.run(absent())
    deadline = time.monotonic() + patient(60)
    while "dropped 49 messages" not in (found := checked(small, tmp_path, protocol=protocol, queue="unlimited"))[1]:
        assert time.monotonic() < deadline, found
    assert found[0] == "wrong"
    assert 'queue = "unlimited" is not so' in found[1]
    assert "max_queued_messages" in found[1]

    async def left() -> bool:
        probe = connection(Dial("127.0.0.1", small.port, "gw-check", timeout=20.0), time.time_ns)
        try:
            return await probe.connect()
        finally:
            await probe.close()

    assert not asyncio.run(left()), "the probe's session is still in the broker"


def test_a_promised_queue_that_dropped_is_told_and_a_possible_gap(
    small: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(small.port)
        async with running(source(small.port, intake, queue="unlimited")) as made:
            device.publish(5)
            await came(device, intake)
            await eventually_async(lambda: made._watch.state.dropped == 0 and made._memory.broker.get("at"))
            assert made.health()["limits"] == []
            device.publish(1)
            await came(device, intake)
        device.publish(50)
        device.settle()
        await eventually_async(lambda: counted(small, 49), 60)
        async with running(source(small.port, intake, queue="unlimited")) as made:
            await eventually_async(intake.gaps, 60)
            assert any("the broker dropped 49 messages" in words for words in made.health()["limits"])
        device.close()
        (gap,) = intake.gaps()
        assert (gap["cause"], gap["possible"]) == ("mqtt_possible", True)
        lost = [at for at, number in device.written if number not in {each.value for each in intake.readings("n")}]
        assert len(lost) == 49
        assert gap["t_from"] <= min(lost)
        assert max(lost) <= gap["t_to"]

    with caplog.at_level(logging.WARNING, "shinkei"):
        asyncio.run(test())
    assert sum("dropped 49 messages" in record.getMessage() for record in caplog.records) == 1


def test_a_broker_that_was_started_again_without_our_session_is_named(small: Mosquitto, tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(small.port, intake, retry="4s")) as made:
            await asyncio.to_thread(small.kill)
            await eventually_async(lambda: not made.health()["connected"])
            shutil.rmtree(tmp_path / "broker/data")
            (tmp_path / "broker/data").mkdir()
            await asyncio.to_thread(small.start)
            await eventually_async(lambda: made.health()["connected"], 30)
            await eventually_async(lambda: any("had not kept our session" in w for w in made.health()["limits"]), 30)

    asyncio.run(test())
