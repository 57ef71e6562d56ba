"""``gateway.sparkplug.metrics_per_core_s``: edge nodes → mosquitto → gateway → spool → frames → real Kafka; CPU of the gateway alone.

Eight edge nodes with one device each say 20 metrics a message, as fast as the gateway takes them (at most `AHEAD` messages are under
way, so that the broker drops nothing). Before the figure counts, every metric must have been sent to Kafka and no gap told.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.kafka import KafkaNode
from tests.support.mosquitto import Mosquitto
from tests.support.parts import PartProcess
from tests.support.sparkplug_node import Node, metric, payload
from tests.support.waiting import eventually

NODES, METRICS = 8, 20
MESSAGES, WARM = 40_000, 4_000
AHEAD = 2_000
PLANT = """
[site]
id = "bench"
title = {{ en = "bench" }}
languages = ["en"]
[log]
bootstrap = "{log}"
[gateway]
id = "gw-01"
[gateway.sources.hall]
type = "sparkplug"
url = "{broker}"
client_id = "bench"
reorder = "60s"
"""


class Speaker:
    """All edge nodes over one connection: the broker does not look who speaks for whom."""

    def __init__(self, port: int) -> None:
        self.nodes = [Node("bench", f"n{at}") for at in range(NODES)]
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "speaker")
        self.client.max_queued_messages_set(0)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.said = self._tick = 0

    def births(self) -> None:
        for at, node in enumerate(self.nodes):
            node.ms = time.time_ns() // 1_000_000
            self._send(*node.birth())
            metrics = [metric(float(n), name=f"Process/value {n}", alias=at * 100 + n + 1) for n in range(METRICS)]
            self._send(*node.device_birth(f"D{at}", *metrics))

    def data(self) -> None:
        at = self.said % NODES
        node, self._tick = self.nodes[at], self._tick + 1
        now = time.time_ns() // 1_000_000
        said = [
            metric(20.0 + (self._tick * (n + 3)) % 1000 / 16, "", alias=at * 100 + n + 1, timestamp=now)
            for n in range(METRICS)
        ]
        self._send(f"spBv1.0/bench/DDATA/{node.name}/D{at}", payload(said, node.next(), now))
        self.said += 1

    def _send(self, topic: str, raw: bytes) -> None:
        self.client.publish(topic, raw, 0)


def main() -> None:
    """Print one JSON object."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shinkei-sparkplug-")))
        kafka = KafkaNode(folder / "kafka")
        stack.callback(kafka.kill)
        kafka.start()
        broker = Mosquitto(folder / "mosquitto")
        stack.callback(broker.stop)
        broker.start()
        (folder / "plant.toml").write_text(PLANT.format(log=kafka.bootstrap, broker=broker.url))
        gateway = PartProcess("gateway", folder / "plant.toml", folder)
        stack.callback(gateway.kill)
        gateway.start(60)
        speaker = Speaker(broker.port)
        stack.callback(speaker.client.loop_stop)
        found = measure(gateway, speaker)
        print(json.dumps(_sheet(found)), flush=True)


def measure(gateway: PartProcess, speaker: Speaker) -> dict[str, Any]:
    """Warm up, then count CPU and wall from the first message to the last one acknowledged by Kafka."""
    eventually(lambda: _source(gateway)["connected"], 30)
    speaker.births()
    eventually(
        lambda: len(_source(gateway)["machines"]) == 2 * NODES or _source(gateway)["values"] >= NODES * METRICS, 30
    )
    born = _source(gateway)["values"]
    _speak(gateway, speaker, WARM, born)
    process = psutil.Process(gateway.pid)
    before, began = process.cpu_times(), time.monotonic()
    _speak(gateway, speaker, WARM + MESSAGES, born)
    eventually(lambda: _details(gateway)["sent"]["values"] >= speaker.said * METRICS, 60)
    wall, after = time.monotonic() - began, process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    nodes = _source(gateway)["nodes"]
    assert _source(gateway)["values"] == born + speaker.said * METRICS, "a metric is missing or double"
    assert all(node["dropped"] == node["duplicates"] == node["rebirth_requests"] == 0 for node in nodes.values())
    return {
        "metrics": MESSAGES * METRICS,
        "cpu_s": round(cpu, 3),
        "wall_s": round(wall, 3),
        "rss_mb": round(process.memory_info().rss / 1e6),
    }


def _speak(gateway: PartProcess, speaker: Speaker, until: int, born: int) -> None:
    heard = _source(gateway)["values"] - born
    while speaker.said < until:
        while speaker.said < until and speaker.said - heard // METRICS < AHEAD:
            speaker.data()
        heard = _source(gateway)["values"] - born
        time.sleep(0.01)
    eventually(lambda: _source(gateway)["values"] - born >= until * METRICS, 120)


def _details(gateway: PartProcess) -> dict[str, Any]:
    details: dict[str, Any] = (gateway.health() or {})["details"]
    return details


def _source(gateway: PartProcess) -> dict[str, Any]:
    source: dict[str, Any] = _details(gateway)["sources"]["hall"]
    return source


def _sheet(found: dict[str, Any]) -> dict[str, Any]:
    conditions = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "metrics_a_message": METRICS,
        **found,
    }
    return {
        "name": "gateway.sparkplug.metrics_per_core_s", "value": round(found["metrics"] / found["cpu_s"]), "unit": "metrics/s", "better": "more",
        "must": 80_000, "aim": 150_000, "conditions": conditions,
    }  # fmt: skip


if __name__ == "__main__":
    main()
