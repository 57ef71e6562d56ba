"""Says when the disk of a folder becomes full and when there is room again, each once. Reads the clock and the disk only through its arguments.

Used by the supervisor: every part would else tell it in its own log alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

FULL_BELOW, ROOM_ABOVE = 20_000_000, 40_000_000
"""Bytes free. The database writes its log in files of 16 MiB: with less it stops, though small files can still be written."""
LOOK_S, ROOM_FOR_S = 2.0, 30.0
"""Room counts when it stays: a database that is made in vain frees its files between two attempts."""


def free_bytes(folder: Path) -> int | None:
    """What an ordinary user may still write where ``folder`` is; None when that cannot be asked."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


class DiskWatch:
    """``free``: see `free_bytes`."""

    def __init__(self, folder: Path, free: Callable[[Path], int | None] = free_bytes) -> None:
        self._folder, self._free = folder, free
        self._look_at = float("-inf")
        self._is_full = False
        self._room_since: float | None = None

    def look(self, now: float) -> tuple[bool, int] | None:
        """(is it full, bytes free) when that has just changed, else None. ``now``: monotonic seconds."""
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_S
        free = self._free(self._folder)
        if free is None:
            return None
        if not self._is_full:
            self._is_full = free < FULL_BELOW
            return (True, free) if self._is_full else None
        if free <= ROOM_ABOVE:
            self._room_since = None
        elif self._room_since is None:
            self._room_since = now
        elif now - self._room_since >= ROOM_FOR_S:
            self._is_full, self._room_since = False, None
            return False, free
        return None
