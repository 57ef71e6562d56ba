"""The supervisor with small real programs: order, crashes, hangs, and that nothing is left whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shinkei_cli import supervisor as supervisor_module
from shinkei_cli.child import Program
from shinkei_cli.supervisor import News, Supervisor
from shinkei_events.runfile import read_run
from tests.support.waiting import eventually, patient

OBEDIENT = """
import os, sys, threading
from shinkei_cli.lifeline import Lifeline
stop = threading.Event()
with Lifeline(stop.set):
    open(sys.argv[1], "w").write(str(os.getpid()))
    stop.wait()
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
inner = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
open(sys.argv[1] + ".inner", "w").write(str(inner.pid))
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""
HUNG = """
import os, sys, threading, time
from shinkei_cli.lifeline import Lifeline
with Lifeline(lambda: None):
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(600)
"""


PATHS = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
"""The children import from where this test does, installed or not."""


class Heard:
    """Collects the supervisor's news."""

    def __init__(self) -> None:
        self.news: list[tuple[News, str, dict[str, Any]]] = []

    def __call__(self, news: News, name: str, about: dict[str, Any]) -> None:
        self.news.append((news, name, about))

    def kinds(self, name: str) -> list[News]:
        return [news for news, who, _ in self.news if who == name]


def script(tmp_path: Path, name: str, text: str, **more: Any) -> Program:
    mark = tmp_path / name
    return Program(name, (sys.executable, "-c", text, str(mark)), PATHS, ready=lambda pid: mark.exists(), **more)


def supervise(supervisor: Supervisor, until: Callable[[], bool], timeout: float = 20.0) -> None:
    """Run until it is so; AssertionError when it is not in time."""
    deadline = time.monotonic() + patient(timeout)
    supervisor.run(until=lambda: until() or time.monotonic() > deadline)
    assert until()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def pid_in(path: Path) -> int:
    return int(eventually(lambda: path.exists() and path.read_text(), 10))


def test_programs_start_in_order_and_are_ready(tmp_path: Path) -> None:
    heard = Heard()
    programs = [script(tmp_path, "second", OBEDIENT, after=("first",)), script(tmp_path, "first", OBEDIENT)]
    with Supervisor(tmp_path, programs, heard) as supervisor:
        supervise(supervisor, supervisor.ready)
        assert [who for news, who, _ in heard.news if news is News.STARTED] == ["first", "second"]
        assert heard.news.index(next(n for n in heard.news if n[:2] == (News.READY, "first"))) < heard.news.index(
            next(n for n in heard.news if n[:2] == (News.STARTED, "second"))
        )
        pids = supervisor.pids()
        run = read_run(tmp_path, "supervisor")
        assert run is not None
        assert run["parts"]["first"]["pid"] == pids["first"]
    assert not any(alive(pid) for pid in pids.values())
    assert read_run(tmp_path, "supervisor") is None


def test_a_program_is_not_kept_waiting_for_ever(tmp_path: Path) -> None:
    never = Program("never", (sys.executable, "-c", "import time; time.sleep(600)"), ready=lambda pid: False)
    with Supervisor(
        tmp_path, [never, script(tmp_path, "other", OBEDIENT, after=("never",), wait_at_most=0.2)], Heard()
    ) as supervisor:
        supervise(supervisor, lambda: supervisor.ready("other"))


def test_a_crash_is_started_again_counted_and_told_with_the_last_words(tmp_path: Path) -> None:
    heard = Heard()
    crash_once = "import os, sys\nif not os.path.exists(sys.argv[1]): open(sys.argv[1], 'w').close(); sys.exit('the disk is full')\nimport time; time.sleep(600)"
    with Supervisor(tmp_path, [script(tmp_path, "frail", crash_once)], heard) as supervisor:
        supervise(supervisor, lambda: supervisor.restarts()["frail"] == 1 and "frail" in supervisor.pids())
    crashed = next(about for news, _, about in heard.news if news is News.CRASHED)
    assert crashed["code"] == 1
    assert crashed["last"] == "the disk is full"


def test_back_off_grows(tmp_path: Path) -> None:
    heard = Heard()
    with Supervisor(tmp_path, [Program("frail", (sys.executable, "-c", "raise SystemExit(1)"))], heard) as supervisor:
        supervise(supervisor, lambda: supervisor.restarts()["frail"] == 3)
    assert [about["again_in"] for news, _, about in heard.news if news is News.CRASHED] == [0.25, 0.5, 1.0]


