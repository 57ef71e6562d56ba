"""Log owner, recorder and database killed -9 under load: received = stored, nothing twice, order kept."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.settings import PlantFile, load_plant
from shinkei_gateway.intake import Draft, Reading
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.pool import connect, database_folder
from tests.support.core_gateway import CoreGateway
from tests.support.parts import PartProcess
from tests.support.store import left_by
from tests.support.waiting import eventually

MACHINES = [f"M{n}" for n in range(5)]


class Chain:
    """Embedded log and store as processes, the database beside them, the gateway's core (``more`` of it) in this one."""

    def __init__(self, folder: Path, **more: Any) -> None:
        config = folder / "plant.toml"
        config.write_text('[site]\nid = "test"\n')
        self.plant: PlantFile = load_plant(config, folder)
        self.database = EmbeddedPostgres(database_folder(self.plant))
        self.log = PartProcess("log", config, folder)
        self.store = PartProcess("store", config, folder)
        self.gateway = CoreGateway(self.plant, folder / "spool", **more)
        self.said = dict.fromkeys(MACHINES, 0)
        self.states = 0

    def start(self) -> None:
        self.database.start()
        self.log.start()
        self.store.start()
        self.gateway.start()

    def say(self, count: int) -> None:
        now = time.time_ns()
        items: list[Any] = []
        for machine in MACHINES:
            for _ in range(count):
                self.said[machine] += 1
                items.append(Reading(machine, "counter", now, self.said[machine], 0, now))
        if self.said["M0"] % 7 == 0:
            self.states += 1
            items.append(
                Draft("M0", now, now, MachineStateChanged, {"state": "EXECUTE" if self.states % 2 else "IDLE"})
            )
        self.gateway.say(items)

    def stored(self) -> dict[str, list[int]]:
        with connect(self.plant, "ui") as conn:
            rows = conn.execute(
                "select s.machine, r.number, r.value from reading r join signal s on s.id = r.signal_id order by s.machine, r.stream_id, r.number"
            ).fetchall()
        found: dict[str, list[int]] = {machine: [] for machine in MACHINES}
        for machine, number, value in rows:
            assert number == int(value), f"{machine}: number {number} is counter {value}"
            found[machine].append(int(value))
        return found

    def check(self) -> None:
        eventually(lambda: self.gateway.backlog() == 0, 60)
        assert self.stored() == {machine: list(range(1, said + 1)) for machine, said in self.said.items()}
        with connect(self.plant, "ui") as conn:
            assert conn.execute("select count(*) from state_change where machine = 'M0'").fetchone() == (self.states,)
            numbers = [row[0] for row in conn.execute("select number from event_raw order by number")]
            assert conn.execute("select count(*) from gap").fetchone() == (0,)
        assert numbers == list(range(1, len(numbers) + 1))

    def stop(self) -> None:
        self.gateway.stop()
        for part in (self.store, self.log):
            if part.alive():
                part.kill()
        self.database.stop()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    made = Chain(tmp_path)
    made.start()
    yield made
    made.stop()


def under_load(chain: Chain, rng: random.Random, victim: Callable[[], None], times: int) -> None:
    moments = sorted(rng.sample(range(10, 150), times))
    for step in range(160):
        chain.say(rng.randint(1, 40))
        if step in moments:
            victim()


def kill_store(chain: Chain) -> None:
    chain.store.kill()
    chain.store.start(ready=False)


def kill_log(chain: Chain) -> None:
    chain.log.kill()
    chain.log.start()


def kill_database(chain: Chain) -> None:
    pid = chain.database.pid
    assert pid is not None
    import os
    import signal

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not chain.database.is_alive(), 10)
    chain.database.start()


@pytest.mark.parametrize("victim", [kill_store, kill_log, kill_database], ids=["store", "log", "database"])
def test_killed_five_times_under_load(chain: Chain, rng: random.Random, victim: Callable[[Chain], None]) -> None:
    under_load(chain, rng, lambda: victim(chain), 5)
    chain.check()


def test_a_database_restored_from_yesterday_is_filled_again(chain: Chain, rng: random.Random) -> None:
    """The backup is everything that the recorder had half way; what came after is asked for again."""
    for _ in range(20):
        chain.say(10)
    eventually(lambda: chain.gateway.backlog() == 0, 30)
    with psycopg.connect(chain.database.dsn()) as conn:
        tables = ["frame", "reading", "event_raw", "state_change", "watermark", "fence", "event_raw_end"]
        for table in tables:
            conn.execute(f"create table backup_{table} as select * from {table}")
    for _ in range(20):
        chain.say(10)
    eventually(lambda: chain.gateway.backlog() == 0, 30)
    chain.store.kill()
    left_by(chain.database.dsn(), "store")
    with psycopg.connect(chain.database.dsn()) as conn:
        for table in tables:
            conn.execute(f"delete from {table}")
            conn.execute(f"insert into {table} select * from backup_{table}")
    chain.store.start()
    chain.say(1)
    chain.check()
