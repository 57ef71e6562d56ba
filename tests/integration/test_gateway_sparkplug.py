"""Edge nodes behind a real MQTT broker: every counter arrives once and in order, or a gap record covers the hole."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import Gap
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.intake import Reading
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.mqtt.source import MqttDevices
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.source import SparkplugHost
from shinkei_gateway.sparkplug.translate import BAD_NO_COMMUNICATION
from shinkei_plant.broker import Broker
from tests.support.fake_intake import FakeIntake
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.sparkplug_edge import Edge
from tests.support.sparkplug_node import Node, metric
from tests.support.waiting import eventually_async

MS = 1_000_000
DEADLINE_S = 30.0


def source(port: int, intake: FakeIntake, **more: Any) -> SparkplugHost:
    raw = {
        "type": "sparkplug", "url": f"mqtt://127.0.0.1:{port}", "client_id": "gw", "retry": "200ms", "timeout": "20s", "reorder": "500ms",
        "rebirth": "300ms", "group_ids": ["plant"], "metrics": [{"filter": "State", "as": "state"}],
    }  # fmt: skip
    return SparkplugHost("src", strict(raw | more, SparkplugSource, "x"), intake, Path())


@asynccontextmanager
async def running(made: SparkplugHost) -> AsyncIterator[SparkplugHost]:
    stop = asyncio.Event()
    task = asyncio.create_task(made.run(stop))
    try:
        await eventually_async(lambda: made.health()["connected"], DEADLINE_S)
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


@pytest.fixture
def edge(mosquitto: Mosquitto) -> Iterator[Edge]:
    made = Edge(mosquitto.port)
    yield made
    made.stop()


def live(intake: FakeIntake) -> list[Reading]:
    return [reading for reading in intake.readings("n") if reading.status != BAD_NO_COMMUNICATION]


def gaps(intake: FakeIntake) -> list[dict[str, Any]]:
    """Of the device's signals: the edge node itself is a machine of its own."""
    return [draft.fields for draft in intake.drafts(Gap) if draft.machine == "D1" and draft.fields["of"] == "signals"]


def numbers(intake: FakeIntake) -> list[Any]:
    return [reading.value for reading in live(intake)]


async def came(edge: Edge, intake: FakeIntake) -> None:
    await eventually_async(lambda: edge.count in numbers(intake), DEADLINE_S)


def proven(edge: Edge, intake: FakeIntake) -> None:
    """No double, in order, times kept; and every hole lies in a gap."""
    found = live(intake)
    values = [reading.value for reading in found if isinstance(reading.value, int)]
    assert len(values) == len(found)
    assert values == sorted(set(values))
    assert {(reading.time // MS, reading.value) for reading in found} <= set(edge.written)
    spans = [(gap["t_from"], gap["t_to"]) for gap in gaps(intake)]
    for at, number in edge.written:
        if number not in set(values):
            assert any(begin <= at * MS <= end for begin, end in spans), (
                f"{number} at {at} is missing and no gap tells it: {spans}"
            )


def states(intake: FakeIntake) -> list[str]:
    return [draft.fields["state"] for draft in intake.drafts(MachineStateChanged) if draft.machine == "D1"]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_every_value_arrives_once_in_order(mosquitto: Mosquitto, edge: Edge, protocol: str) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake, protocol=protocol)):
            await asyncio.to_thread(edge.start)
            await asyncio.to_thread(edge.measure, 2000)
            await came(edge, intake)
        assert [(reading.time // MS, reading.value) for reading in live(intake)] == edge.written
        assert (gaps(intake), states(intake)) == ([], ["EXECUTE"])

    asyncio.run(test())


def test_a_node_that_was_born_before_the_host_came_is_asked_for_its_birth(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        await asyncio.to_thread(edge.start)
        edge.measure(5)
        await asyncio.to_thread(edge.settle)
        async with running(source(mosquitto.port, intake)):
            edge.measure()
            await eventually_async(lambda: edge.requests, DEADLINE_S)
            edge.measure(10)
            await came(edge, intake)
        assert numbers(intake) == list(range(6, 17))
        assert gaps(intake) == []  # nobody promised what was before

    asyncio.run(test())


def test_lost_reordered_and_repeated_messages(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake, reorder="3s")) as host:
            await asyncio.to_thread(edge.start)
            edge.measure(5)
            edge.shuffle([2, 0, 1, 3])
            edge.repeat()
            await came(edge, intake)
            assert gaps(intake) == []
            edge.measure(3, lose=True)
            edge.measure(2)
            await eventually_async(lambda: edge.requests, DEADLINE_S)
            edge.measure(5)
            await came(edge, intake)
            assert host.health()["nodes"]["plant/edge"]["duplicates"] == 1
        assert [gap["cause"] for gap in gaps(intake)] == ["sparkplug_seq"]
        assert len(live(intake)) == edge.count - 3
        proven(edge, intake)

    asyncio.run(test())


def test_tck_id_operational_behavior_edge_node_termination_an_edge_node_killed_and_reborn(
    mosquitto: Mosquitto, edge: Edge
) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake)):
            await asyncio.to_thread(edge.start)
            edge.measure(10)
            await came(edge, intake)
            edge.kill()
            await eventually_async(lambda: states(intake)[-1:] == ["NO_DATA"], DEADLINE_S)
            edge.unheard(4)
            await asyncio.to_thread(edge.start)
            await eventually_async(lambda: states(intake)[-1:] == ["EXECUTE"], DEADLINE_S)
            edge.measure(10)
            await came(edge, intake)
        assert [gap["cause"] for gap in gaps(intake)] == ["source_restarted"]
        assert [reading.status for reading in intake.readings("n")].count(BAD_NO_COMMUNICATION) == 1
        proven(edge, intake)

    asyncio.run(test())


