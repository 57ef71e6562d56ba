"""Group commit: many small puts become one batch and one fdatasync, in a thread of its own (p99 of a sync is 20–30 ms).

When the disk is full nothing is dropped: the thread keeps the batch and tries again, and `has_room` tells the sources to stop.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from shinkei_events.errors import Full
from shinkei_gateway.spool.segment import Entry
from shinkei_gateway.spool.spool import Spool, TakenAway

GATHER_S = 0.005
"""From one sync to the next at least: what comes after a pause is written at once, what comes in a stream is gathered."""
GATHER_RECORDS = 1000
MAX_WAITING_BYTES = 16 * 1024 * 1024
RETRY_S = 0.25

_Job = tuple[list[Entry], list[bytes], dict[str, Any], "Future[None]"]
_Action = tuple[Callable[[], object], "Future[None]"]


class GroupCommit:
    """Writes what is submitted, in order. ``on_full(reason)`` is called once when the disk has no room and once with "" when it has again.

    ``on_drop(bytes)``: with it the oldest is given up instead, as long as there is something older than what is being written.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        on_full: Callable[[str], None] = lambda _why: None,
        on_durable: Callable[[], object] = lambda: None,
        on_drop: Callable[[int], None] | None = None,
    ) -> None:
        self._spool, self._on_full, self._on_durable, self._on_drop = spool, on_full, on_durable, on_drop
        self._jobs: deque[_Job | _Action] = deque()
        self._waiting = 0
        self._next = 0.0
        self._wake = threading.Condition()
        self._ending = False
        self._full = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def submit(self, entries: list[Entry], payloads: list[bytes], resume: dict[str, Any]) -> Future[None]:
        """Done when durable. Call in the order of the numbers."""
        future: Future[None] = Future()
        with self._wake:
            self._jobs.append((entries, payloads, resume, future))
            self._waiting += sum(entry.size for entry in entries)
            self._wake.notify()
        return future

    def call(self, action: Callable[[], object]) -> Future[None]:
        """Run ``action`` in the writing thread, behind everything submitted so far and before everything submitted later."""
        future: Future[None] = Future()
        with self._wake:
            self._jobs.append((action, future))
            self._wake.notify()
        return future

    def has_room(self) -> bool:
        """False when sources should take nothing more for now."""
        return not self._full and self._waiting < MAX_WAITING_BYTES

    def stop(self, timeout: float = 4.0) -> None:
        """Write what waits (unless the disk is full) and end."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._ending:
                    self._wake.wait()
                if not self._jobs:
                    return
                first = self._jobs[0]
            if len(first) == 2:
                self._act()
                continue
            jobs = self._gather()
            if not self._commit(jobs):
                return
            for job in jobs:
                job[3].set_result(None)
            self._on_durable()

    def _act(self) -> None:
        with self._wake:
            action, future = self._jobs.popleft()  # type: ignore[misc]
        try:
            action()
        except Full as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _gather(self) -> list[_Job]:
        jobs: list[_Job] = []
        records, began = 0, time.monotonic()
        deadline = max(began, self._next)
        with self._wake:
            while records < GATHER_RECORDS:
                if self._jobs:
                    job = self._jobs[0]
                    if len(job) == 2:
                        break
                    self._jobs.popleft()
                    jobs.append(job)
                    records += sum(entry.count for entry in job[0])
                    self._waiting -= sum(entry.size for entry in job[0])
                    continue
                rest = deadline - time.monotonic()
                if rest <= 0 or self._ending:
                    break
                self._wake.wait(rest)
        self._next = time.monotonic() + GATHER_S
        return jobs

    def _commit(self, jobs: list[_Job]) -> bool:
        entries = [entry for job in jobs for entry in job[0]]
        payloads = [payload for job in jobs for payload in job[1]]
        resume: dict[str, Any] = {}
        for job in jobs:
            resume |= job[2]
        while True:
            try:
                self._spool.write(entries, payloads, resume)
                self._spool.sync()
            except Full as error:
                on_drop = None if isinstance(error, TakenAway) else self._on_drop
                if on_drop is not None and (freed := self._spool.drop_oldest()):
                    on_drop(freed)
                    continue
                if not self._full:
                    self._full = True
                    self._on_full(str(error))
                with self._wake:
                    if self._ending:
                        return False
                    self._wake.wait(RETRY_S)
                continue
            if self._full:
                self._full = False
                self._on_full("")
            return True
