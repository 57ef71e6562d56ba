"""Devices behind a real MQTT broker: acknowledged only when durable; every loss, and every possible one, is a gap record."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.intake import Reading
from shinkei_gateway.mqtt import wire
from shinkei_gateway.mqtt.connection import LARGEST_PACKET
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.mqtt.source import MqttDevices
from shinkei_plant.broker import Broker
from tests.support.completeness import compare
from tests.support.fake_intake import FakeIntake
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt_scribe import Scribe
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.waiting import eventually, eventually_async

TOPICS = [
    {"filter": "plant/+/signal/+", "as": "signal", "machine": "{1}", "signal": "{3}", "time": "/ts", "value": "/v"},
    {"filter": "plant/+/state", "as": "state", "machine": "{1}"},
]


class Device:
    """Publishes numbers 1, 2, 3 … at QoS 1; `settle` returns when the broker has acknowledged all."""

    def __init__(self, port: int) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "device")
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(1000)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.count = 0
        self.written: list[tuple[int, int]] = []
        self._last: list[Any] = []

    def publish(self, numbers: int = 1) -> None:
        for _ in range(numbers):
            self.count += 1
            at = time.time_ns()
            self.written.append((at, self.count))
            self._last.append(self.client.publish("plant/D1/signal/n", json.dumps({"ts": at, "v": self.count}), qos=1))

    def state(self, state: str) -> None:
        self._last.append(
            self.client.publish("plant/D1/state", json.dumps({"ts": time.time_ns(), "state": state}), qos=1)
        )

    def raw(self, topic: str, payload: bytes) -> None:
        self._last.append(self.client.publish(topic, payload, qos=1))

    def settle(self) -> None:
        for info in self._last:
            info.wait_for_publish(60)
        self._last.clear()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def source(port: int, intake: FakeIntake, **more: Any) -> MqttDevices:
    raw = {
        "type": "mqtt",
        "url": f"mqtt://127.0.0.1:{port}",
        "client_id": "gw",
        "topics": TOPICS,
        "retry": "200ms",
        "timeout": "20s",
    }
    return MqttDevices("src", strict(raw | more, MqttSource, "x"), intake, Path())


@asynccontextmanager
async def running(made: MqttDevices) -> AsyncIterator[MqttDevices]:
    stop = asyncio.Event()
    task = asyncio.create_task(made.run(stop))
    try:
        await eventually_async(lambda: made.health()["connected"])
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


def numbers(intake: FakeIntake) -> list[int]:
    return [reading.value for reading in intake.readings("n")]  # type: ignore[misc]


async def came(device: Device, intake: FakeIntake) -> None:
    await eventually_async(lambda: device.count in numbers(intake), 20)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_every_message_arrives_once_in_order(mosquitto: Mosquitto, protocol: str) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake, protocol=protocol)):
            device = Device(mosquitto.port)
            device.publish(2000)
            await came(device, intake)
            device.close()
        assert [(reading.time, reading.value) for reading in intake.readings("n")] == device.written
        assert intake.gaps() == []

    asyncio.run(test())


def test_messages_of_an_absence_wait_in_the_session_and_the_absence_is_a_possible_gap(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        async with running(source(mosquitto.port, intake)):
            device.publish(10)
            await came(device, intake)
        device.publish(500)
        device.settle()
        async with running(source(mosquitto.port, intake)):
            await came(device, intake)
        device.close()
        assert numbers(intake) == list(range(1, 511))
        (gap,) = intake.gaps()
        assert (gap["cause"], gap["possible"]) == ("mqtt_possible", True)

    asyncio.run(test())


def test_with_a_promised_queue_an_absence_is_no_gap(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        for _ in range(2):
            async with running(source(mosquitto.port, intake, queue="unlimited")):
                device.publish(10)
                await came(device, intake)
        device.close()
        assert (numbers(intake), intake.gaps()) == (list(range(1, 21)), [])

    asyncio.run(test())


def test_what_is_not_durable_is_not_acknowledged_and_comes_again(mosquitto: Mosquitto) -> None:
    """kill -9 between receiving and writing."""

    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        made = source(mosquitto.port, intake)
        task = asyncio.create_task(made.run(asyncio.Event()))
        await eventually_async(lambda: made.health()["connected"])
        device.publish(5)
        await came(device, intake)
        intake.hold = True
        device.publish(50)
        device.settle()
        await eventually_async(lambda: intake.waiting >= 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        intake.crash()
        intake.hold = False
        async with running(source(mosquitto.port, intake)):
            await came(device, intake)
        device.close()
        assert numbers(intake) == list(range(1, 56))

    asyncio.run(test())


def test_what_was_durable_but_not_acknowledged_is_recognised_when_it_comes_again(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 between writing and acknowledging."""

    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        with monkeypatch.context() as patch:
            patch.setattr("shinkei_gateway.mqtt.own.OwnConnection.acknowledge", lambda self, messages: None)
            async with running(source(mosquitto.port, intake)):
                device.publish(20)
                await came(device, intake)
        async with running(source(mosquitto.port, intake)):
            device.publish(1)
            await came(device, intake)
        device.close()
        assert numbers(intake) == list(range(1, 22))
        assert intake.books["duplicate"] == 20

    asyncio.run(test())


