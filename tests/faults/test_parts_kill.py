"""Every consumer killed -9 under load says the same as in an undisturbed run: same anomalies, same lineage, same alarms."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from shinkei_events.settings import load_plant
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.pool import connect, database_folder
from tests.support.caught_up import what_is_behind
from tests.support.core_gateway import CoreGateway
from tests.support.parts import PartProcess
from tests.support.script import script
from tests.support.waiting import eventually

PARTS = ("log", "store", "detect", "trace", "alerts")
SEED = 1
KILLS = 5
QUIET_S = 3.0
CONFIG = """
[site]
id = "test"
[[machines]]
name = "A1"
path = "test/area/line/A1"
[[machines]]
name = "A2"
path = "test/area/line/A2"
[[machines]]
name = "A3"
path = "test/area/line/A3"
[[conditions]]
name = "anomaly"
on = "anomaly"
priority = "P2"
[[conditions]]
name = "fault"
on = "state"
states = ["ABORTED"]
priority = "P1"
"""
QUESTIONS = {
    "anomalies": "select machine, rule, finding, phase, first, last, began, ended, score, peak, body->'signals' from anomaly order by machine, first, rule",
    "revisions": "select a.machine, a.first, e.revision, e.body->>'phase', e.time from anomaly_event e join anomaly a on a.id = e.id order by 1, 2, 3",
    "edges": "select s.serial, d.serial, e.kind, e.t_from, e.t_to, e.certainty from edge e join unit s on s.id = e.src join unit d on d.id = e.dst order by 1, 2, 3, 4",
    "events": "select u.serial, e.role, e.machine, e.op, e.result, e.ts from event e join unit u on u.id = e.unit order by 1, 2, 3, 6",
    "alarms": "select condition, machine, priority, occurrence, since, active_since, returned_at from alarm order by since, machine, condition",
    "transitions": "select a.condition, a.machine, e.revision, e.transition, e.state, e.occurrence, e.time from alarm_event e join alarm a on a.id = e.alarm order by 1, 2, a.since, 3",
    "values": "select count(*), sum(value::numeric) from reading",
    "gaps": "select count(*) from gap",
}


class Plant:
    def __init__(self, folder: Path) -> None:
        config = folder / "plant.toml"
        config.write_text(CONFIG)
        self.plant = load_plant(config, folder)
        self.database = EmbeddedPostgres(database_folder(self.plant))
        self.parts = {name: PartProcess(name, config, folder) for name in PARTS}
        self.gateway = CoreGateway(self.plant, folder / "spool")

    def start(self) -> None:
        self.database.start()
        for name, part in self.parts.items():
            part.start()
            if name == "store":
                from shinkei_store.master import apply

                apply(self.plant)
        self.gateway.start()

    def ask(self) -> dict[str, Any]:
        with connect(self.plant, "ui") as conn:
            return {name: conn.execute(sql).fetchall() for name, sql in QUESTIONS.items()}

    def settled(self, timeout: float = 180.0) -> dict[str, Any]:
        """What it says once everything is recorded and used by every part, and nothing has changed for a while."""
        eventually(lambda: self.gateway.backlog() == 0, timeout)
        last: list[tuple[float, dict[str, Any]]] = [(time.monotonic(), self.ask())]

        def quiet() -> bool:
            now = self.ask()
            if now != last[0][1] or what_is_behind(self.plant):
                last[0] = (time.monotonic(), now)
            return time.monotonic() - last[0][0] > QUIET_S

        eventually(quiet, timeout, every=0.5)
        return last[0][1]

    def stop(self) -> None:
        self.gateway.stop()
        for part in self.parts.values():
            if part.alive():
                part.kill()
        self.database.stop()


def play(folder: Path, kills: dict[int, str]) -> dict[str, Any]:
    plant = Plant(folder)
    try:
        plant.start()
        for step, items in enumerate(script(SEED)):
            plant.gateway.say(items)
            if step in kills:
                part = plant.parts[kills[step]]
                part.kill()
                part.start(ready=False)
        return plant.settled()
    finally:
        plant.stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return play(tmp_path_factory.mktemp("undisturbed"), {})


def test_the_undisturbed_run_says_something(undisturbed: dict[str, Any]) -> None:
    assert [row[0] for row in undisturbed["anomalies"]] == ["A2"]
    assert undisturbed["anomalies"][0][-1][0]["signal"] == "torque"
    assert {(row[0], row[1]) for row in undisturbed["alarms"]} == {("anomaly", "A2"), ("fault", "A3")}
    assert len(undisturbed["edges"]) == 60
    assert undisturbed["gaps"] == [(0,)]


@pytest.mark.parametrize("victim", PARTS)
def test_a_killed_part_changes_nothing(
    victim: str, undisturbed: dict[str, Any], tmp_path: Path, rng: random.Random
) -> None:
    moments = rng.sample(range(20, 350), KILLS)
    disturbed = play(tmp_path, dict.fromkeys(moments, victim))
    for name, expected in undisturbed.items():
        assert disturbed[name] == expected, f"{name} differ after kills of {victim} at steps {sorted(moments)}"
