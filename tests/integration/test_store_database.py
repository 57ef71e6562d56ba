"""The embedded database as a process of a site: what others see of it, while it starts, is killed, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from shinkei_events.errors import NotConnected
from shinkei_events.runfile import read_run
from shinkei_events.settings import PlantFile, load_plant
from shinkei_store import pool
from shinkei_store.leftover import server_processes
from shinkei_store.migrate import released
from tests.support.store import one
from tests.support.waiting import eventually, patient

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import signal, sys, threading
from pathlib import Path
from shinkei_events.errors import ShinkeiError
from shinkei_events.settings import load_plant
from shinkei_store.database import serve
stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
try:
    serve(load_plant(Path(sys.argv[1])), stop)
except ShinkeiError as error:
    print(type(error).__name__, error)
    sys.exit(3)
"""


@pytest.fixture
def plant(tmp_path: Path) -> PlantFile:
    file = tmp_path / "plant.toml"
    file.write_text('[site]\nid = "test"\n[[machines]]\nname = "OP10"\npath = "test/area/line1/OP10"\n')
    return load_plant(file, tmp_path / "site")


def start(plant: PlantFile) -> subprocess.Popen[str]:
    paths = os.pathsep.join(str(ROOT / part) for part in ("trace", "stream"))
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, str(plant.path)],
        env=os.environ | {"PYTHONPATH": paths, "SHINKEI_DIR": str(plant.dir)},
        stdout=subprocess.PIPE,
        text=True,
    )


def serving(plant: PlantFile, process: subprocess.Popen[str]) -> int:
    """Wait for the run file of ``process``; the server's pid."""

    def there() -> int:
        assert process.poll() is None, process.communicate()
        found = read_run(plant.dir, "database")
        return found["server"] if found is not None and found["pid"] == process.pid else 0

    return eventually(there, 60)


@pytest.fixture
def process(plant: PlantFile) -> Iterator[subprocess.Popen[str]]:
    made = start(plant)
    try:
        yield made
    finally:
        made.kill()
        made.communicate()
        eventually(lambda: server_processes(pool.database_folder(plant) / "data") == [], 30)


def test_before_its_first_start_the_database_is_not_connected(plant: PlantFile) -> None:
    with pytest.raises(NotConnected, match="shinkei store database"):
        pool.connect(plant, "store")


def test_it_is_there_with_schema_and_master_data_and_ends_when_asked(
    plant: PlantFile, process: subprocess.Popen[str]
) -> None:
    serving(plant, process)
    with pool.connect(plant, "ui") as conn:
        assert one(conn, "select current_user") == "shinkei_ui"
        assert one(conn, "select count(*) from migration") == len(released())
        assert conn.execute("select machine, line from v_machine").fetchall() == [("OP10", "test/area/line1")]
        assert one(conn, "select count(*) from outbox where topic = 'shinkei.config.v1' and key = 'machine/OP10'") == 1
        assert one(conn, "select count(*) from pg_inherits where inhparent = 'frame'::regclass") >= 4
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert time.monotonic() - began < patient(5.0)
    assert read_run(plant.dir, "database") is None
    assert server_processes(pool.database_folder(plant) / "data") == []
    with pytest.raises(NotConnected):
        pool.connect(plant, "ui")


def test_a_killed_server_comes_back_and_readers_find_it(plant: PlantFile, process: subprocess.Popen[str]) -> None:
    server = serving(plant, process)
    with pool.reader_pool(plant, "ui", max_size=2) as readers:
        with readers.connection() as conn:
            assert one(conn, "select count(*) from v_machine") == 1
        with pool.connect(plant, "alerts") as conn:
            conn.execute("insert into rota (name, ical) values ('kept', '')")
        os.kill(server, signal.SIGKILL)
        eventually(lambda: serving(plant, process) != server, 60)

        def answers() -> bool:
            try:
                with readers.connection(1.0) as conn:
                    return bool(one(conn, "select count(*) = 1 from rota"))
            except psycopg.OperationalError:
                return False

        eventually(answers, 30)


def test_a_second_process_of_the_same_folder_is_refused_and_the_first_goes_on(
    plant: PlantFile, process: subprocess.Popen[str]
) -> None:
    serving(plant, process)
    second = start(plant)
    said, _ = second.communicate(timeout=180)
    assert second.returncode == 3
    assert said.startswith("DatabaseBusy")
    with pool.connect(plant, "store") as conn:
        assert one(conn, "select 1") == 1
    assert read_run(plant.dir, "database") is not None


def test_a_second_start_keeps_what_is_stored_and_applies_what_changed(
    plant: PlantFile, process: subprocess.Popen[str]
) -> None:
    serving(plant, process)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    plant.path.write_text(plant.path.read_text().replace("line1", "line2"))
    again = start(plant)
    try:
        serving(plant, again)
        with pool.connect(plant, "store") as conn:
            assert conn.execute("select version, line from v_machine").fetchall() == [(2, "test/area/line2")]
    finally:
        again.send_signal(signal.SIGTERM)
        again.communicate(timeout=180)
