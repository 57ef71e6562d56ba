"""Devices over MQTT, with both brokers: a subscriber gets what the ledger says, once, in order, from the first state on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_events.settings import Duration
from shinkei_plant import ledger
from shinkei_plant.broker import Broker, find_mosquitto
from shinkei_plant.settings import PlantSettings
from tests.support.plant import detail, plant_ports, running
from tests.support.ports import free_port, listens
from tests.support.waiting import eventually

TOPICS = [f"plant/+/{kind}" for kind in ("signal/+", "state", "operation", "setup", "energy")]


class Subscriber:
    """Writes down every message of the line as the ledger would."""

    def __init__(self, port: int, client_id: str = "gateway") -> None:
        self.lines: list[dict[str, Any]] = []
        self.ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in TOPICS])
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_message = lambda client, data, message: self.lines.append(
            as_line(message.topic, message.payload)
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def as_line(topic: str, payload: bytes) -> dict[str, Any]:
    _, machine, kind, *name = topic.split("/")
    body = msgspec.json.decode(payload)
    if kind == "signal":
        return {"m": machine, "t": body["ts"], "signal": name[0], "v": body["v"]}
    return {"m": machine, "t": body["ended"] if kind == "operation" else body["ts"], kind: body}


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    program = find_mosquitto() if request.param == "mosquitto" else ""
    assert program is not None, "mosquitto is not installed: tools/install-test-tools mosquitto"
    found = Broker("127.0.0.1", free_port(), tmp_path / "a broker", program=program)
    found.start()
    yield found
    found.stop()
    eventually(lambda: not listens(found.port), 5)


def test_a_subscriber_gets_the_ledger(broker: Broker, tmp_path: Path) -> None:
    """With mosquitto even what the line does before anybody listens: it waits. amqtt cannot say, so the subscriber is first."""
    settings = PlantSettings(
        seed=2, speed=20.0, calm=True, machines=("OP80",), broker=f"mqtt://127.0.0.1:{broker.port}", ports=plant_ports(),
        ledger=tmp_path / "ledger", mqtt="5" if broker.is_mosquitto else "3.1.1", length=Duration(150.0), wait=Duration(300.0),
    )  # fmt: skip
    subscriber = None if broker.is_mosquitto else Subscriber(broker.port)
    assert subscriber is None or subscriber.ready.wait(60)
    with running(settings, tmp_path):
        subscriber = subscriber or Subscriber(broker.port)
        try:
            eventually(lambda: detail(tmp_path, "done"), 40)
            eventually(lambda: len(subscriber.lines) >= sum(1 for _ in ledger.read(tmp_path / "ledger")) > 250, 20)
        finally:
            subscriber.close()
    written = list(ledger.read(tmp_path / "ledger"))
    for machine in ("OP80",):
        told = [line for line in subscriber.lines if line["m"] == machine]
        expected = [line for line in written if line["m"] == machine]
        # the first state is published when somebody listens; the values that stand with it follow
        assert sorted(map(msgspec.json.encode, told)) == sorted(map(msgspec.json.encode, expected))
        later = [line for line in told if line["t"] > expected[0]["t"]]
        assert later == [line for line in expected if line["t"] > expected[0]["t"]]
    assert any("operation" in line and line["operation"]["kind"] == "pack" for line in written)


def test_an_offline_session_loses_nothing_at_our_mosquitto(tmp_path: Path) -> None:
    """More messages than mosquitto's default queue of 1000 wait for an absent subscriber, also over an orderly restart."""
    found = Broker("127.0.0.1", free_port(), tmp_path / "broker")
    assert found.is_mosquitto
    found.start()
    try:
        first = Subscriber(found.port)
        assert first.ready.wait(60)
        first.close()
        publisher = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="device")
        publisher.connect("127.0.0.1", found.port)
        publisher.loop_start()
        messages = [
            publisher.publish("plant/OP30/signal/x", msgspec.json.encode({"ts": n, "v": n}), qos=1) for n in range(1200)
        ]
        for message in messages:
            message.wait_for_publish(60)
        publisher.disconnect()
        publisher.loop_stop()
        found.stop()
        found.start()
        again = Subscriber(found.port)
        try:
            eventually(lambda: len(again.lines) >= 1200, 15)
        finally:
            again.close()
        assert [line["t"] for line in again.lines] == list(range(1200))
    finally:
        found.stop()


def test_the_plant_starts_its_broker_again(tmp_path: Path) -> None:
    import psutil

    settings = PlantSettings(calm=True, machines=("OP80",), ports=plant_ports(), wait=Duration(0.0))
    with running(settings, tmp_path):
        eventually(lambda: listens(settings.ports["broker"]), 20)

        def brokers() -> list[psutil.Process]:
            return [child for child in psutil.Process().children() if "mosquitto" in child.name()]

        (process,) = eventually(brokers, 10)
        eventually(lambda: (tmp_path / "run" / "plant.json").exists(), 10)
        process.kill()
        eventually(
            lambda: [
                child.pid
                for child in brokers()
                if child.is_running() and child.status() != "zombie" and child.pid != process.pid
            ],
            60,
        )
        eventually(lambda: listens(settings.ports["broker"]), 60)
