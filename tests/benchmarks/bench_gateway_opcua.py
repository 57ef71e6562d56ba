"""The gateway's figures with OPC UA: one process of ours between made wire bytes (`tests.support.wire_server`) and a real Kafka node.

``gateway.opcua.events_per_core_s``: values a second of the gateway process's CPU, 1 000 and 10 000 tags at 50 000 values/s, the lower one; asyncua's
own handler on the same bytes beside it. ``gateway.latency_*``: from sent by the server to read from Kafka. ``gateway.rss_*``, ``gateway.first_data.s``:
memory when every item has been heard, and the time from the start of the process until then. Each run counts: every tag's values 1, 2, 3 … in order,
or there is no figure.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from asyncua import Client, ua

from shinkei_events import kafka
from shinkei_events.envelope import open_record
from shinkei_events.frames import readings
from shinkei_events.kafka import LogAddress
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import SignalDescribed
from shinkei_events.topics import PRODUCTION, SIGNALS
from tests.support.gateway_site import write_site
from tests.support.kafka import KafkaNode
from tests.support.parts import PartProcess
from tests.support.ports import free_port
from tests.support.wire_server import URI

INTERVAL_S = 0.1
WITHIN_S = 120.0


class Run:
    """A gateway with so many ``tags`` at ``rate`` values/s for ``seconds``, on a Kafka node of its own."""

    def __init__(
        self, stack: ExitStack, tags: int, rate: float, seconds: float, interval: float = INTERVAL_S, **gateway: Any
    ) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shinkei-gateway-")))
        node = KafkaNode(folder / "kafka")
        stack.callback(node.kill)
        node.start()
        log = LogAddress(node.bootstrap, "bench", embedded=False)
        kafka.ensure_topics(log)
        self.tags, self.total = tags, tags + round(rate * seconds)
        port = free_port()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.wire_server", str(port), str(tags), str(rate), str(interval), str(self.total)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(self._server.wait)
        stack.callback(self._server.kill)
        assert self._server.stdout is not None
        self._server.stdout.readline()
        source = {"type": "opcua", "url": f"opc.tcp://127.0.0.1:{port}/", "machine": "M1", "security": "none"} | {
            "signals": [{"node": f"nsu={URI};s=t{at}", "name": f"t{at}"} for at in range(tags)]
        }
        site = write_site(folder / "site", {"m1": source}, bootstrap=node.bootstrap, **gateway)
        self._consumer = kafka.plain_consumer(log, "bench")
        stack.callback(self._consumer.close)
        kafka.assign_from_beginning(self._consumer, [SIGNALS.name])
        self._log = log
        self.gateway = PartProcess("gateway", site, folder / "site")
        stack.callback(lambda: self.gateway.stop(20))
        self.began = time.monotonic()
        self.gateway.start(60, ready=False)
        self.process = psutil.Process(self.gateway.pid)
        self.counts = dict.fromkeys((f"t{at}" for at in range(tags)), 0)
        self.come = 0
        self.latencies: list[float] = []

    def until(self, values: int) -> None:
        """Read Kafka until so many values have come; AssertionError when one is missing, doubled or out of order."""
        deadline = time.monotonic() + WITHIN_S
        counts = self.counts
        while self.come < values:
            assert time.monotonic() < deadline, f"{self.come} of {values} values after {WITHIN_S:.0f} s"
            for message in kafka.consume_batch(self._consumer, 500, 0.05):
                now = time.time_ns()
                frame = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
                if not isinstance(frame, Frame) or not frame.count:
                    continue
                self.latencies.append((now - frame.t0) / 1e6)
                for _, name, _, value, _, _ in readings(frame):
                    assert value == counts[name] + 1, f"{name}: {value} after {counts[name]}"
                    counts[name] += 1
                self.come += frame.count

    def described(self) -> float:
        """Seconds from the start until every tag's unit and range were in Kafka; AssertionError when they do not come."""
        wanted = {f"t{at}" for at in range(self.tags)}
        with ExitStack() as stack:
            consumer = kafka.plain_consumer(self._log, "bench.described")
            stack.callback(consumer.close)
            kafka.assign_from_beginning(consumer, [PRODUCTION.name])
            while wanted:
                assert time.monotonic() - self.began < WITHIN_S, f"{len(wanted)} tags are not described"
                for message in kafka.consume_batch(consumer, 500, 0.05):
                    event = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
                    if isinstance(event, SignalDescribed) and event.unece == "CEL" and event.high == 1e9:
                        wanted.discard(event.name)
        return time.monotonic() - self.began

    def cpu(self) -> float:
        """Seconds so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


def per_core(tags: int) -> dict[str, Any]:
    """Values a second of CPU, after the first fifth."""
    with ExitStack() as stack:
        run = Run(stack, tags, 50_000, 12, frame_age="100ms")
        run.until(run.total // 5)
        come, cpu, began = run.come, run.cpu(), time.monotonic()
        run.until(run.total)
        values, used, wall = run.come - come, run.cpu() - cpu, time.monotonic() - began
        return {
            "tags": tags, "values_per_core_s": round(values / used), "cpu_us_per_value": round(used / values * 1e6, 2),
            "values_per_wall_s": round(values / wall), "rss_mb": round(run.process.memory_info().rss / 1e6),
        }  # fmt: skip


def latency(rate: float, **gateway: Any) -> dict[str, Any]:
    """Milliseconds of the oldest value of each frame from sent to read, after the first fifth; 200 tags, sent every 20 ms."""
    with ExitStack() as stack:
        run = Run(stack, 200, rate, 12, 0.02, **gateway)
        run.until(run.total // 5)
        run.latencies.clear()
        run.until(run.total)
        found = sorted(run.latencies)
        return {
            "p50": found[len(found) // 2],
            "p99": found[int(len(found) * 0.99)],
            "frames": len(found),
            "rate": rate,
        } | gateway


def memory(tags: int) -> dict[str, Any]:
    """MB when every item was heard, and seconds from the start of the process until then."""
    with ExitStack() as stack:
        run = Run(stack, tags, 1_000, 2)
        run.until(tags)
        first = time.monotonic() - run.began
        run.until(run.total)
        held = {"tags": tags, "mb": run.process.memory_info().rss / 1e6, "first_data_s": first}
        return held | ({"described_s": run.described(), "cpu_s": run.cpu()} if tags <= 10_000 else {})


def handler(tags: int, seconds: float) -> dict[str, Any]:
    """asyncua's own subscription with a handler that counts, on the same bytes: µs CPU a value of this process."""
    port, total = free_port(), tags + round(20_000 * seconds)
    words = [str(port), str(tags), "20000", str(INTERVAL_S), str(total)]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.wire_server", *words], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    server.stdout.readline()
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    try:
        used, count = asyncio.run(_handled(port, tags, total))
    finally:
        server.kill()
        server.wait()
    return {"tags": tags, "values": count, "cpu_us_per_value": round(used / max(1, count) * 1e6, 1)}


