"""A disk that fails on demand around a real one: full, read-only, torn writes, syncs that fail and forget. Without a fault it is the real one."""

from __future__ import annotations

import errno
import os
import random

from shinkei_gateway.spool.disk import FolderDisk


class FaultyDisk:
    """``room``: bytes that still fit (None: plenty); ``is_read_only``; ``torn``: so many next writes end somewhere within;
    ``mute``: so many next syncs fail, after which the unsynced bytes are gone from the disk, as Linux has it (the file still shows them).

    `crash`: what was not synced is lost. Faults may be set from another thread.
    """

    def __init__(self, disk: FolderDisk, rng: random.Random) -> None:
        self._disk, self._rng = disk, rng
        self._lost: dict[str, int] = {}
        """File to the byte from which on a crash shows that a failed sync has lost everything."""
        self._durable: dict[str, int] = {name: disk.size(name) for name in disk.names()}
        self.room: int | None = None
        self.is_read_only = False
        self.torn = self.mute = 0

    def heal(self) -> None:
        """No fault any more; what a failed sync lost stays lost."""
        self.room, self.is_read_only, self.torn, self.mute = None, False, 0, 0

    def crash(self) -> None:
        """Cut the files to what is durable; the disk is as after a start of the machine."""
        self.heal()
        for name in self.names():
            end = min(self._durable.get(name, 0), self._lost.get(name, self.size(name)))
            if end == 0:
                self._disk.delete(name)
            elif end < self.size(name):
                self._disk.truncate(name, end)
        self._lost.clear()

    def names(self) -> list[str]:
        return self._disk.names()

    def size(self, name: str) -> int:
        return self._disk.size(name)

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self._disk.read(name, offset, length)

    def append(self, name: str, data: bytes) -> None:
        self._writable()
        if self.torn:
            self.torn -= 1
            self._disk.append(name, data[: self._rng.randrange(len(data))])
            raise _error(errno.EIO)
        if self.room is not None and len(data) > self.room:
            self._disk.append(name, data[: self.room])
            self.room = 0
            raise _error(errno.ENOSPC)
        if self.room is not None:
            self.room -= len(data)
        self._disk.append(name, data)

    def sync(self, name: str) -> None:
        if self.mute:
            self.mute -= 1
            self._lost[name] = min(self._durable.get(name, 0), self._lost.get(name, 1 << 62))
            raise _error(errno.EIO)
        self._disk.sync(name)
        self._durable[name] = self._disk.size(name)

    def truncate(self, name: str, size: int) -> None:
        self._writable()
        if self.room is not None:
            self.room += max(0, self.size(name) - size)
        self._disk.truncate(name, size)
        self._durable[name] = min(self._durable.get(name, 0), size)
        if self._lost.get(name, 0) >= size:
            self._lost.pop(name, None)  # what is written from here on are other pages

    def delete(self, name: str) -> None:
        self._writable()
        if self.room is not None and name in self.names():
            self.room += self.size(name)
        self._disk.delete(name)
        self._durable.pop(name, None)
        self._lost.pop(name, None)

    def close(self) -> None:
        self._disk.close()

    def _writable(self) -> None:
        if self.is_read_only:
            raise _error(errno.EROFS)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
