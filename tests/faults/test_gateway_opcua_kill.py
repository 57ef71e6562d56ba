"""kill -9 of the gateway under load: nothing is lost or doubled while the machine's queues have room, and operations stay exact."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress
from shinkei_events.model.numbered import Gap
from shinkei_events.model.operation import Operation
from tests.support import honest_server
from tests.support.completeness import compare
from tests.support.counting_machine import CountingMachine, MachineThread, settings
from tests.support.gateway_site import write_site
from tests.support.log_reader import LogReader
from tests.support.parts import PartProcess
from tests.support.ports import free_port
from tests.support.sizes import Sizes
from tests.support.waiting import eventually


def is_connected(gateway: PartProcess) -> bool:
    health = gateway.health()
    return bool(health and health["details"]["sources"]["m1"]["connected"])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogAddress]:
    embedded = EmbeddedLog(tmp_path)
    embedded.start()
    yield LogAddress(embedded.bootstrap, embedded.log_id, embedded=True)
    embedded.stop()


def test_nothing_is_lost_or_doubled_by_kills_of_the_gateway(
    tmp_path: Path, log: LogAddress, rng: random.Random, sizes: Sizes
) -> None:
    machine = CountingMachine(free_port(), paces=(1, 3, 40))
    honest_server.WAYS.most = 5  # several messages a publishing interval: a kill comes between them
    # Room for all that comes while the gateway is started again and again, also on a machine that needs 20 s for each start.
    site = write_site(tmp_path, {"m1": settings(machine.url, queue=20_000)})
    gateway = PartProcess("gateway", site, tmp_path)
    with MachineThread(machine) as line:
        began = time.monotonic()
        gateway.start()
        eventually(lambda: is_connected(gateway), 20)
        # Values of 16 cycles outlive a second kill (`cycles.KEPT_RAW`): no more of them may pass while it is away, however slow its starts are.
        line.cycle_every = max(0.25, (time.monotonic() - began) / 2)
        line.write()
        for _ in range(sizes.of("kills of the gateway", sample=10, full=100)):
            if rng.random() < 0.7:  # else it is killed on its way up
                eventually(lambda: is_connected(gateway), 20)
            kill_at = machine.count + rng.randint(1, 60)
            eventually(lambda at=kill_at: machine.count >= at, 20, every=0.001)
            gateway.kill()
            gateway.start()
        eventually(lambda: is_connected(gateway), 20)
        connected_at = machine.count
        eventually(lambda: machine.count > connected_at + 20, 20)
        line.rest()
        reader = LogReader(log)
        reader.read(
            lambda seen: all(
                seen.readings("M1", name) and seen.readings("M1", name)[-1][1] == written[-1][1]
                for name, written in machine.written.items()
                if written
            )
        )
        reader.read(lambda seen: machine.operations[-1][0] in {event.time for event in seen.of(Operation)})
        gateway.stop()
        reader.close()
    arrived = {name: [(at, value) for at, value, _ in reader.readings("M1", name)] for name in machine.written}
    gaps = [
        {
            "t_from": gap.t_from,
            "t_to": gap.t_to,
            "channels": gap.channels,
            "kind": gap.of.kind,
            "at_least": gap.at_least,
        }
        for gap in reader.of(Gap)
    ]
    found = compare(machine.written, arrived, [gap for gap in gaps if gap["kind"] == "signals"])
    assert (found.doubled, found.unexplained) == (0, [])
    assert found.missing == 0, "the subscription outlives the gateway, and its queue had room"
    assert [gap for gap in gaps if gap["kind"] == "signals"] == []
    assert reader.holes == {}
    check_operations(machine, reader, [gap for gap in gaps if gap["kind"] == "production"])


def check_operations(machine: CountingMachine, reader: LogReader, gaps: list[dict[str, object]]) -> None:
    operations = reader.of(Operation)
    ids = [operation.operation_id for operation in operations]
    assert len(ids) == len(set(ids))
    came = {operation.time for operation in operations}
    missing = [time_ns for time_ns, _ in machine.operations if time_ns not in came]
    for time_ns in missing:
        assert any(gap["t_from"] <= time_ns <= gap["t_to"] and gap["at_least"] for gap in gaps), (
            f"operation at {time_ns} is missing without a gap"
        )  # type: ignore[operator]
    assert sum(gap["at_least"] for gap in gaps) == len(missing)  # type: ignore[misc]
    assert all(operation.unknown == [] for operation in operations)
