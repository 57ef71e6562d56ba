"""A part of Shinkei as a process of its own (``shinkei <part> run``), as a plant runs it: wait for ready, stop, kill -9, log."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shinkei_events.runfile import read_run
from tests.support.process import ServerProcess
from tests.support.waiting import patient

END_WITHIN_S = 5.0
"""What a part promises after SIGTERM, on a machine of its own."""


def shinkei(*words: str) -> list[str]:
    """The command line of ``shinkei WORDS`` with this interpreter."""
    return [sys.executable, "-P", "-m", "shinkei_cli", *words]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, our packages on the path, warnings not fatal to a part that runs a library's code."""
    return (
        os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"} | more
    )


class PartProcess:
    """``shinkei PART run --config CONFIG --dir FOLDER`` (or ``words`` instead), logged to ``FOLDER/logs/PART.test.log``.

    Can be started again after `stop` or `kill`. The address of its ``/health`` is in its run file, so it is that of this very process.
    """

    def __init__(
        self,
        part: str,
        config: Path,
        folder: Path,
        *,
        words: Sequence[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.part, self._folder = part, folder
        self._command = shinkei(*(words or (part, "run", "--config", str(config), "--dir", str(folder))))
        self._environment = environment(**(env or {}))
        self._server: ServerProcess | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self, timeout: float = 30.0, *, ready: bool = True) -> None:
        """Start; return when it says that it is ready (``ready=False``: when it answers at all)."""
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._server = ServerProcess(self._command, logs / f"{self.part}.test.log", env=self._environment)
        self._server.wait_ready(lambda: self._is_up(ready), timeout)

    def health(self) -> dict[str, Any] | None:
        """What it says of itself now; None when it does not answer."""
        found = read_run(self._folder, self.part)
        if found is None or found.get("pid") != self.pid or not found.get("http"):
            return None
        try:
            with urllib.request.urlopen(f"http://{found['http']}/health", timeout=10) as answer:
                said: dict[str, Any] = json.load(answer)
                return said
        except (OSError, ValueError):
            return None

    def is_ready(self) -> bool:
        return (self.health() or {}).get("ready") is True

    def stop(self, timeout: float = patient(END_WITHIN_S)) -> int:
        """SIGTERM; its exit code. AssertionError when it takes longer than a part may."""
        return self._running().stop(timeout)

    def kill(self) -> None:
        """kill -9; nothing of it goes on."""
        self._running().kill()

    def freeze(self) -> None:
        self._running().freeze()

    def thaw(self) -> None:
        self._running().thaw()

    def alive(self) -> bool:
        return self._server is not None and self._server.alive()

    def words(self) -> str:
        """What it has printed since its last start."""
        return self._running().words()

    def _is_up(self, ready: bool) -> bool:
        found = read_run(self._folder, self.part)
        if found is None or found.get("pid") != self.pid:
            return False
        if not found.get("http"):  # the embedded log and database publish an address of their own kind, when they serve
            return True
        return self.is_ready() if ready else self.health() is not None

    def _running(self) -> ServerProcess:
        assert self._server is not None, f"{self.part} has not been started"
        return self._server
