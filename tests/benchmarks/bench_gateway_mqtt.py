"""``gateway.mqtt.msgs_per_core_s``: QoS 1 JSON of 90 bytes from mosquitto through the gateway's spool to a real Kafka node, own client and paho.

A persistent session is filled first, so that no publisher is measured; then the gateway drains it. CPU of the gateway process alone, after the
first fifth. Every message must come out of Kafka once and in order, or there is no figure.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from shinkei_events import kafka
from shinkei_events.envelope import open_record
from shinkei_events.errors import NotConnected
from shinkei_events.frames import readings
from shinkei_events.kafka import LogAddress
from shinkei_events.model.frame import Frame
from shinkei_events.topics import SIGNALS
from shinkei_gateway.mqtt.connection import Dial
from shinkei_gateway.mqtt.own import OwnConnection
from tests.support.gateway_site import write_site
from tests.support.kafka import KafkaNode
from tests.support.mosquitto import Mosquitto
from tests.support.parts import PartProcess
from tests.support.waiting import eventually

MESSAGES, TOPICS = 200_000, 50
WITHIN_S = 120.0


def main() -> None:
    """Print one JSON object."""
    own, paho = measure("own"), measure("paho")
    sheet = {
        "name": "gateway.mqtt.msgs_per_core_s", "value": own["msgs_per_core_s"], "unit": "messages/s", "better": "more",
        "must": 40_000, "aim": 80_000,
        "conditions": {
            "cpus": os.cpu_count(), "python": platform.python_version(), "messages": MESSAGES, "topics": TOPICS, "qos": 1,
            "load_before": os.getloadavg()[0], "own": own, "paho": paho,
        },
    }  # fmt: skip
    print(json.dumps(sheet), flush=True)


def measure(client: str) -> dict[str, Any]:
    """Drain a filled session with ``client``."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shinkei-mqtt-")))
        broker = Mosquitto(folder / "broker", "\nautosave_on_changes false\n")
        stack.callback(broker.kill)
        broker.start()
        size = asyncio.run(_fill(broker.port))
        node = KafkaNode(folder / "kafka")
        stack.callback(node.kill)
        node.start()
        log = LogAddress(node.bootstrap, "bench", embedded=False)
        kafka.ensure_topics(log)
        topic = {
            "filter": "plant/+/signal/+",
            "as": "signal",
            "machine": "{1}",
            "signal": "{3}",
            "time": "/ts",
            "value": "/v",
        }
        source = {
            "type": "mqtt",
            "url": broker.url,
            "client_id": "bench",
            "client": client,
            "queue": "unlimited",
            "topics": [topic],
        }
        site = write_site(folder / "site", {"m": source}, bootstrap=node.bootstrap, frame_age="100ms")
        consumer = kafka.plain_consumer(log, "bench")
        stack.callback(consumer.close)
        eventually(lambda: _assigned(consumer), 60, every=0.5)
        gateway = PartProcess("gateway", site, folder / "site")
        stack.callback(lambda: gateway.stop(20))
        gateway.start(60, ready=False)
        process = psutil.Process(gateway.pid)
        counts: dict[str, int] = {}
        come = _until(consumer, counts, 0, MESSAGES // 5)
        first, cpu, began = come, _cpu(process), time.monotonic()
        come = _until(consumer, counts, come, MESSAGES)
        used, wall = _cpu(process) - cpu, time.monotonic() - began
        return {
            "msgs_per_core_s": round((come - first) / used), "cpu_us_per_msg": round(used / (come - first) * 1e6, 2),
            "msgs_per_wall_s": round((come - first) / wall), "bytes": size, "rss_mb": round(process.memory_info().rss / 1e6),
        }  # fmt: skip


def _assigned(consumer: Any) -> bool:
    """False while a new topic has no leader yet."""
    try:
        kafka.assign_from_beginning(consumer, [SIGNALS.name])
    except NotConnected:
        return False
    return True


async def _fill(port: int) -> int:
    """Make the session, then publish into it; bytes of a payload."""
    session = OwnConnection(Dial("127.0.0.1", port, "bench"), time.time_ns)
    await session.connect()
    await session.subscribe(["plant/+/signal/+"], 1)
    await session.close()
    device = OwnConnection(Dial("127.0.0.1", port, "device", keep_session=False, timeout=60.0), time.time_ns)
    await device.connect()
    size = 0
    for begin in range(0, MESSAGES, 500):
        said = []
        for at in range(begin, begin + 500):
            document = {
                "ts": time.time_ns(),
                "v": at // TOPICS + 1,
                "unit": "mm",
                "id": f"{at:08d}",
                "src": "bench-device-01",
            }
            payload = json.dumps(document, separators=(",", ":")).encode()
            size = len(payload)
            said.append(device.publish(f"plant/M1/signal/t{at % TOPICS}", payload))
        await asyncio.gather(*said)
    await device.close()
    return size


def _until(consumer: Any, counts: dict[str, int], come: int, wanted: int) -> int:
    deadline = time.monotonic() + WITHIN_S
    while come < wanted:
        assert time.monotonic() < deadline, f"{come} of {wanted} messages after {WITHIN_S:.0f} s"
        for message in kafka.consume_batch(consumer, 500, 0.05):
            frame = open_record(message.headers(), message.value()).event
            if not isinstance(frame, Frame) or not frame.count:
                continue
            for _, name, _, value, _, _ in readings(frame):
                assert value == counts.get(name, 0) + 1, f"{name}: {value} after {counts.get(name, 0)}"
                counts[name] = counts.get(name, 0) + 1
            come += frame.count
    return come


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    main()
