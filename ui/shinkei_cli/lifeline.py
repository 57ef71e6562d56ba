"""How a process learns that it has to end: by a signal, or because its supervisor is gone.

The supervisor holds the writing end of a pipe and every child the reading end (`READ_FD` in the environment). When the
supervisor ends in whatever way, even by kill -9, the pipe closes and the child hears it; on Linux the kernel sends SIGTERM as
well. A child that then does not end by itself is ended with everything it started.

`threading.Event.set` inside a signal handler can deadlock with a wait in the same thread, so the handler only writes a byte and a
thread of its own calls ``on_stop``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

READ_FD = "SHINKEI_LIFELINE"
GRACE_S = 4.0
"""How long an orphan may take to end by itself."""
_PR_SET_PDEATHSIG = 1


class Lifeline:
    """Calls ``on_stop``, from a thread, when the process has to end (maybe twice). A second Ctrl-C ends it at once.

    Made in the main thread. As a context manager it gives the signals back at its end.
    """

    def __init__(self, on_stop: Callable[[], None], *, signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT),
                 grace: float = GRACE_S) -> None:  # fmt: skip
        self._on_stop, self._signals, self._grace = on_stop, signals, grace
        self._supervisor = _supervisor_fd()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._interrupts = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Lifeline:
        if self._supervisor is not None:
            _die_with_parent()
        for number in self._signals:
            self._before[number] = signal.signal(number, self._heard)
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._before = {}
        os.write(self._wake_write, b"x")
        os.close(self._wake_write)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            os._exit(128 + number)
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"s")

    def _watch(self) -> None:
        sources = [self._wake_read] + ([] if self._supervisor is None else [self._supervisor])
        while True:
            ready, _, _ = select.select(sources, [], [])
            if self._wake_read in ready:
                said = os.read(self._wake_read, 16)
                if b"s" in said:
                    self._on_stop()
                if b"x" in said:
                    os.close(self._wake_read)
                    return
            elif self._supervisor in ready:
                self._orphaned()

    def _orphaned(self) -> None:
        self._on_stop()
        time.sleep(self._grace)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _supervisor_fd() -> int | None:
    """The pipe given by a supervisor, taken out of the environment so that it is not passed on by accident."""
    found = os.environ.pop(READ_FD, "")
    if not found.isdigit():
        return None
    os.set_inheritable(int(found), False)
    return int(found)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