@pytest.mark.parametrize(("qos", "kept"), [(1, 6), (2, 3)])
def test_what_may_be_a_repeat_is_kept_and_marked_and_with_qos_2_it_is_known(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, qos: int, kept: int
) -> None:
    """Payloads without a time of their own: a machine may well say the same twice."""
    topics = [{"filter": "raw/#", "as": "signal", "machine": "M", "signal": "{1}"}]

    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        with monkeypatch.context() as patch:
            patch.setattr("shinkei_gateway.mqtt.own.OwnConnection.acknowledge", lambda self, messages: None)
            async with running(source(mosquitto.port, intake, topics=topics, qos=qos)):
                for _ in range(3):
                    device.client.publish("raw/level", b"7", qos=qos).wait_for_publish(60)
                await eventually_async(lambda: len(intake.readings()) == 3)
        async with running(source(mosquitto.port, intake, topics=topics, qos=qos)):
            device.client.publish("raw/end", b"1", qos=qos).wait_for_publish(60)
            await eventually_async(lambda: intake.readings("end"))
        device.close()
        assert len(intake.readings("level")) == kept
        marked = [item for batch in intake.batches if batch.maybe_again for item in batch.items]
        assert (len(marked), intake.books["duplicate"]) == (kept - 3, 6 - kept)

    asyncio.run(test())


def test_a_packet_identifier_of_qos_2_is_given_back_only_when_that_is_durable() -> None:
    """Else a kill -9 in between would find it still taken, and the broker's next message under it, with the same bytes, a repeat."""
    topics = [{"filter": "raw/#", "as": "signal", "machine": "M", "signal": "{1}"}]

    async def test() -> None:
        intake, scribe = FakeIntake(), Scribe(is_5=False, session_present=True)
        port = await scribe.start()
        task = asyncio.create_task(source(port, intake, topics=topics, qos=2).run(asyncio.Event()))
        await eventually_async(lambda: scribe.of(wire.SUBSCRIBE), 60)
        scribe.say("raw/level", b"7", 2, 5)
        await eventually_async(lambda: scribe.of(wire.PUBREC), 60)
        intake.hold = True
        scribe.release(5)
        await eventually_async(lambda: intake.waiting >= 1, 60)
        assert scribe.of(wire.PUBCOMP) == []
        intake.release()
        await eventually_async(lambda: scribe.of(wire.PUBCOMP), 60)
        assert intake.resume("src")["unreleased"] == {}
        task.cancel()  # kill -9
        await asyncio.gather(task, return_exceptions=True)
        intake.hold = False
        scribe.packets.clear()
        again = asyncio.create_task(source(port, intake, topics=topics, qos=2).run(asyncio.Event()))
        await eventually_async(lambda: scribe.of(wire.CONNECT), 60)
        scribe.say("raw/level", b"7", 2, 5)
        await eventually_async(lambda: scribe.of(wire.PUBREC), 60)
        assert len(intake.readings("level")) == 2
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        await scribe.stop()

    asyncio.run(test())