class Counter:
    """A handler of the library's."""

    count = 0

    def datachange_notification(self, *_: Any) -> None:
        self.count += 1


async def _handled(port: int, tags: int, total: int) -> tuple[float, int]:
    counter, client = Counter(), Client(f"opc.tcp://127.0.0.1:{port}/")
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    await client.create_session()
    await client.activate_session()
    subscription = await client.create_subscription(100, counter)
    nodes = [client.get_node(ua.NodeId(f"t{at}", 1)) for at in range(tags)]
    await subscription.subscribe_data_change(nodes, queuesize=100)
    params = ua.SetPublishingModeParameters(PublishingEnabled=True, SubscriptionIds=[1])
    await client.uaclient.set_publishing_mode(params)
    cpu, deadline = time.process_time(), time.monotonic() + WITHIN_S
    while counter.count < total and time.monotonic() < deadline:  # noqa: ASYNC110  the library has no event for it
        await asyncio.sleep(0.05)
    used = time.process_time() - cpu
    client.disconnect_socket()
    return used, counter.count


def tell(name: str, value: float, unit: str, better: str, must: float, aim: float, **conditions: Any) -> None:
    """One line of the sheet."""
    about = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        **conditions,
    }
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "better": better, "must": must, "aim": aim,
                      "conditions": about}), flush=True)  # fmt: skip


def main() -> None:
    """Print one JSON object a line."""
    runs = [per_core(tags) for tags in (1_000, 10_000)]
    worst = min(runs, key=lambda run: run["values_per_core_s"])
    tell("gateway.opcua.events_per_core_s", worst["values_per_core_s"], "values/core-s", "more", 100_000, 250_000,
         runs=runs, handler_of_asyncua_without_spool_or_kafka=handler(1_000, 4))  # fmt: skip
    for name, rate, must, aim, more in (
        ("gateway.latency_10k", 10_000, (20, 60), (12, 25), {"frame_age": "10ms"}),
        ("gateway.latency_50k", 50_000, (150, 300), (110, 180), {"frame_age": "100ms"}),
    ):
        found = latency(rate, **more)
        tell(f"{name}.p50_ms", found["p50"], "ms", "less", must[0], aim[0], **found)
        tell(f"{name}.p99_ms", found["p99"], "ms", "less", must[1], aim[1], **found)
    for tags, must_mb, aim_mb in ((10_000, 150, 100), (100_000, 500, 300)):
        held = memory(tags)
        tell(f"gateway.rss_{tags // 1000}k_items.mb", held["mb"], "MB", "less", must_mb, aim_mb, **held)
        if tags == 10_000:
            tell("gateway.first_data.s", held["first_data_s"], "s", "less", 5, 2, **held)


if __name__ == "__main__":
    main()