def test_a_wrong_configuration_is_not_tried_again(tmp_path: Path) -> None:
    heard = Heard()
    wrong = Program("wrong", (sys.executable, "-c", "raise SystemExit(2)"), ready=lambda pid: False)
    with Supervisor(tmp_path, [wrong], heard) as supervisor:
        supervisor.run()
    assert heard.kinds("wrong") == [News.STARTED, News.GAVE_UP]


def test_what_hangs_is_killed_with_all_it_started_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert supervisor_module.KILL_AFTER_S <= 4.5
    # What is not stubborn has five seconds here instead of two: this machine is shared.
    monkeypatch.setattr(supervisor_module, "TERM_FIRST_S", 1.0)
    monkeypatch.setattr(supervisor_module, "KILL_AFTER_S", 6.0)
    heard = Heard()
    programs = [script(tmp_path, "stubborn", STUBBORN), script(tmp_path, "database", OBEDIENT, last=True)]
    with Supervisor(tmp_path, programs, heard) as supervisor:
        supervise(supervisor, supervisor.ready)
        pids = [*supervisor.pids().values(), pid_in(tmp_path / "stubborn.inner")]
        began = time.monotonic()
    assert time.monotonic() - began < patient(7.0)
    eventually(lambda: not any(alive(pid) for pid in pids), 1)
    assert heard.kinds("stubborn")[-1] is News.KILLED
    assert News.KILLED not in heard.kinds("database")


def test_the_database_is_asked_to_end_after_the_others(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    text = OBEDIENT + f"\nopen({str(ended)!r}, 'a').write(sys.argv[1].rpartition('/')[2] + ' ')"
    slow = text.replace("stop.wait()", "stop.wait(); threading.Event().wait(0.3)")
    with Supervisor(
        tmp_path, [script(tmp_path, "database", text, last=True), script(tmp_path, "writer", slow)], Heard()
    ) as supervisor:
        supervise(supervisor, supervisor.ready)
    assert ended.read_text().split() == ["writer", "database"]


MAIN = """
import sys
from pathlib import Path
from shinkei_cli import supervisor as supervisor_module
from shinkei_cli.child import Program
from shinkei_cli.supervisor import Supervisor
folder = Path(sys.argv[1])
programs = [Program(name, (sys.executable, str(folder / (name + ".py")), str(folder / name)), last=name == "database") for name in sys.argv[2:]]
with Supervisor(folder, programs, lambda news, name, about: None) as supervisor:
    supervisor.run()
"""


def supervisor_process(tmp_path: Path, scripts: dict[str, str]) -> tuple[subprocess.Popen[bytes], list[int]]:
    for name, text in scripts.items():
        (tmp_path / f"{name}.py").write_text(text)
    process = subprocess.Popen([sys.executable, "-c", MAIN, str(tmp_path), *scripts], env=os.environ | PATHS)
    return process, [pid_in(tmp_path / name) for name in scripts]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    process, pids = supervisor_process(tmp_path, {"writer": OBEDIENT, "database": OBEDIENT})
    process.send_signal(number)
    assert process.wait(60) == 0
    assert not any(alive(pid) for pid in pids)


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    process, pids = supervisor_process(tmp_path, {"writer": OBEDIENT, "hung": HUNG, "database": OBEDIENT})
    process.kill()
    process.wait(60)
    eventually(lambda: not any(alive(pid) for pid in pids), 6)


def test_without_the_kernels_signal_the_pipe_tells_a_child(tmp_path: Path) -> None:
    deaf = OBEDIENT.replace(
        "with Lifeline", "import shinkei_cli.lifeline as it\nit._die_with_parent = lambda: None\nwith Lifeline"
    )
    process, pids = supervisor_process(tmp_path, {"writer": deaf})
    process.kill()
    process.wait(60)
    eventually(lambda: not any(alive(pid) for pid in pids), 2)


def test_a_child_hears_a_signal_while_its_main_thread_waits() -> None:
    from shinkei_cli.lifeline import Lifeline

    stop = threading.Event()
    with Lifeline(stop.set, signals=(signal.SIGUSR1,)):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.wait(60)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