def test_a_lost_session_is_a_gap_that_covers_what_was_in_it(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        async with running(source(mosquitto.port, intake)):
            device.publish(10)
            await came(device, intake)
        device.publish(100)
        device.settle()
        other = paho.Client(
            CallbackAPIVersion.VERSION2, "gw", clean_session=True
        )  # somebody takes our client id: the session is gone
        gone = []
        other.on_connect = lambda *_: gone.append(1)
        other.connect("127.0.0.1", mosquitto.port)
        other.loop_start()
        await asyncio.to_thread(eventually, lambda: gone)
        other.disconnect()
        other.loop_stop()
        async with running(source(mosquitto.port, intake)):
            device.publish(5)
            await came(device, intake)
        device.close()
        found = compare({"n": device.written}, {"n": [(r.time, r.value) for r in intake.readings("n")]}, intake.gaps())
        assert (found.missing, found.covered, found.doubled, found.unexplained) == (100, 100, 0, [])
        assert [gap["cause"] for gap in intake.gaps()] == ["mqtt_session_lost"]
        assert [gap["cause"] for gap in intake.gaps("production")] == ["mqtt_session_lost"]

    asyncio.run(test())


def test_a_broken_message_goes_to_quarantine_and_is_acknowledged(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        async with running(source(mosquitto.port, intake)):
            device.publish(1)
            device.raw("plant/D1/signal/n", b"\xff{")
            device.raw("plant/D1/state", b'{"state": "DANCING"}')
            device.publish(1)
            await came(device, intake)
        async with running(source(mosquitto.port, intake)):
            device.publish(1)
            await came(device, intake)
        device.close()
        assert numbers(intake) == [1, 2, 3]
        assert sorted(draft.fields["raw"] for draft in intake.drafts(Quarantined)) == [
            b'{"state": "DANCING"}',
            b"\xff{",
        ]

    asyncio.run(test())


def test_a_cut_is_told_once_and_the_machine_s_state_comes_back(mosquitto: Mosquitto) -> None:
    async def test(proxy: Proxy) -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        async with running(source(proxy.port, intake, lost_after="300ms")) as made:
            device.state("EXECUTE")
            device.publish(1)
            await came(device, intake)
            proxy.cut()
            await eventually_async(lambda: len(intake.drafts(MachineStateChanged)) == 2)
            device.publish(30)
            device.settle()
            proxy.restore()
            await eventually_async(lambda: made.health()["connected"])
            await came(device, intake)
            await eventually_async(lambda: len(intake.drafts(MachineStateChanged)) == 3)
        device.close()
        assert [draft.fields["state"] for draft in intake.drafts(MachineStateChanged)] == [
            "EXECUTE",
            "NO_DATA",
            "EXECUTE",
        ]
        assert numbers(intake) == list(range(1, 32))
        assert [gap["cause"] for gap in intake.gaps()] == ["mqtt_possible"]

    with Proxy(mosquitto.port) as proxy:
        asyncio.run(test(proxy))


def test_a_broker_that_was_killed_is_found_again(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake)) as made:
            device = Device(mosquitto.port)
            device.publish(50)
            await came(device, intake)
            await asyncio.to_thread(mosquitto.kill)
            await eventually_async(lambda: not made.health()["connected"])
            await asyncio.to_thread(mosquitto.start)
            await eventually_async(lambda: made.health()["connected"], 15)
            device.close()
            again = Device(mosquitto.port)
            again.count, again.written = device.count, device.written
            again.publish(50)
            await came(again, intake)
            again.close()
        assert set(numbers(intake)) == set(range(1, 101))
        assert intake.gaps() != []

    asyncio.run(test())


def test_it_also_works_with_the_broker_that_needs_no_installation(tmp_path: Path) -> None:
    broker = Broker("127.0.0.1", free_port(), tmp_path, program="")
    broker.start()

    async def test() -> None:
        intake = FakeIntake()
        async with running(source(broker.port, intake)):
            device = Device(broker.port)
            device.publish(200)
            await came(device, intake)
            device.close()
        assert numbers(intake) == list(range(1, 201))

    try:
        asyncio.run(test())
    finally:
        broker.stop()


def test_a_filter_that_is_not_wanted_any_more_leaves_the_session(mosquitto: Mosquitto) -> None:
    """plant.toml was changed and read again: the broker must not go on queueing what nobody maps."""

    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        async with running(source(mosquitto.port, intake)):
            device.publish(1)
            await came(device, intake)
        async with running(source(mosquitto.port, intake, topics=TOPICS[:1])):
            device.state("EXECUTE")
            device.publish(1)
            await came(device, intake)
        device.close()
        assert (numbers(intake), intake.drafts(Quarantined), intake.drafts(MachineStateChanged)) == ([1, 2], [], [])

    asyncio.run(test())


def test_strangers_make_no_machines_without_end_and_removals_are_no_quarantine(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        async with running(source(mosquitto.port, intake, max_machines=2)) as made:
            device.publish(1)
            for at in range(20):
                device.raw(f"plant/X{at}/signal/n", b'{"ts": 1700000000000000000, "v": 1}')
            device.client.publish("plant/D1/signal/kept", b'{"ts": 1700000000000000000, "v": 1}', qos=1, retain=True)
            device.client.publish("plant/D1/signal/kept", b"", qos=1, retain=True)
            device.raw("plant/D1/signal/n", b"")
            device.publish(1)
            await came(device, intake)
            assert (
                "max_machines = 2 is reached: messages of further machines are in quarantine" in made.health()["limits"]
            )
        device.close()
        assert {reading.machine for reading in intake.readings()} == {"D1", "X0"}
        found = intake.drafts(Quarantined)
        assert len(found) == 19
        assert {draft.machine for draft in found} == {"src"}
        assert "max_machines = 2" in found[0].fields["reason"]

    with caplog.at_level("WARNING", "shinkei"):
        asyncio.run(test())
    assert sum("max_machines" in record.getMessage() for record in caplog.records) == 1


def test_overlapping_filters_double_nothing_unmarked(mosquitto: Mosquitto) -> None:
    """With MQTT 5 mosquitto sends a copy for each subscription that matches."""
    raw = {"as": "signal", "machine": "D1", "signal": "n", "time": "/ts", "value": "/v"}

    async def test(filters: list[str], marked: int) -> None:
        intake = FakeIntake()
        topics = [{"filter": name} | raw for name in filters]
        async with running(source(mosquitto.port, intake, protocol="5", topics=topics, client_id=str(marked))):
            device = Device(mosquitto.port)
            device.publish(50)
            await eventually_async(lambda: len(intake.readings("n")) == 50 + marked, 20)
            device.close()
        plain = [batch for batch in intake.batches if not batch.maybe_again]
        assert [item.value for batch in plain for item in batch.items if isinstance(item, Reading)] == list(
            range(1, 51)
        )

    asyncio.run(test(["plant/+/signal/+", "plant/#", "plant/D1/#"], 0))
    asyncio.run(test(["plant/+/signal/+", "plant/D1/#"], 50))


def test_another_qos_in_the_settings_is_asked_of_the_session_that_is_there(mosquitto: Mosquitto) -> None:
    """Else what is said during an absence would go on being lost, as with the QoS 0 of before."""

    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        for qos in (0, 1):
            async with running(source(mosquitto.port, intake, qos=qos)):
                device.publish(5)
                await came(device, intake)
        device.publish(5)
        device.settle()
        async with running(source(mosquitto.port, intake, qos=1)):
            await came(device, intake)
        device.close()
        assert numbers(intake) == list(range(1, 16))

    asyncio.run(test())


def test_a_message_too_large_to_take_is_quarantined_and_stops_nobody(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake)) as made:
            device = Device(mosquitto.port)
            device.publish(1)  # so that the machine is known: what nobody can read makes none
            device.raw("plant/D1/signal/picture", b"x" * (LARGEST_PACKET + 1))
            device.publish(4)
            await came(device, intake)
            device.close()
            assert (numbers(intake), made.health()["connections"]) == (list(range(1, 6)), 1)
        (record,) = intake.drafts(Quarantined)
        assert (record.machine, record.fields["where"]) == ("D1", "plant/D1/signal/picture")
        assert "bytes" in record.fields["reason"]

    asyncio.run(test())


def test_retained_messages_that_come_again_are_marked(mosquitto: Mosquitto) -> None:
    async def test() -> None:
        intake = FakeIntake()
        device = Device(mosquitto.port)
        for number in range(40):
            device._last.append(
                device.client.publish(
                    f"plant/D1/signal/r{number}", json.dumps({"ts": time.time_ns(), "v": number}), qos=1, retain=True
                )
            )
        device.settle()
        for client in ("one", "other"):
            async with running(source(mosquitto.port, intake, client_id=client, window=10)):
                wanted = 40 if client == "one" else 80
                await eventually_async(lambda wanted=wanted: len(intake.readings()) >= wanted, 20)
        device.close()
        plain = [item for batch in intake.batches if not batch.maybe_again for item in batch.items]
        assert sorted(item.value for item in plain if isinstance(item, Reading)) == list(range(40))  # type: ignore[type-var]

    asyncio.run(test())
