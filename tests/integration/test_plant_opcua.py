"""Machines as OPC UA servers, listened to by the library's own client: what it is told is what the ledger says, exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict, deque
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from asyncua import Client, ua

from shinkei_events.runfile import read_run
from shinkei_events.settings import Duration
from shinkei_plant import ledger
from shinkei_plant.catalog import CHARACTERISTICS, SIGNALS
from shinkei_plant.line import LIVE_GRID, Line
from shinkei_plant.nodes import reading_node
from shinkei_plant.settings import PlantSettings
from tests.support.plant import Told, detail, listening, plant_ports, running
from tests.support.ports import listens
from tests.support.process import ServerProcess
from tests.support.waiting import eventually, eventually_async, patient

READINGS = [reading_node(one.name) for one in CHARACTERISTICS if one.operation == "OP20"]
SIGNAL_NODES = [f"Signals.{one.name}" for one in SIGNALS if one.machine == "OP20"]
OTHERS = [
    "State",
    "StateReason",
    "Product",
    "Recipe",
    "Tool",
    "Energy",
    "Setup.tool",
    "Setup.program",
    "Cycle.Operation",
    *READINGS,
    "Cycle.Done",
]


async def listen_to_op20(settings: PlantSettings, folder: Path) -> Told:
    url = f"opc.tcp://127.0.0.1:{settings.ports['OP20']}/"
    await eventually_async(lambda: read_run(folder, "plant") is not None)
    deadline = time.monotonic() + patient(20)
    values = int(float(settings.length or 0.0) * 10)
    while True:
        try:
            async with listening(url, "OP20", SIGNAL_NODES + OTHERS) as (_, told):
                await eventually_async(lambda: detail(folder, "done"), 40)
                await eventually_async(lambda: len(told.values["Signals.torque"]) > values, 10)
                await told.quiet()
                return told
        except (TimeoutError, ConnectionError, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """A minute of OP20 at 10 times the speed: what a client was told by node, and the ledger."""
    folder = tmp_path_factory.mktemp("plant")
    settings = PlantSettings(
        seed=4, speed=10.0, calm=True, machines=("OP20",), ports=plant_ports(), ledger=folder / "ledger", length=Duration(75.0), wait=Duration(300.0)
    )  # fmt: skip
    with running(settings, folder):
        told = asyncio.run(listen_to_op20(settings, folder))
    return told.values, list(ledger.read(folder / "ledger"))


def test_every_value_once_in_order_with_its_source_time(minute: Any) -> None:
    told, written = minute
    expected = defaultdict(list)
    for line in written:
        if "signal" in line:
            expected[f"Signals.{line['signal']}"].append((line["t"], line["v"], 0))
    assert sum(map(len, expected.values())) > 2900
    for node in SIGNAL_NODES:
        assert told[node] == expected[node]


def test_handshake_gives_every_operation_once(minute: Any) -> None:
    told, written = minute
    expected = [line["operation"] for line in written if "operation" in line]
    assert len(expected) >= 9
    edges = told["Cycle.Done"][1:]
    assert [(time, count) for time, count, _ in edges] == [(done["ended"], done["counter"]) for done in expected]
    texts = {time: value for time, value, _ in told["Cycle.Operation"] if value}
    assert [msgspec.json.decode(texts[done["ended"]]) for done in expected] == expected
    for node, name in zip(READINGS, ("bore_diameter", "roundness"), strict=True):
        values = {time: value for time, value, _ in told[node]}
        for done in expected:
            assert values[done["ended"]] == next(one["value"] for one in done["readings"] if one["name"] == name)


def test_before_the_first_cycle_nothing_is_handed_out(minute: Any) -> None:
    told, _ = minute
    for node in ("Cycle.Operation", *READINGS):
        _, value, status = told[node][0]
        assert value is None
        assert status == ua.StatusCodes.BadWaitingForInitialData
    assert told["Cycle.Done"][0][1] == 0


def test_states_setup_and_energy_are_those_of_the_ledger(minute: Any) -> None:
    told, written = minute
    states = [line["state"] for line in written if "state" in line]
    assert [(time, value) for time, value, _ in told["State"]] == [(state["ts"], state["state"]) for state in states]
    for state in states:
        for node, key in (("StateReason", "reason"), ("Product", "product"), ("Recipe", "recipe"), ("Tool", "tool")):
            assert [value for time, value, _ in told[node] if time == state["ts"]] == [state.get(key)]
    mounted = [
        (line["t"], line["setup"]["slot"], line["setup"]["unit"])
        for line in written
        if "setup" in line and line["setup"]["action"] == "mounted"
    ]
    for slot in ("tool", "program"):
        assert [(t, slot, v) for t, v, _ in told[f"Setup.{slot}"] if v] == [
            entry for entry in mounted if entry[1] == slot
        ]
    assert [(t, v) for t, v, _ in told["Energy"]] == [
        (line["t"], line["energy"]["value"]) for line in written if "energy" in line
    ]


def test_nodes_say_unit_and_range(tmp_path: Path) -> None:
    settings = PlantSettings(calm=True, machines=("OP20",), ports=plant_ports(), wait=Duration(60.0))

    async def look() -> None:
        async with Client(f"opc.tcp://127.0.0.1:{settings.ports['OP20']}/", timeout=60) as client:
            index = await client.get_namespace_index("urn:shinkei:plant:OP20")
            torque = client.get_node(ua.NodeId("Signals.torque", index))
            span = await client.get_node(ua.NodeId("Signals.torque.EURange", index)).read_value()
            unit = await client.get_node(ua.NodeId("Signals.torque.EngineeringUnits", index)).read_value()
            assert (span.Low, span.High) == (0.0, 60.0)
            assert unit.DisplayName.Text == "N·m"
            assert unit.UnitId == int.from_bytes(b"NU", "big")
            assert (await torque.read_description()).Text == "Spindle torque"
            names = {(await child.read_browse_name()).Name for child in await torque.get_properties()}
            assert names == {"EURange", "EngineeringUnits"}

    with running(settings, tmp_path):
        eventually(lambda: listens(settings.ports["OP20"]), 20)
        asyncio.run(look())


def test_a_cut_machine_is_away_and_comes_back(tmp_path: Path) -> None:
    """OP40 loses its clients and their subscriptions for 40 s of plant time, and its ledger says from when to when."""
    settings = PlantSettings(
        speed=10.0, calm=True, machines=("OP40",), ports=plant_ports(), ledger=tmp_path / "ledger", truth=tmp_path / "truth",
        length=Duration(70.0), faults=("network_cut@15",), wait=Duration(300.0),
    )  # fmt: skip
    url = f"opc.tcp://127.0.0.1:{settings.ports['OP40']}/"

    async def look(timeout: float = 2) -> str:
        try:
            async with Client(url, timeout=timeout):
                return "here"
        except (TimeoutError, ua.UaError):  # cut in the middle of it, or the machine that runs this stands still
            return "unknown"
        except OSError:
            return "away"

    async def watch() -> list[str]:
        seen, deadline = [], time.monotonic() + patient(30)
        async with listening(url, "OP40", ["State"]):  # the machine begins when somebody listens
            seen.append("here")
        while not detail(tmp_path, "done"):
            assert time.monotonic() < deadline
            seen.append(await look())
            await asyncio.sleep(0.1)
        return [*seen, await look(60)]  # by now it stays as it is, and is waited for

    with running(settings, tmp_path):
        eventually(lambda: listens(settings.ports["OP40"]), 20)
        seen = asyncio.run(watch())
    seen = [now for now in seen if now != "unknown"]
    changes = [seen[0], *(now for before, now in pairwise(seen) if now != before)]
    assert changes == ["here", "away", "here"]
    cuts = [(line["cut"], line["t"]) for line in ledger.read(tmp_path / "ledger") if "cut" in line]
    assert [cut for cut, _ in cuts] == ["begin", "end"]
    assert cuts[1][1] - cuts[0][1] == 40 * 10**9


def test_processes_of_one_seed_are_one_line(tmp_path: Path) -> None:
    """Processes that serve one machine each emit, together, exactly what the simulation of the whole line says."""
    begin, seconds = datetime(2026, 11, 23, 6, tzinfo=UTC), 120
    processes = []
    for machine in ("OP10", "OP20"):
        folder = tmp_path / machine
        folder.mkdir()
        ports = ",".join(f"{name}={port}" for name, port in plant_ports().items())
        words = ["--dir", folder, "--seed", 9, "--speed", 40, "--calm", "--machines", machine, "--start", begin.isoformat(), "--length", f"{seconds}s",
                 "--wait", "0s", "--ledger", folder / "ledger", "--ports", ports]  # fmt: skip
        processes.append((folder, plant_process(folder / "log", *map(str, words))))
    emitted: set[bytes] = set()
    for folder, process in processes:
        try:
            process.wait_ready(lambda folder=folder: detail(folder, "done"), 40)  # type: ignore[misc]
        finally:
            process.stop()
        emitted |= set((folder / "ledger").read_bytes().splitlines())
    start = int(begin.timestamp()) * 10**9
    line = Line(9, start)
    deque(line.play(start), maxlen=0)
    machines = frozenset(("OP10", "OP20"))
    expected = {
        ledger.line_of(record)
        for record in line.play(start + seconds * 10**9, LIVE_GRID, machines)
        if record.machine in machines
    }
    assert len(expected) > 4000
    assert {entry for entry in emitted if msgspec.json.decode(entry)["t"] > start} == expected


def plant_process(log: Path, *words: str) -> ServerProcess:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in ("gateway", "stream"))
    }
    return ServerProcess([sys.executable, "-m", "shinkei_plant", *words], log, env=environment)


def test_ends_within_a_second_and_leaves_nothing(tmp_path: Path) -> None:
    ports = ",".join(f"{name}={port}" for name, port in plant_ports().items())
    for number in (signal.SIGTERM, signal.SIGINT):
        process = plant_process(tmp_path / "log", "--dir", str(tmp_path), "--wait", "0s", "--ports", ports)
        try:
            process.wait_ready(lambda: (read_run(tmp_path, "plant") or {}).get("http") and detail(tmp_path, "live"), 40)
            children = psutil.Process(process.pid).children(recursive=True)
            began = time.monotonic()
            process.send(number)
            assert process.process.wait(60) == 0
            assert time.monotonic() - began < patient(1.5)
            assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
            assert read_run(tmp_path, "plant") is None
        finally:
            process.kill()
