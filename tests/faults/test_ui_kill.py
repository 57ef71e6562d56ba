"""The screens killed -9 at five moments while machines live: nothing else notices, and the board comes back by itself with what holds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from shinkei_store.pool import connect
from tests.e2e.test_write_to_pixel import OPEN_WITHIN_S, Site, Turning
from tests.support.browser import Chromium
from tests.support.counting_machine import MachineThread
from tests.support.ports import free_port
from tests.support.waiting import eventually

KILLS = 5
LEVELS = {"EXECUTE": "run", "ABORTED": "fault", "HELD": "act"}


@pytest.fixture
def machine() -> Iterator[Turning]:
    made = Turning(free_port())
    with MachineThread(made, every=0.05) as thread:
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


def test_a_killed_board_comes_back_and_loses_nothing(
    site: Site, machine: Turning, chromium: Chromium, rng: random.Random
) -> None:
    screen = chromium.screen()
    screen.open(f"http://127.0.0.1:{site.port}/?lang=en")
    tile = screen.page.locator(".tile", has_text="M1")
    tile.wait_for(timeout=OPEN_WITHIN_S * 1000)
    said = ["EXECUTE"]
    machine.become("EXECUTE")
    for _ in range(KILLS):
        eventually(lambda: tile.get_attribute("data-level") == LEVELS[said[-1]], 30)
        site.parts["ui"].kill()
        for _ in range(rng.randint(1, 3)):
            said.append(rng.choice([state for state in LEVELS if state != said[-1]]))
            machine.become(said[-1])
        site.parts["ui"].start(60)
    eventually(lambda: tile.get_attribute("data-level") == LEVELS[said[-1]], 30)
    screen.close()

    def recorded() -> list[str]:
        with connect(site.plant, "ui") as conn:
            rows = conn.execute(
                "select state from state_change where machine = 'M1' and not by_gateway order by time, number"
            )
            return [state for (state,) in rows]

    eventually(lambda: recorded() == said, 20)
    with connect(site.plant, "ui") as conn:
        assert conn.execute("select count(*) from gap where not possible").fetchone() == (0,)