def test_the_host_restarts_while_the_node_goes_on(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        await asyncio.to_thread(edge.start)
        for _ in range(3):
            asked = edge.requests
            async with running(source(mosquitto.port, intake)):
                edge.measure(10)
                await eventually_async(lambda asked=asked: edge.requests > asked, DEADLINE_S)  # type: ignore[misc]
                edge.measure(10)
                await came(edge, intake)
            edge.measure(5)
        assert {gap["cause"] for gap in gaps(intake)} == {"gateway_down"} | {gap["cause"] for gap in gaps(intake)} & {
            "sparkplug_seq"
        }
        first = live(intake)[0].value
        edge.written = [one for one in edge.written[:-5] if one[1] >= first]
        proven(edge, intake)

    asyncio.run(test())


def test_a_restart_in_which_nothing_happened_is_neither_a_double_nor_a_gap(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        await asyncio.to_thread(edge.start)
        for _ in range(3):
            asked = edge.requests
            async with running(source(mosquitto.port, intake)):
                if not live(intake):
                    edge.measure(3)
                await eventually_async(lambda asked=asked: edge.requests > asked, DEADLINE_S)  # type: ignore[misc]
                await came(edge, intake)
        assert (len(live(intake)), gaps(intake)) == (len({r.value for r in live(intake)}), [])

    asyncio.run(test())


def test_the_broker_is_killed_and_comes_back(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake, lost_after="100ms")) as host:
            await asyncio.to_thread(edge.start)
            edge.measure(10)
            await came(edge, intake)
            mosquitto.kill()
            edge.kill()
            edge.unheard(3)
            await eventually_async(lambda: states(intake)[-1:] == ["NO_DATA"], DEADLINE_S)
            await asyncio.to_thread(mosquitto.start)
            await eventually_async(lambda: host.health()["connected"], DEADLINE_S)
            await asyncio.to_thread(edge.start)
            edge.measure(10)
            await came(edge, intake)
        assert states(intake)[-1] == "EXECUTE"
        proven(edge, intake)

    asyncio.run(test())


def test_history_goes_into_the_history_stream(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake)):
            await asyncio.to_thread(edge.start)
            edge.measure(3, historical=True)
            edge.measure(3)
            await came(edge, intake)
        past = [item for batch in intake.batches if batch.history for item in batch.items if isinstance(item, Reading)]
        assert [reading.value for reading in past] == [1, 2, 3]
        assert gaps(intake) == []

    asyncio.run(test())


def test_strangers_make_no_machines_without_end(
    mosquitto: Mosquitto, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        intake, stranger = FakeIntake(), Node("plant", "X")
        async with running(source(mosquitto.port, intake, max_machines=2)) as made:
            await asyncio.to_thread(edge.start)
            edge.measure(3)
            for number in range(30):
                edge._send(*stranger.birth(metric(1.0, "Double", name="n")))
                edge._send(*stranger.device_birth(f"X{number}", metric(1.0, "Double", name="n")))
            edge.measure(3)
            await came(edge, intake)
            await eventually_async(lambda: len(intake.drafts(Quarantined)) == 60, DEADLINE_S)
            health = made.health()
        proven(edge, intake)
        assert health["machines"] == ["D1", "edge"]
        assert health["limits"] == [
            "max_machines = 2 is reached: 60 messages of further nodes and devices were not taken"
        ]
        assert {draft.machine for draft in intake.drafts(Quarantined)} == {"src"}

    with caplog.at_level("WARNING", "shinkei"):
        asyncio.run(test())
    assert sum("max_machines" in record.getMessage() for record in caplog.records) == 1


def test_what_is_no_sparkplug_goes_to_quarantine_and_its_neighbours_go_on(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake)):
            await asyncio.to_thread(edge.start)
            edge._send("spBv1.0/plant/NDATA/edge", b"\xff\xff\xff")
            edge.measure(3)
            await came(edge, intake)
        (refused,) = intake.drafts(Quarantined)
        assert (refused.fields["raw"], refused.fields["where"]) == (b"\xff\xff\xff", "spBv1.0/plant/NDATA/edge")
        assert len(live(intake)) == 3

    asyncio.run(test())


