"""One site's folder: made, and locked by the one supervisor that may use it.

The lock is the kernel's (flock), so a crash leaves none behind. The supervisor's children hold it as well: after a kill -9 of the
supervisor the next one waits until they are gone. Used by `shinkei run` and `shinkei demo`.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from shinkei_events.errors import BadConfig, ShinkeiError
from shinkei_events.runfile import all_runs

ORPHANS_END_WITHIN_S = 8.0


class AlreadyRunningError(ShinkeiError):
    """Another supervisor holds this folder; ``pid`` is its process, 0 when it did not say."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.folder, self.pid = folder, pid
        super().__init__(f"a Shinkei is already running in {folder} (process {pid})")


class Site:
    """Holds ``folder`` for this process. Raises `AlreadyRunningError` or `BadConfig` when entered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None

    def __enter__(self) -> Site:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BadConfig(
                "--dir", str(self.folder), f"cannot be used: {error.strerror}; choose a folder you may write to"
            ) from error
        try:
            self._take(lock)
        except AlreadyRunningError:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        self._forget_the_dead()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock, for children to hold too."""
        assert self._lock is not None
        return self._lock

    def _take(self, lock: int) -> None:
        deadline = time.monotonic() + ORPHANS_END_WITHIN_S
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                said = os.pread(lock, 32, 0).decode(errors="replace").strip()
                holder = int(said) if said.isdigit() else 0
                if alive(holder) or time.monotonic() > deadline:
                    raise AlreadyRunningError(self.folder, holder) from error
            time.sleep(0.05)

    def _forget_the_dead(self) -> None:
        """Run files of processes that were killed name ports that others may have now."""
        for name, run in all_runs(self.folder).items():
            if "pid" in run and not alive(run["pid"]):
                (self.folder / "run" / f"{name}.json").unlink(missing_ok=True)


def alive(pid: object) -> bool:
    """Whether a process with this id is there."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
