"""``gateway.spool_day_10k.gb``: what a day at 10 000 readings/s takes in the spool, written through intake and group commit.

20 machines with 50 signals each at 10 Hz, one put a machine every 100 ms, noisy values with two decimals, each put with its source's
resume state (the last source time of every channel). Beside it a quiet line: puts of five values. The answer is checked by reading
every value back.

``gateway.drain.ratio``: the same 20 machines go on living while Kafka is away for half a minute (its network is cut); then how many times the live
rate reaches the log until no machine is a second behind. Every number must be on the log, in order, and the sources must have kept their pace.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from shinkei_events import kafka
from shinkei_events.codec import decode
from shinkei_events.model.frame import Frame
from shinkei_events.settings import load_plant
from shinkei_gateway.core import Core
from shinkei_gateway.intake import Batch, Reading
from tests.support.core_gateway import CoreGateway
from tests.support.kafka import KafkaNode
from tests.support.log_reader import LogReader
from tests.support.waiting import eventually

T = 1_700_000_000_000_000_000
MACHINES, SIGNALS, PUTS = 20, 50, 200
DAY_VALUES = 10_000 * 86_400
TURN_S = 0.1
RATE = MACHINES * SIGNALS / TURN_S
OUTAGE_S = 30.0


def main() -> None:
    """Print one JSON object a line."""
    loaded, quiet = _bytes_per_value(SIGNALS), _bytes_per_value(5)
    conditions: dict[str, Any] = {
        "cpus": os.cpu_count(), "python": platform.python_version(), "machines": MACHINES, "signals": SIGNALS,
        "bytes_per_value": round(loaded["bytes"], 1), "quiet_bytes_per_value": round(quiet["bytes"], 1),
        "cpu_us_per_value": round(loaded["cpu_us"], 2), "load_before": os.getloadavg()[0],
    }  # fmt: skip
    value = round(loaded["bytes"] * DAY_VALUES / 1e9, 1)
    sheet = {"name": "gateway.spool_day_10k.gb", "value": value, "unit": "GB", "better": "less", "must": 25, "aim": 12, "conditions": conditions}  # fmt: skip
    print(json.dumps(sheet), flush=True)
    drained = _drained()
    sheet = {"name": "gateway.drain.ratio", "value": drained.pop("ratio"), "unit": "x live", "better": "more", "must": 5, "aim": 10,
             "conditions": {"cpus": os.cpu_count(), "python": platform.python_version(), "live_per_s": RATE, "outage_s": OUTAGE_S} | drained}  # fmt: skip
    print(json.dumps(sheet), flush=True)


class _Line:
    """The 20 machines, in the gateway's own loop as its sources are: each says all its signals ten times a second."""

    def __init__(self, gateway: CoreGateway) -> None:
        self.gateway, self.turns, self.is_over = gateway, 0, False
        self._values = [round(random.Random(1).gauss(40, 1) + n / 100, 2) for n in range(SIGNALS)]

    async def live(self) -> None:
        began = time.monotonic()
        while not self.is_over:
            now = time.time_ns()
            for m in range(MACHINES):
                items = [Reading(f"M{m:02d}", f"s{n}", now + n, value, 0, now) for n, value in enumerate(self._values)]
                self.gateway.intake.put(Batch(f"M{m:02d}", list(items)))
            self.turns += 1
            await asyncio.sleep(max(0.0, began + self.turns * TURN_S - time.monotonic()))

    def on_log(self) -> int:
        """Numbers that the log has for sure, of all machines."""
        return sum(done - 1 for _, done in self.gateway.forwarder.on_log_of().values())


