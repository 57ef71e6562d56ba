"""The few things the spool asks of a disk, and the real one. Tests bring a disk that loses what was not synced.

The contract: what was appended before `sync` returned is there after any crash; what was not may be there in part (a prefix).
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """A folder of append-only files. All calls block; errors are OSError."""

    def names(self) -> list[str]:
        """Files there are, sorted."""

    def size(self, name: str) -> int:
        """Bytes in a file."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes."""

    def append(self, name: str, data: bytes) -> None:
        """Write at the end; the file is made when it is missing."""

    def sync(self, name: str) -> None:
        """Return when all appended bytes of ``name``, and the file itself, are durable."""

    def truncate(self, name: str, size: int) -> None:
        """Cut the file to ``size`` bytes, durably."""

    def delete(self, name: str) -> None:
        """Remove the file."""


class FolderDisk:
    """A folder of the file system. Not thread-safe for writing; reading from other threads is fine."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._writers: dict[str, int] = {}
        self._readers: dict[str, int] = {}
        self._new: set[str] = set()
        self._closing = threading.Lock()  # a file may be deleted by the writing thread while another reads it

    def names(self) -> list[str]:
        """Files there are, sorted."""
        return sorted(
            entry.name for entry in os.scandir(self._folder) if entry.is_file() and not entry.name.startswith(".")
        )

    def size(self, name: str) -> int:
        """Bytes in a file."""
        return (self._folder / name).stat().st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``."""
        with self._closing:
            handle = self._readers.get(name)
            if handle is None:
                handle = self._readers[name] = os.open(self._folder / name, os.O_RDONLY)
            return os.pread(handle, length, offset)

    def append(self, name: str, data: bytes) -> None:
        """Write at the end, whole; raises OSError (disk full, read-only) after writing perhaps a part."""
        handle = self._writers.get(name)
        if handle is None:
            if not (self._folder / name).exists():
                self._new.add(name)
            handle = self._writers[name] = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, name: str) -> None:
        """fdatasync, and of the folder when the file is new. FileNotFoundError when somebody has taken the file or its folder away.

        What is written to such a file is gone with this process, so nothing may be acknowledged for it (some 5 µs a sync, of which there are 200 a second at most).
        """
        handle = self._writers.get(name)
        if handle is not None:
            os.fdatasync(handle)
            if not self._is_there(name, handle):
                raise FileNotFoundError(errno.ENOENT, "it was taken away", name)
        if name in self._new:
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._new.discard(name)

    def _is_there(self, name: str, handle: int) -> bool:
        try:
            return (self._folder / name).stat().st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:
            return False

    def truncate(self, name: str, size: int) -> None:
        """Cut and sync."""
        with (self._folder / name).open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def delete(self, name: str) -> None:
        """Remove; no error when it is not there."""
        with self._closing:
            for handles in (self._writers, self._readers):
                handle = handles.pop(name, None)
                if handle is not None:
                    os.close(handle)
        (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all handles."""
        for handles in (self._writers, self._readers):
            while handles:
                os.close(handles.popitem()[1])
