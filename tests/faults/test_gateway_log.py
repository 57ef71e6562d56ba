"""Kafka killed -9, refused and hung under load: the sources never wait, nothing is missing or double on record, and it goes on by itself.

The gateway reaches Kafka through a proxy of its own; the recorder does not, so that what is tested is the gateway. Kafka may hold repeats:
the record is judged, by numbers. At full size an outage is longer than librdkafka's patience (60 s a request, 5 min a message).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from shinkei_events.errors import NotConnected
from shinkei_events.kafka import find_log
from shinkei_events.settings import load_plant
from shinkei_gateway.intake import Reading
from shinkei_store.pool import connect
from tests.support.core_gateway import CoreGateway
from tests.support.kafka import KafkaNode
from tests.support.log_reader import LogReader
from tests.support.parts import PartProcess
from tests.support.proxy import Proxy
from tests.support.sizes import Sizes
from tests.support.waiting import eventually, patient

MACHINES = [f"M{n}" for n in range(4)]
AT_ONCE = 25
LIVE_AGAIN_S = 5.0
PUT_S = 2.0
"""Both on a machine of its own; a source that waits for the log waits for as long as it is away."""
MEMORY_MB = 120
"""The client's queue may hold 64 MiB; the spool holds the rest."""


class Plant:
    def __init__(self, folder: Path, kafka: KafkaNode, dsn: str, proxy: Proxy) -> None:
        def config(name: str, bootstrap: str) -> Path:
            path = folder / name
            path.write_text(f'[site]\nid = "test"\n[log]\nbootstrap = "{bootstrap}"\n[store]\ndsn = "{dsn}"\n')
            return path

        near = config("plant.toml", kafka.bootstrap)
        self.plant = load_plant(near, folder)
        self.store = PartProcess("store", near, folder)
        self.gateway = CoreGateway(load_plant(config("far.toml", proxy.address), folder), folder / "spool")
        self.said = 0
        self.slowest = 0.0
        self.is_done = False
        self._rest = threading.Event()
        self._load = threading.Thread(target=self._say, daemon=True)

    def start(self) -> None:
        self.store.start(60)
        self.gateway.start()
        self._load.start()
        eventually(lambda: self.recorded() > 100, 60)

    def _say(self) -> None:
        while not self._rest.is_set():
            now, began = time.time_ns(), time.monotonic()
            counts = range(self.said + 1, self.said + AT_ONCE + 1)
            self.gateway.say([Reading(machine, "counter", now, n, 0, now) for machine in MACHINES for n in counts])
            self.said += AT_ONCE
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._rest.wait(0.02)
        self.is_done = True

    def recorded(self) -> int:
        """Up to which counter every machine is on record, as the gateway knows it."""
        state = self.gateway.forwarder.state()
        found = {name.split("/")[1]: recorded for name, (_, _, recorded) in state.items() if name.endswith("/signals")}
        return min((found.get(machine, 1) - 1 for machine in MACHINES), default=0)

    def reader(self) -> LogReader:
        """As soon as Kafka serves: after a kill it answers before it leads its partitions."""
        found: list[LogReader] = []

        def is_open() -> bool:
            with suppress(NotConnected):
                found.append(LogReader(find_log(self.plant), keep=False))
            return bool(found)

        eventually(is_open, 60, every=0.2)
        return found[0]

    def on_log(self, reader: LogReader, counter: int) -> None:
        """Wait until ``counter`` of every machine is on the log, with all numbers before it."""
        streams = [self.gateway.intake.stream(machine, "signals") for machine in MACHINES]
        try:
            reader.read(lambda seen: all(seen.expected(stream) > counter for stream in streams), LIVE_AGAIN_S)
            assert reader.holes == {}
        finally:
            reader.close()

    def rest(self) -> None:
        self._rest.set()
        self._load.join(60)
        assert self.is_done, "the sources never waited too long"
        eventually(lambda: self.gateway.backlog() == 0, 120)

    def stored(self) -> dict[str, list[tuple[int, int]]]:
        """Machine to (number, counter), in the order of the rows."""
        with connect(self.plant, "ui") as conn:
            rows: list[Any] = conn.execute(
                "select s.machine, r.number, r.value from reading r join signal s on s.id = r.signal_id order by s.machine, r.stream_id, r.number"
            ).fetchall()
        found: dict[str, list[tuple[int, int]]] = {machine: [] for machine in MACHINES}
        for machine, number, value in rows:
            found[machine].append((number, int(value)))
        return found

    def stop(self) -> None:
        self._rest.set()
        self.gateway.stop()
        if self.store.alive():
            self.store.kill()


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.fixture
def proxy(kafka: KafkaNode) -> Iterator[Proxy]:
    with kafka.proxy() as found:
        yield found


def killed(kafka: KafkaNode, _proxy: Proxy, outage: Callable[[], None]) -> None:
    kafka.kill()
    outage()
    kafka.start()


def refused(_kafka: KafkaNode, proxy: Proxy, outage: Callable[[], None]) -> None:
    proxy.cut()
    outage()
    proxy.restore()


def hung(_kafka: KafkaNode, proxy: Proxy, outage: Callable[[], None]) -> None:
    proxy.hang()
    outage()
    proxy.restore()


@pytest.mark.parametrize("fault", [killed, refused, hung])
def test_an_outage_of_kafka_costs_nothing(
    tmp_path: Path,
    kafka: KafkaNode,
    postgres: str,
    proxy: Proxy,
    sizes: Sizes,
    fault: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> None:
    length = sizes.of("seconds without Kafka", sample=10 if fault is hung else 4, full=320)
    with ExitStack() as ending:
        plant = Plant(tmp_path, kafka, postgres, proxy)
        ending.callback(plant.stop)
        plant.start()
        memory = resident_mb()
        plant.slowest = 0.0

        def outage() -> None:
            began, said = time.monotonic(), plant.said
            eventually(lambda: time.monotonic() - began > length, length + 60)
            assert plant.said > said, "the sources went on"
            if length > 6:
                eventually(lambda: not plant.gateway.link.connected)  # and the gateway says that the log is away

        fault(kafka, proxy, outage)
        reader = plant.reader()
        back, said = time.monotonic(), plant.said
        plant.on_log(reader, said)
        live_again, grown = time.monotonic() - back, resident_mb() - memory
        plant.rest()
        stored = plant.stored()
        said = plant.said
        with connect(plant.plant, "ui") as conn:
            gaps = conn.execute("select count(*) from gap").fetchone()
    record_property("live_again_s", round(live_again, 2))
    print(
        f"\n{fault.__name__}: live again {live_again:.2f} s, memory {grown:+.0f} MB, slowest put {plant.slowest:.2f} s, {said} a machine"
    )
    assert stored == {machine: [(n, n) for n in range(1, said + 1)] for machine in MACHINES}
    assert gaps == (0,)
    assert plant.slowest < patient(PUT_S), "a source has waited for the log"
    assert live_again < patient(LIVE_AGAIN_S)
    assert grown < MEMORY_MB
