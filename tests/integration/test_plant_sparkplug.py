"""The line's Sparkplug device at a real broker: what the gateway hears is the ledger, also when it was away for a while."""

from __future__ import annotations

import asyncio
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shinkei_events.model.operation import Operation
from shinkei_events.settings import Duration, strict
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.settings import GatewaySettings, sources_of
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.source import SparkplugHost
from shinkei_plant import ledger
from shinkei_plant.broker import Broker
from shinkei_plant.sample import plant_toml
from shinkei_plant.settings import PlantSettings
from tests.integration.test_plant_mqtt import detail, running
from tests.support.fake_intake import FakeIntake
from tests.support.mosquitto import Mosquitto
from tests.support.plant import plant_ports
from tests.support.ports import free_port
from tests.support.waiting import eventually_async


def source(folder: Path, broker: str, intake: FakeIntake) -> SparkplugHost:
    """As the sample configures it."""

    text = plant_toml(ports=plant_ports(), broker=broker)
    gateway = strict(tomllib.loads(text)["gateway"], GatewaySettings, "gateway")
    (settings,) = [one for one in sources_of(gateway).values() if isinstance(one, SparkplugSource)]
    return SparkplugHost("washing", settings, intake, folder)


def heard(intake: FakeIntake, history: bool) -> set[tuple[str, int, Any]]:
    found = set()
    for batch in intake.batches:
        if batch.history == history:
            for item in batch.items:
                if isinstance(item, Reading) and item.status == 0:
                    found.add((item.channel, item.time, item.value))
                elif isinstance(item, Draft) and item.type is Operation:
                    found.add(("@operation", item.time, item.fields["operation_id"]))
    return found


async def quiet(intake: FakeIntake, looks: int = 10) -> None:
    """Return when nothing came between ``looks`` looks, 0.1 s apart: nothing tells a host that no more history comes."""
    seen, same = -1, 0
    while same < looks:
        await asyncio.sleep(0.1)
        now = len(intake.batches)
        same, seen = (same + 1 if now == seen else 0), now


def said(folder: Path) -> set[tuple[str, int, Any]]:
    return {(line["signal"], line["t"], line["v"]) for line in ledger.read(folder / "ledger") if "signal" in line}


def plant(folder: Path, broker: str, seconds: float) -> PlantSettings:
    return PlantSettings(seed=2, speed=20.0, calm=True, machines=("OP30",), broker=broker, ports=plant_ports(),
                         ledger=folder / "ledger", length=Duration(seconds), wait=Duration(300.0))  # fmt: skip


@pytest.mark.parametrize("program", [None, ""], ids=["mosquitto", "amqtt"])
def test_the_gateway_hears_the_ledger(program: str | None, tmp_path: Path) -> None:
    """At both brokers that the plant may start."""
    found = Broker("127.0.0.1", free_port(), tmp_path / "broker", program=program)
    found.start()
    try:
        _hears_the_ledger(f"mqtt://127.0.0.1:{found.port}", tmp_path)
    finally:
        found.stop()


def _hears_the_ledger(url: str, tmp_path: Path) -> None:
    def operations() -> list[int]:
        return [line["t"] for line in ledger.read(tmp_path / "ledger") if "operation" in line]

    async def test() -> None:
        intake, stop = FakeIntake(), asyncio.Event()
        host = source(tmp_path, url, intake)
        task = asyncio.create_task(host.run(stop))
        with running(plant(tmp_path, url, 150.0), tmp_path):
            await eventually_async(lambda: detail(tmp_path, "done"), 60)
            # A value that nobody knows is a reading too, and operations are told beside the values: all are waited for.
            await eventually_async(lambda: said(tmp_path) <= heard(intake, history=False), 30)
            await eventually_async(lambda: len(intake.drafts(Operation)) >= len(operations()), 30)
        stop.set()
        await asyncio.wait_for(task, 60)
        signals = {one for one in heard(intake, history=False) if one[0] != "@operation"}
        assert signals == said(tmp_path)
        live = [reading for reading in intake.readings() if reading.status == 0]
        assert len(live) == len(signals) > 400
        assert [draft.time for draft in intake.drafts(Operation)] == operations()
        assert intake.gaps() == []

    asyncio.run(test())


def test_what_happened_while_the_host_was_away_follows_as_history(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async def test() -> None:
        intake, stop = FakeIntake(), asyncio.Event()
        task = asyncio.create_task(source(tmp_path, mosquitto.url, intake).run(stop))
        with running(plant(tmp_path, mosquitto.url, 240.0), tmp_path):
            await eventually_async(lambda: len(intake.readings()) > 60, 60)
            stop.set()
            await asyncio.wait_for(task, 60)
            await asyncio.to_thread(time.sleep, 1.0)  # the host's absence itself: plant time passes, nobody listens
            again = asyncio.Event()
            task = asyncio.create_task(source(tmp_path, mosquitto.url, intake).run(again))
            await eventually_async(lambda: detail(tmp_path, "done"), 60)
            everything = said(tmp_path)
            await eventually_async(lambda: max(one[1] for one in everything) in {r.time for r in intake.readings()}, 30)
            await quiet(intake)  # what waited at the device may come after what is of now
            again.set()
            await asyncio.wait_for(task, 60)
        live, past = heard(intake, history=False), heard(intake, history=True)
        assert past
        missing = everything - live - past
        spans = [(gap["t_from"], gap["t_to"]) for gap in intake.gaps()]
        assert all(any(begin <= time <= end for begin, end in spans) for _, time, _ in missing)
        assert len(missing) < len(past)

    asyncio.run(test())
