"""MQTT under fire, counted value by value: the gateway killed under load, the broker stopped and killed."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress
from shinkei_events.model.numbered import Gap
from tests.support.completeness import Verdict, compare, too_wide
from tests.support.gateway_site import write_site
from tests.support.log_reader import LogReader
from tests.support.mosquitto import Mosquitto
from tests.support.parts import PartProcess
from tests.support.sizes import Sizes
from tests.support.waiting import eventually

TOPICS = [{"filter": "plant/+/+", "as": "signal", "machine": "{1}", "signal": "{2}", "time": "/ts", "value": "/v"}]


class Device(threading.Thread):
    """Writes 1, 2, 3 … at ``rate`` messages a second until `rest`, which returns when the broker has acknowledged all."""

    def __init__(self, port: int, rate: float, qos: int) -> None:
        super().__init__(daemon=True)
        self._period, self._qos, self._end = 1 / rate, qos, threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "device")
        self.client.max_queued_messages_set(0)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.written: list[tuple[int, int]] = []
        self._sent: list[Any] = []

    def run(self) -> None:
        while not self._end.wait(self._period):
            self.say()

    def say(self, count: int = 1) -> None:
        for _ in range(count):
            at = time.time_ns()
            self.written.append((at, len(self.written) + 1))
            said = json.dumps({"ts": at, "v": len(self.written)})
            self._sent.append(self.client.publish("plant/M1/n", said, qos=self._qos))

    def rest(self) -> None:
        self._end.set()
        if self.is_alive():
            self.join()
        for info in self._sent:
            info.wait_for_publish(120)
            assert info.is_published(), "the broker did not take the device's messages"
        self._sent.clear()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogAddress]:
    embedded = EmbeddedLog(tmp_path)
    embedded.start()
    yield LogAddress(embedded.bootstrap, embedded.log_id, embedded=True)
    embedded.stop()


def site(folder: Path, port: int, **more: Any) -> Path:
    source = {"type": "mqtt", "url": f"mqtt://127.0.0.1:{port}", "client_id": "gw", "topics": TOPICS, "retry": "200ms"}
    return write_site(folder, {"m": source | more})


def is_connected(gateway: PartProcess) -> bool:
    health = gateway.health()
    return bool(health and health["details"]["sources"]["m"]["connected"])


def compared(reader: LogReader, device: Device) -> Verdict:
    return compare({"n": device.written}, {"n": arrived_in(reader)}, gaps_in(reader))


def arrived_in(reader: LogReader) -> list[tuple[int, Any]]:
    return [(at, value) for at, value, _ in reader.readings("M1", "n")]


def gaps_in(reader: LogReader) -> list[dict[str, Any]]:
    return [
        {"t_from": g.t_from, "t_to": g.t_to, "channels": g.channels, "cause": g.cause}
        for g in reader.of(Gap)
        if g.of.kind == "signals"
    ]


def until_last(reader: LogReader, device: Device) -> None:
    last = len(device.written)
    reader.read(lambda seen: any(value == last for _, value, _ in seen.readings("M1", "n")[-500:]), 60)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """One that lives on while the gateway is killed again and again, and thousands of messages wait."""
    found = Mosquitto(tmp_path / "broker", saves=False)
    try:
        found.start()
        yield found
    finally:
        found.kill()


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("qos", [1, 2])
def test_nothing_is_lost_or_doubled_by_kills_of_the_gateway(
    tmp_path: Path, log: LogAddress, broker: Mosquitto, rng: random.Random, sizes: Sizes, qos: int
) -> None:
    gateway = PartProcess("gateway", site(tmp_path, broker.port, queue="unlimited", qos=qos), tmp_path)
    gateway.start()
    eventually(lambda: is_connected(gateway), 20)
    device = Device(broker.port, 400, qos)
    device.start()
    for _ in range(sizes.of("kills of the gateway with MQTT", sample=3, full=30)):
        if rng.random() < 0.7:  # else it is killed on its way up
            eventually(lambda: is_connected(gateway), 20)
        kill_at = len(device.written) + rng.randint(1, 300)
        eventually(lambda at=kill_at: len(device.written) >= at, 30, every=0.001)
        gateway.kill()
        gateway.start()
    device.rest()
    device.say()
    device.rest()
    reader = LogReader(log)
    until_last(reader, device)
    found = compared(reader, device)
    assert (found.missing, found.doubled, found.unexplained) == (0, 0, [])
    assert [gap.cause for gap in reader.of(Gap)] == []
    gateway.stop()
    device.close()
    reader.close()


def test_a_broker_stopped_and_killed_loses_nothing_without_a_gap_record(
    tmp_path: Path, log: LogAddress, mosquitto: Mosquitto
) -> None:
    gateway = PartProcess("gateway", site(tmp_path, mosquitto.port), tmp_path)
    gateway.start()
    eventually(lambda: is_connected(gateway), 20)
    device = Device(mosquitto.port, 400, 1)
    for end in (mosquitto.stop, mosquitto.kill, mosquitto.stop):
        device.say(300)
        device.rest()
        end()
        eventually(lambda: not is_connected(gateway), 20)
        mosquitto.start()
        eventually(lambda: is_connected(gateway), 30)
        eventually(device.client.is_connected, 30)
    device.say(300)
    device.rest()
    reader = LogReader(log)
    until_last(reader, device)
    found = compared(reader, device)
    assert (found.missing - found.covered, found.doubled, found.unexplained) == (0, 0, [])
    assert too_wide({"n": arrived_in(reader)}, gaps_in(reader)) == []
    assert {gap.cause for gap in reader.of(Gap)} <= {"mqtt_possible", "mqtt_session_lost"}
    gateway.stop()
    device.close()
    reader.close()
