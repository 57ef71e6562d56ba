"""A part as a process: ready, killed, ended; and waiting itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shinkei_cli.ports import Ports
from shinkei_events.runfile import read_run
from tests.support.parts import PartProcess
from tests.support.ports import free_port, listens
from tests.support.process import ServerProcess
from tests.support.waiting import eventually, eventually_async, stays

ROOT = Path(__file__).resolve().parents[2]


def test_a_part_starts_is_killed_and_starts_again(tmp_path: Path) -> None:
    config = tmp_path / "plant.toml"
    config.write_text('[site]\nid = "test"\n')
    part = PartProcess("log", config, tmp_path / "site")
    part.start()
    first = read_run(tmp_path / "site", "log")
    assert first is not None
    assert first["pid"] == part.pid
    part.kill()
    assert not part.alive()
    part.start()
    second = read_run(tmp_path / "site", "log")
    assert second is not None
    assert second["log_id"] != first["log_id"]
    assert part.stop() == 0


def test_a_part_that_ends_at_once_is_said_with_its_last_words(tmp_path: Path) -> None:
    part = PartProcess("log", tmp_path / "nowhere.toml", tmp_path / "site")
    with pytest.raises(AssertionError, match=r"ended with 2 before it was ready[\s\S]*nowhere"):
        part.start()


def test_kill_ends_the_whole_family(tmp_path: Path) -> None:
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); print('up', flush=True); time.sleep(600)"
    server = ServerProcess([sys.executable, "-c", child], tmp_path / "log")
    server.wait_ready(lambda: "up" in server.words(), 10)
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(family) == 2
    server.kill()
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family)


def test_one_that_will_not_end_is_an_error_and_is_ended(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    server = ServerProcess([sys.executable, "-c", stubborn], tmp_path / "log")
    server.wait_ready(lambda: "up" in server.words(), 10)
    with pytest.raises(AssertionError, match=r"did not end within 0\.1 s of SIGTERM"):
        server.stop(0.1)
    assert not server.alive()


def test_a_frozen_server_hangs_and_goes_on(tmp_path: Path) -> None:
    ticking = "import itertools, time\nfor n in itertools.count(): print(n, flush=True); time.sleep(0.01)"
    server = ServerProcess([sys.executable, "-c", ticking], tmp_path / "log")
    server.wait_ready(lambda: "5\n" in server.words(), 10)
    server.freeze()
    eventually(lambda: psutil.Process(server.pid).status() == psutil.STATUS_STOPPED, 5)
    said = len(server.words())
    stays(lambda: len(server.words()) == said, 0.1)
    server.thaw()
    eventually(lambda: len(server.words()) > said, 5)
    server.kill()


def test_waiting_says_what_did_not_come() -> None:
    with pytest.raises(AssertionError, match=r"not so after 0\.3 s[\s\S]*the last answer was \[\]"):
        eventually(list, 0.05)
    with pytest.raises(AssertionError, match="did not stay so"):
        stays(lambda: False, 0.05)
    counter = iter(range(10))

    async def three() -> bool:
        return next(counter) == 3

    assert asyncio.run(eventually_async(three, 5)) is True


def test_free_ports_differ_and_nobody_listens_there() -> None:
    ports = {free_port() for _ in range(50)}
    assert len(ports) == 50
    assert not listens(ports.pop())


def test_a_port_given_away_is_chosen_by_nobody_else_as_long_as_this_process_lives() -> None:
    port = free_port()
    with Ports() as demo:
        assert demo.take(port) > port
        taken = demo.take_several(40, port + 1)
        ask = "from tests.support.ports import free_port, _is_free, _hold; import sys; print([_hold(int(p)) for p in sys.argv[1:]])"
        others = [sys.executable, "-c", ask, *(str(each) for each in [port, *taken])]
        said = subprocess.run(others, cwd=ROOT, capture_output=True, text=True, timeout=180, check=True).stdout
    assert said.strip() == str([None] * 41)