def _drained() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="shinkei-drain-") as name:
        folder, node = Path(name), KafkaNode(Path(name) / "kafka")
        try:
            node.start()
            with node.proxy() as network:
                config = folder / "plant.toml"
                config.write_text(f'[site]\nid = "bench"\n[log]\nbootstrap = "{network.address}"\n')
                gateway = CoreGateway(load_plant(config, folder), folder / "spool")
                gateway.start()
                line = _Line(gateway)
                living = asyncio.run_coroutine_threadsafe(line.live(), gateway.loop)
                try:
                    return _outage(line, network, node)
                finally:
                    line.is_over = True
                    living.result(10)
                    gateway.stop()
        finally:
            node.kill()


def _outage(line: _Line, network: Any, node: KafkaNode) -> dict[str, float]:
    process, load = psutil.Process(), os.getloadavg()[0]
    eventually(lambda: line.on_log() > 2 * RATE, 60)
    before, turns, began = process.memory_info().rss, line.turns, time.monotonic()
    network.cut()
    had = line.on_log()
    eventually(lambda: time.monotonic() - began > OUTAGE_S, OUTAGE_S + 10, every=0.2)
    away = process.memory_info().rss
    network.restore()
    eventually(lambda: line.gateway.link.connected, 30, every=0.01)
    restored, cpu = time.monotonic(), time.process_time()
    eventually(lambda: line.on_log() >= line.turns * MACHINES * SIGNALS - RATE, 120, every=0.05)
    took, cpu, drained = time.monotonic() - restored, time.process_time() - cpu, line.on_log() - had
    pace = (line.turns - turns) * TURN_S / (time.monotonic() - began)
    assert pace > 0.9, f"the sources lived at {pace:.2f} of their pace"
    line.is_over = True
    said = line.turns * SIGNALS
    reader = LogReader(kafka.LogAddress(node.bootstrap, node.cluster_id, embedded=False))
    streams = [line.gateway.intake.stream(f"M{m:02d}", "signals") for m in range(MACHINES)]
    reader.read(lambda seen: all(seen.expected(stream) > said for stream in streams), 120)
    assert reader.holes == {}
    reader.close()
    return {
        "ratio": round(drained / took / RATE, 1), "ratio_per_core_second": round(drained / cpu / RATE, 1), "drained_values": drained,
        "wall_s": round(took, 2), "cpu_s": round(cpu, 2), "memory_mb": round(before / 1e6), "memory_away_mb": round(away / 1e6),
        "memory_after_mb": round(process.memory_info().rss / 1e6), "pace": round(pace, 2), "load_before": load,
    }  # fmt: skip


def _bytes_per_value(at_once: int) -> dict[str, float]:
    """Bytes on disk and CPU microseconds a value with ``at_once`` values in each put."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="shinkei-spool-") as folder:
        core = Core(Path(folder), "bench", "0")
        last = {f"M{m:02d}": dict.fromkeys((f"s{n}" for n in range(SIGNALS)), T) for m in range(MACHINES)}
        began = time.process_time()
        written = 0
        for step in range(PUTS):
            done = []
            for machine, times in last.items():
                now = T + step * 100_000_000 + rng.randrange(10_000_000)
                names = rng.sample(sorted(times), at_once)
                items = [Reading(machine, name, now + n * 1000, round(rng.gauss(40, 1), 2), 0, now + 5_000_000) for n, name in enumerate(names)]  # fmt: skip
                times |= {item.channel: item.time for item in items}
                done.append(
                    core.intake.put(Batch(machine, list(items), {"last": dict(times), "state": {"told": "EXECUTE"}}))
                )
                written += at_once
            for future in done:
                future.result(30)
        cpu = time.process_time() - began
        assert _read_back(core) == written
        found = {"bytes": core.spool.used() / written, "cpu_us": cpu / written * 1e6}
        core.close(5)
    return found


def _read_back(core: Core) -> int:
    count, at = 0, core.spool.begin()
    while (step := core.spool.read(at)) is not None:
        batch, at = step
        for entry, payload in zip(batch.index.entries, batch.payloads(), strict=True):
            event = decode(entry.type, payload)
            count += event.count if isinstance(event, Frame) else 0
    return count


if __name__ == "__main__":
    main()
