"""A Sparkplug host under kill -9, counted value by value: what the edge node said meanwhile is on record or inside a gap, nothing twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress
from shinkei_events.model.numbered import Gap
from shinkei_gateway.sparkplug.translate import BAD_NO_COMMUNICATION
from tests.support.completeness import compare, too_wide
from tests.support.gateway_site import write_site
from tests.support.log_reader import LogReader
from tests.support.mosquitto import Mosquitto
from tests.support.parts import PartProcess
from tests.support.sizes import Sizes
from tests.support.sparkplug_edge import Edge
from tests.support.waiting import eventually

MS = 1_000_000


class Measuring(threading.Thread):
    """An edge node that measures some hundred times a second until `rest`."""

    def __init__(self, edge: Edge) -> None:
        super().__init__(daemon=True)
        self.edge, self._end = edge, threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.004):
            self.edge.measure()

    def rest(self) -> None:
        self._end.set()
        self.join()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogAddress]:
    embedded = EmbeddedLog(tmp_path)
    embedded.start()
    yield LogAddress(embedded.bootstrap, embedded.log_id, embedded=True)
    embedded.stop()


def has_node(gateway: PartProcess) -> bool:
    """Whether the node's birth has come."""
    health: Any = gateway.health()
    source = health["details"]["sources"]["sp"] if health else {}
    return bool(source.get("connected") and source.get("nodes", {}).get("plant/edge", {}).get("born"))


def test_kills_of_the_host_lose_nothing_without_a_gap_record(
    tmp_path: Path, log: LogAddress, mosquitto: Mosquitto, rng: random.Random, sizes: Sizes
) -> None:
    source = {
        "type": "sparkplug", "url": f"mqtt://127.0.0.1:{mosquitto.port}", "client_id": "gw", "retry": "200ms", "rebirth": "300ms",
        "group_ids": ["plant"], "metrics": [{"filter": "State", "as": "state"}],
    }  # fmt: skip
    gateway = PartProcess("gateway", write_site(tmp_path, {"sp": source}), tmp_path)
    edge = Edge(mosquitto.port)
    gateway.start()
    edge.start()
    eventually(lambda: has_node(gateway), 60)
    measuring = Measuring(edge)
    measuring.start()
    for _ in range(sizes.of("kills of a Sparkplug host", sample=3, full=30)):
        if rng.random() < 0.7:  # else it is killed on its way up
            eventually(lambda: has_node(gateway), 60)
        kill_at = edge.count + rng.randint(1, 300)
        eventually(lambda at=kill_at: edge.count >= at, 60, every=0.001)
        gateway.kill()
        gateway.start()
    eventually(lambda: has_node(gateway), 60)
    measuring.rest()
    edge.measure()
    reader = LogReader(log)
    reader.read(lambda seen: edge.count in [value for _, value, _ in seen.readings("D1", "n")[-50:]], 60)
    reader.read(lambda seen: seen.holes == {} and seen.of(Gap, "D1"), 60)
    gateway.stop()
    edge.stop()
    written = {"n": [(at * MS, number) for at, number in edge.written]}
    arrived = {"n": [(at, value) for at, value, status in reader.readings("D1", "n") if status != BAD_NO_COMMUNICATION]}
    gaps = [
        {"t_from": g.t_from, "t_to": g.t_to, "channels": g.channels, "cause": g.cause}
        for g in reader.of(Gap, "D1")
        if g.of.kind == "signals"
    ]
    reader.close()
    found = compare(written, arrived, gaps)
    assert (found.doubled, found.unexplained, too_wide(arrived, gaps)) == (0, [], [])
    assert found.missing == found.covered > 0, gaps
