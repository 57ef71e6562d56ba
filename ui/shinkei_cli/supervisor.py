"""Runs a set of programs as child processes: starts them in order, restarts what crashes, and leaves none behind.

Knows nothing of what the programs do. Each is in a process group of its own and holds the reading end of a pipe (`lifeline`), so
that it ends when this process ends, however that happens. Their output goes to ``<folder>/logs/<name>.log``. Used by
`shinkei demo` and `shinkei run`. SIGUSR1 asks whoever runs it to look for further programs.

One thread: a loop that wakes on SIGCHLD, on a signal to stop, or after `TICK_S` (`SETTLED_TICK_S` when all is ready).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any

from shinkei_cli.child import Child, Program
from shinkei_cli.disk_watch import DiskWatch
from shinkei_events.runfile import remove_run, write_run

TICK_S, SETTLED_TICK_S = 0.05, 0.25
BACK_OFF_FIRST_S, BACK_OFF_MOST_S = 0.25, 10.0
CALM_AFTER_S = 60.0
"""A program that ran this long starts with the first back-off again."""
TERM_FIRST_S = 2.3
"""How long the others may take before the programs marked ``last`` (log, database) are asked to end too."""
KILL_AFTER_S = 4.0
ASK_AGAIN_S = 0.15
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class News(Enum):
    """What happened to a program, for whoever tells people."""

    STARTED = "started"
    READY = "ready"
    CRASHED = "crashed"
    GAVE_UP = "gave_up"
    KILLED = "killed"
    DISK_FULL = "disk_full"
    DISK_ROOM = "disk_room"


Tell = Callable[[News, str, dict[str, Any]], None]


class Supervisor:
    """Keeps ``programs`` running from `start` to `stop`.

    ``tell`` hears what happens, once each. A program whose exit code is in its ``hopeless`` is not started again. ``hold``: open
    descriptors that the children keep too (the folder's lock).
    """

    def __init__(self, folder: Path, programs: Sequence[Program], tell: Tell, hold: tuple[int, ...] = (),
                 clock: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        self._folder, self._tell, self._clock = folder, tell, clock
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._children = {
            program.name: Child(program, folder / "logs", self._lifeline_read, hold) for program in programs
        }
        self._hold = hold
        self.asked_to_look = False
        """SIGUSR1 came: there may be more programs now (see `add`)."""
        self._before: dict[int, Any] = {}
        self._began = clock()
        self._disk = DiskWatch(folder)
        self.stopping = False

    def __enter__(self) -> Supervisor:
        (self._folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._heard)
        self._before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._look)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._before_fd = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        return self

    def __exit__(self, *about: object) -> None:
        self.stop()
        signal.set_wakeup_fd(self._before_fd)
        for number, before in self._before.items():
            signal.signal(number, before)
        for end in (self._lifeline_read, self._lifeline_write, self._wake_read, self._wake_write):
            os.close(end)
        remove_run(self._folder, "supervisor")

    def ready(self, *names: str) -> bool:
        """Whether all of ``names`` (none given: all programs) have been ready since their last start."""
        return all(self._children[name].ready for name in names or self._children)

    def restarts(self) -> dict[str, int]:
        """How often each program was started again after it ended by itself."""
        return {name: child.restarts for name, child in self._children.items()}

    def given_up(self) -> list[str]:
        """Programs that are not started again: their configuration is wrong."""
        return [name for name, child in self._children.items() if child.hopeless]

    def pids(self) -> dict[str, int]:
        """The running programs' process ids."""
        return {name: child.pid for name, child in self._children.items() if child.pid is not None}

    def add(self, programs: Sequence[Program]) -> list[str]:
        """Supervise those of ``programs`` too whose names are new; returns these. Nothing else is touched."""
        new = [program for program in programs if program.name not in self._children]
        for program in new:
            self._children[program.name] = Child(program, self._folder / "logs", self._lifeline_read, self._hold)
        return [program.name for program in new]

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Supervise until a signal comes, nothing can run any more, or ``until()`` is true (asked at each tick)."""
        self._publish()
        while not self.stopping and not (until is not None and until()):
            self.tick()
            if len(self.given_up()) == len(self._children):
                return
            settled = all(child.ready or child.hopeless for child in self._children.values())
            self._wait(SETTLED_TICK_S if settled else TICK_S)

    def tick(self) -> None:
        """Reap, start what may start, ask those that are not ready yet, look at the disk."""
        now = self._clock()
        if (found := self._disk.look(now)) is not None:
            is_full, free = found
            self._tell(News.DISK_FULL if is_full else News.DISK_ROOM, "", {"folder": self._folder, "free": free})
        for name, child in self._children.items():
            code = child.reap()
            if code is not None:
                self._ended(name, child, code, now)
            elif child.pid is None:
                self._maybe_start(name, child, now)
            elif not child.ready and now >= child.ask_at:
                child.ask_at = now + ASK_AGAIN_S
                if child.ask():
                    self._tell(News.READY, name, {"after": now - self._began})

    def stop(self) -> None:
        """End every program: ask, first those that are not ``last``; kill what is left. Takes at most `KILL_AFTER_S` and a bit."""
        self.stopping = True
        began = self._clock()
        for child in self._children.values():
            if not child.program.last:
                child.terminate()
        self._wait_ended([c for c in self._children.values() if not c.program.last], began + TERM_FIRST_S)
        for child in self._children.values():
            child.terminate()
        self._wait_ended(list(self._children.values()), began + KILL_AFTER_S)
        for name, child in self._children.items():
            if child.kill():
                self._tell(News.KILLED, name, {"after": KILL_AFTER_S})
        remove_run(self._folder, "supervisor")

    def _wait_ended(self, children: list[Child], deadline: float) -> None:
        while any(child.pid is not None and child.reap() is None for child in children):
            left = deadline - self._clock()
            if left <= 0:
                return
            self._wait(min(TICK_S, left))

    def _maybe_start(self, name: str, child: Child, now: float) -> None:
        if child.hopeless or now < child.start_at or not self._may_start(child, now):
            return
        child.start(now)
        self._tell(News.STARTED, name, {"pid": child.pid, "again": child.restarts > 0})
        self._publish()

    def _may_start(self, child: Child, now: float) -> bool:
        if child.start_by is None:
            child.start_by = now + child.program.wait_at_most
        return now >= child.start_by or all(self._children[name].has_been_ready for name in child.program.after)

    def _ended(self, name: str, child: Child, code: int, now: float) -> None:
        lived = now - child.started_at
        child.back_off = (
            BACK_OFF_FIRST_S
            if lived >= CALM_AFTER_S or child.back_off == 0
            else min(child.back_off * 2, BACK_OFF_MOST_S)
        )
        child.start_at = now + child.back_off
        if code in child.program.hopeless:
            child.hopeless = True
            self._tell(News.GAVE_UP, name, {"code": code, "log": child.log, "last": child.last_words()})
        else:
            child.restarts += 1
            self._tell(
                News.CRASHED,
                name,
                {
                    "code": code,
                    "again_in": child.back_off,
                    "log": child.log,
                    "last": child.last_words(),
                    "in_vain": child.in_vain,
                },
            )
        self._publish()

    def _publish(self) -> None:
        parts = {
            name: {"pid": child.pid, "restarts": child.restarts, "log": str(child.log)}
            for name, child in self._children.items()
        }
        write_run(
            self._folder,
            "supervisor",
            {"part": "supervisor", "pid": os.getpid(), "started": time.time(), "parts": parts},
        )

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _look(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_look = True

    def _wait(self, seconds: float) -> None:
        ready, _, _ = select.select([self._wake_read], [], [], seconds)
        if ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