# ---- the primary host's STATE ----------------------------------------------------------------------------------------------------
class Ear:
    """Hears STATE messages, in order, as (online, timestamp, retained)."""

    def __init__(self, port: int, name: str = "ear") -> None:
        self.heard: list[tuple[bool, int, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name)
        self.client.on_message = lambda _c, _d, m: self.heard.append((*json.loads(m.payload).values(), m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("spBv1.0/STATE/shinkei", 1)
        self.client.loop_start()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_tck_id_host_topic_phid_birth_required_and_death_payload_timestamp_disconnect_clean(
    mosquitto: Mosquitto,
) -> None:
    async def test() -> None:
        ear = Ear(mosquitto.port)
        before = time.time_ns() // MS
        async with running(source(mosquitto.port, FakeIntake(), role="primary", host_id="shinkei")):
            await eventually_async(lambda: ear.heard, DEADLINE_S)
            late = Ear(mosquitto.port, "late")
            await eventually_async(lambda: late.heard, DEADLINE_S)
            assert late.heard == [(True, ear.heard[0][1], True)]  # tck-id-host-topic-phid-birth-retain
            late.close()
        await eventually_async(lambda: len(ear.heard) == 2, DEADLINE_S)
        ear.close()
        (online, born, _), (offline, died, _) = ear.heard
        assert (online, offline) == (True, False)
        assert before <= born <= died <= time.time_ns() // MS

    asyncio.run(test())


def test_tck_id_message_flow_hid_sparkplug_state_message_delivered(mosquitto: Mosquitto) -> None:
    """Whoever says that we are offline is answered at once, with the time of our own CONNECT."""

    async def test() -> None:
        ear = Ear(mosquitto.port)
        async with running(source(mosquitto.port, FakeIntake(), role="primary", host_id="shinkei")):
            await eventually_async(lambda: ear.heard, DEADLINE_S)
            ear.client.publish("spBv1.0/STATE/shinkei", b'{"online":false,"timestamp":5}', 1, retain=True)
            await eventually_async(lambda: len(ear.heard) >= 3, DEADLINE_S)
            assert ear.heard[1][:2] == (False, 5)
            assert ear.heard[2][:2] == ear.heard[0][:2]
        ear.close()

    asyncio.run(test())


def test_tck_id_operational_behavior_host_application_connect_will(mosquitto: Mosquitto) -> None:
    """A host that is cut off is said to be offline by the broker, with the time of its CONNECT."""

    async def test() -> None:
        ear = Ear(mosquitto.port)
        made = source(mosquitto.port, FakeIntake(), role="primary", host_id="shinkei", retry="60s")
        connection = made._dial()
        await made._connect(connection)
        await eventually_async(lambda: ear.heard, DEADLINE_S)
        # another client takes its id away: the broker ends the connection as broken
        thief = paho.Client(CallbackAPIVersion.VERSION2, "gw")
        thief.connect("127.0.0.1", mosquitto.port)
        thief.loop_start()
        await eventually_async(lambda: len(ear.heard) == 2, DEADLINE_S)
        assert ear.heard[1][:2] == (False, ear.heard[0][1])
        await connection.close()
        thief.disconnect()
        thief.loop_stop()
        ear.close()

    asyncio.run(test())


def test_a_secondary_host_says_no_state(mosquitto: Mosquitto, edge: Edge) -> None:
    async def test() -> None:
        ear = Ear(mosquitto.port)
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake)):
            await asyncio.to_thread(edge.start)
            edge.measure(1)
            await came(edge, intake)
        ear.close()
        assert ear.heard == []

    asyncio.run(test())


def test_a_host_comes_back_at_the_broker_that_needs_no_installation(tmp_path: Path) -> None:
    """Its STATE is retained there from the first time, at QoS 1: it must not stop the second, nor come to a neighbour's source."""
    broker = Broker("127.0.0.1", free_port(), tmp_path, program="")
    broker.start()

    async def test() -> None:
        intake, neighbour = FakeIntake(), FakeIntake()
        for turn in range(3):
            async with running(source(broker.port, intake, host_id="gw-01", role="primary", timeout="4s")) as host:
                assert host.health()["connections"] == 1
                devices = {
                    "type": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "client_id": "devices", "timeout": "20s",
                    "topics": [{"filter": "plant/+/state", "as": "state", "machine": "{1}"}],
                }  # fmt: skip
                made = MqttDevices("other", strict(devices, MqttSource, "x"), neighbour, Path())
                stop = asyncio.Event()
                task = asyncio.create_task(made.run(stop))
                await eventually_async(lambda: made.health()["connected"], DEADLINE_S)  # noqa: B023
                edge = Edge(broker.port)
                await asyncio.to_thread(edge.start)
                edge.measure(5)
                await eventually_async(lambda: numbers(intake).count(5) > turn, DEADLINE_S)  # noqa: B023
                edge.stop()
                stop.set()
                await asyncio.wait_for(task, 60)
        assert neighbour.drafts(Quarantined) == []

    try:
        asyncio.run(test())
    finally:
        broker.stop()
