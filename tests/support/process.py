"""One server process of a test: its log, its readiness, its end. Used by the Kafka, PostgreSQL, mosquitto and part fixtures."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.support.waiting import eventually


class ServerProcess:
    """``command`` started as a process group of its own, both outputs appended to ``log``.

    Not a mock of anything: the real program. `kill` is kill -9 of the whole group; `stop` asks first. Both reap it.
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]], log: Path, *, env: Mapping[str, str] | None = None,
                 cwd: Path | None = None, ending: signal.Signals = signal.SIGTERM, **more: Any) -> None:  # fmt: skip
        self.log = log
        self._ending = ending
        self._gone = False
        with log.open("ab") as sink:
            self._seen = sink.tell()
            self.process = subprocess.Popen(
                [os.fspath(word) for word in command], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                env=None if env is None else dict(env), cwd=cwd, start_new_session=True, **more,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def words(self) -> str:
        """What it has said since this start."""
        with self.log.open("rb") as log:
            log.seek(self._seen)
            return log.read().decode(errors="replace")

    def wait_ready(self, ready: Callable[[], object], timeout: float = 30.0) -> None:
        """Until ``ready`` holds; AssertionError with its last words when it ends before or does not come up."""

        def up() -> bool:
            assert self.alive(), f"ended with {self.process.returncode} before it was ready:\n{self.words()[-3000:]}"
            return bool(ready())

        try:
            eventually(up, timeout)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.words()[-3000:]}") from None

    def send(self, number: signal.Signals) -> None:
        """A signal to the process itself (not to its group)."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def stop(self, timeout: float = 60.0) -> int:
        """Ask it to end and wait; AssertionError (after a kill) when it does not within ``timeout``. Returns its exit code."""
        if self.alive():
            self.send(self._ending)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(
                    f"did not end within {timeout:g} s of {self._ending.name}:\n{self.words()[-3000:]}"
                ) from None
        self._kill_group()
        return self.process.wait()

    def kill(self) -> None:
        """kill -9, now, all of it."""
        self._kill_group()
        self.process.wait()

    def freeze(self) -> None:
        """It hangs (SIGSTOP): connections stay open and nothing answers, until `thaw`."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def _kill_group(self) -> None:
        """The group, and what of its descendants has left the group (PostgreSQL's processes do). Once: its number may be another's later."""
        if self._gone:
            return
        self._gone = True
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(family, timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Killable:
    """What tests do to a server that its ``start`` put into ``_server``, whichever server it is."""

    _server: ServerProcess | None = None

    def alive(self) -> bool:
        return self._server is not None and self._server.alive()

    def words(self) -> str:
        """What it has said since its last start."""
        return "" if self._server is None else self._server.words()

    def kill(self) -> None:
        """kill -9 of all of it: what it had not written is gone."""
        if self._server is not None:
            self._server.kill()

    def freeze(self) -> None:
        """It hangs: connections stay open and nothing answers, until `thaw`."""
        assert self._server is not None
        self._server.freeze()

    def thaw(self) -> None:
        assert self._server is not None
        self._server.thaw()
