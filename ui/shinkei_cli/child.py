"""One program and its running process: start, ask whether it is ready, reap, end. Used by the supervisor alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shinkei_cli.lifeline import READ_FD

LOG_MOST_BYTES = 10_000_000
"""A log bigger than this is put aside (one old file is kept) when its program is started."""
_LAST_WORDS_BYTES = 4000


def _always(pid: int) -> bool:
    return True


@dataclass(frozen=True)
class Program:
    """What to run. ``after``: programs that must have been ready once before it starts, but waited for ``wait_at_most`` seconds only.

    ``ready(pid)`` is asked often, must answer within some 100 ms and not raise. ``last``: ends after the others. ``hopeless``: exit
    codes after which starting again is of no use (2: the configuration is wrong).
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[int], bool] = _always
    after: tuple[str, ...] = ()
    wait_at_most: float = float("inf")
    last: bool = False
    hopeless: frozenset[int] = frozenset({2})


class Child:
    """The process of one `Program`, or the lack of it. Times are the supervisor's clock, in seconds."""

    def __init__(self, program: Program, logs: Path, lifeline: int, hold: tuple[int, ...] = ()) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._lifeline, self._hold = lifeline, hold
        self._process: subprocess.Popen[bytes] | None = None
        self.ready = self.has_been_ready = self.hopeless = False
        self.started_at = self.start_at = self.ask_at = self.back_off = 0.0
        self.start_by: float | None = None
        self.restarts = self.in_vain = 0
        """How often it was started again; how many starts one after the other ended before it was ready."""
        self._log_from = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs (also of one that has ended and is not reaped)."""
        return self._process.pid if self._process is not None else None

    def start(self, now: float) -> None:
        """Start the process; its output is appended to the log."""
        self._put_aside()
        environment = os.environ | dict(self.program.env) | {READ_FD: str(self._lifeline), "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self._process = subprocess.Popen(
                self.program.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                pass_fds=(self._lifeline, *self._hold), process_group=0)  # fmt: skip
        self.started_at, self.ask_at, self.ready = now, now, False

    def ask(self) -> bool:
        """Ask whether it is ready."""
        if self._process is not None and self.program.ready(self._process.pid):
            self.ready = self.has_been_ready = True
        return self.ready

    def reap(self) -> int | None:
        """The exit code (negative: the signal) when the process has just ended; what it left of its group is killed then."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None:
            self._kill_group(self._process.pid)
            self.in_vain = 0 if self.ready else self.in_vain + 1
            self._process, self.ready = None, False
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> bool:
        """End it and all it started now, also what has left its group (PostgreSQL does); whether there was something to end."""
        if self._process is None:
            return False
        running = self._process.poll() is None
        started = descendants(self._process.pid)
        self._kill_group(self._process.pid)
        for pid in started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process, self.ready = None, False
        return running

    def last_words(self) -> str:
        """The last line of its log since its last start that may be a cause: an error, or what is no line of telemetry."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self._log_from, file.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return next((line for line in reversed(lines) if line.strip() and not _is_news(line)), "")

    def _put_aside(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_MOST_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))

    @staticmethod
    def _kill_group(group: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _is_news(line: str) -> bool:
    """Whether it is a line of telemetry that tells of no error: what a program said while it was well is no cause of its end."""
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("level") in ("DEBUG", "INFO", "WARNING")


def descendants(pid: int) -> set[int]:
    """The processes below ``pid`` now. Empty where there is no /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}
