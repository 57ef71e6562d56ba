"""From a write at an OPC UA server to the tile in a browser, through the real chain; and what the board says when the gateway dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from shinkei_events.settings import load_plant
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.master import apply
from shinkei_store.pool import database_folder
from tests.support.browser import Chromium
from tests.support.counting_machine import CountingMachine, MachineThread, micro, settings
from tests.support.parts import PartProcess
from tests.support.ports import free_port
from tests.support.waiting import eventually, patient

TURNS, ROUNDS = 20, 3
P95_WITHIN_S = 2.0
STALE_WITHIN_S = 10.0
"""Both on a machine of its own; this test shares its machine, so it asserts the median of the turns, and the rest with room; and a shared
machine may be slow for one round of turns, where a chain that is slow is so in all of them."""
OPEN_WITHIN_S = 60.0
PARTS = ("log", "store", "gateway", "ui")


class Turning(CountingMachine):
    """A machine whose state the test sets, from its own thread."""

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        await super().start()

    def become(self, state: str) -> float:
        """Write the state; returns the moment (monotonic s) at which the server had it."""
        written = self.write("State", state, ua.VariantType.String, micro(time.time_ns()))
        asyncio.run_coroutine_threadsafe(written, self.loop).result(60)
        return time.monotonic()


class Site:
    def __init__(self, folder: Path, machine: Turning) -> None:
        self.port = free_port()
        source = _toml(settings(machine.url))
        config = folder / "plant.toml"
        config.write_text(
            f'[site]\nid = "test"\n[gateway]\nid = "gw"\nsources.m1 = {source}\n[ui]\nport = {self.port}\nlanguage = "en"\n'
            '[[machines]]\nname = "M1"\npath = "test/area/line/M1"\n'
        )
        self.plant = load_plant(config, folder)
        self.database = EmbeddedPostgres(database_folder(self.plant))
        self.parts = {name: PartProcess(name, config, folder) for name in PARTS}

    def start(self) -> None:
        self.database.start()
        for name, part in self.parts.items():
            part.start(60, ready=name != "gateway")
            if name == "store":
                apply(self.plant)

    def stop(self) -> None:
        for part in reversed(self.parts.values()):
            if part.alive():
                part.kill()
        self.database.stop()


def _toml(value: Any) -> str:
    """TOML of what JSON can say (inline tables)."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[ " + ", ".join(map(_toml, value)) + " ]"
    return json.dumps(value)


@pytest.fixture
def machine() -> Iterator[Turning]:
    made = Turning(free_port())
    with MachineThread(made, every=0.1) as thread:
        thread.write()
        yield made


@pytest.fixture
def site(tmp_path: Path, machine: Turning) -> Iterator[Site]:
    made = Site(tmp_path, machine)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_stopped_machine_turns_and_a_dead_gateway_shows(
    site: Site, machine: Turning, chromium: Chromium, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = chromium.screen()
    screen.open(f"http://127.0.0.1:{site.port}/?lang=en")
    page = screen.page
    tile = page.locator(".tile", has_text="M1")
    tile.wait_for(timeout=OPEN_WITHIN_S * 1000)
    machine.become("EXECUTE")
    eventually(lambda: tile.get_attribute("data-level") == "run", 20)
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "live", 20)
    for _ in range(ROUNDS):
        took = []
        for turn in range(TURNS):
            state, level = ("ABORTED", "fault") if turn % 2 == 0 else ("EXECUTE", "run")
            written = machine.become(state)
            eventually(lambda wanted=level: tile.get_attribute("data-level") == wanted, 10, every=0.005)
            took.append(time.monotonic() - written)
        took.sort()
        if took[TURNS // 2] <= P95_WITHIN_S:
            break
    p95 = took[int(0.95 * len(took)) - 1]
    figure = {
        "name": "chain.write_to_pixel.p95_ms",
        "value": round(p95 * 1000),
        "unit": "ms",
        "better": "less",
        "must": 2000,
        "aim": 500,
    }
    with capsys.disabled():
        print("\n" + json.dumps(figure | {"conditions": {"turns": TURNS, "median_ms": round(took[TURNS // 2] * 1000)}}))
    assert took[TURNS // 2] <= P95_WITHIN_S
    assert p95 <= patient(P95_WITHIN_S)
    site.parts["gateway"].kill()
    died = time.monotonic()
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "stale", STALE_WITHIN_S)
    assert time.monotonic() - died <= patient(STALE_WITHIN_S)
    assert page.locator(".age").inner_text().endswith(" s old")
    assert screen.seen.errors == []
    assert screen.seen.abroad() == []
    screen.close()
