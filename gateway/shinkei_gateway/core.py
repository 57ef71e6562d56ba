"""Everything of a shard behind its sources, put together: disk, spool, numbering, forwarder, standing. Knows no source and no Kafka.

`run` makes one and gives it to the link; tests put themselves in the place of the machines.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shinkei_events.errors import Full
from shinkei_events.identity import new_epoch
from shinkei_events.telemetry import emit
from shinkei_gateway.epoch_change import EpochChange, Evidence
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.forward_telemetry import EpochBegun
from shinkei_gateway.home import HOME, home_of, host_id, moved
from shinkei_gateway.intake import Intake
from shinkei_gateway.lock import FolderLock
from shinkei_gateway.ownership import OWNERSHIP, Ownership
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import Disk, FolderDisk
from shinkei_gateway.spool.spool import open_spool
from shinkei_gateway.standing import Standing
from shinkei_gateway.telemetry import SpoolDamaged

AGAIN_S = 0.5


def epoch_now() -> str:
    """A new epoch of this moment."""
    return new_epoch(time.time_ns() // 1_000_000, random.SystemRandom().getrandbits(74))


class Core:
    """One shard's spool in ``folder``, held for this process. ``spool``: see `Spool`; ``forward``: see `Forwarder`.

    Raises `Full` (the disk cannot be written: try again later) and `BadConfig` (another process has the folder).
    """

    def __init__(self, folder: Path, gateway: str, shard: str, *, on_full: Callable[[str], None] = lambda _why: None,
                 on_durable: Callable[[], object] = lambda: None, on_drop: Callable[[int], None] | None = None, disk: Disk | None = None, spool: dict[str, Any] | None = None,
                 forward: dict[str, Any] | None = None) -> None:  # fmt: skip
        self.folder = folder
        try:
            self.lock = FolderLock(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            self._home = home_of(folder, gateway, shard)
            self.disk = disk or FolderDisk(folder)
            self.spool, self.opening = open_spool(self.disk, epoch_now, **spool or {})
        except OSError as error:
            self.lock.release()
            raise _unusable(folder, error) from error
        except Full:
            self.lock.release()
            raise
        if self.opening.previous_epoch is not None:
            emit(SpoolDamaged(str(folder), self.opening.previous_epoch))
        ownership = Ownership(
            gateway, shard, self.spool.epoch, secrets.token_hex(8), self.spool.resume(OWNERSHIP), self.spool.end()
        )
        self.commit = GroupCommit(self.spool, on_full=on_full, on_durable=on_durable, on_drop=on_drop)
        self.intake = Intake(self.spool, self.commit, gateway, shard, time.time_ns, ownership)
        self.forwarder = Forwarder(self.spool, **forward or {})
        self.epochs = EpochChange(self.spool, self.commit, self.intake, self.forwarder, epoch_now)
        self.standing = Standing(self.spool, self.intake, self.epochs, host_id() or "unnamed")

    async def begin(self) -> None:
        """Before any source speaks: finish an interrupted change of epoch, and begin one when the folder is a copy."""
        await self.epochs.run(self.epochs.open())
        why = moved(self.spool.resume(HOME), self._home)
        evidence = Evidence(why, is_copy=True, states={HOME: self._home})
        while why:
            try:
                emit(EpochBegun(await self.epochs.change("spool_went_back", evidence), why))
                break
            except Full:
                await asyncio.sleep(AGAIN_S)  # a disk without room is told by the commit; nothing gets a number before
        if self.spool.resume(HOME) != self._home:
            self.commit.submit([], [], {HOME: self._home})

    def close(self, timeout: float) -> None:
        """Write what waits, and let others in."""
        self.commit.stop(timeout)
        if isinstance(self.disk, FolderDisk):
            self.disk.close()
        self.lock.release()


def _unusable(folder: Path, error: OSError) -> Full:
    return Full(f"spool: {folder} cannot be opened: {error.strerror or error}; free or repair the disk")
