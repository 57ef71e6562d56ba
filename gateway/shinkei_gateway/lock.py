"""One writer a spool: a lock file that the system frees when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shinkei_events.errors import BadConfig


class FolderLock:
    """Hold ``folder`` for this process. Raises `BadConfig` when another gateway has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise BadConfig(
                "gateway.id", str(folder), "another gateway writes this spool; give this one another id or shard"
            ) from error

    def release(self) -> None:
        """Let others in."""
        os.close(self._handle)
