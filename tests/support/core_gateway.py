"""The gateway's core in a thread of the test: real spool, intake, forwarder and link, with the test in the place of the machines."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from shinkei_events.identity import new_epoch
from shinkei_events.settings import PlantFile
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.intake import Batch, Draft, Intake, Reading
from shinkei_gateway.kafka_link import KafkaLink
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool


class CoreGateway:
    """`start`, `say` batches, wait until `recorded`, `stop`. One shard of gateway ``core``."""

    def __init__(self, plant: PlantFile, folder: Path, **forward: Any) -> None:
        self.spool, opening = open_spool(
            FolderDisk(folder), lambda: new_epoch(time.time_ns() // 10**6, secrets.randbits(74)), segment_bytes=1 << 20
        )
        self.loop = asyncio.new_event_loop()
        self.commit = GroupCommit(self.spool, on_durable=lambda: self.loop.call_soon_threadsafe(self._durable))
        self.opening = opening
        self.intake = Intake(self.spool, self.commit, "core", "0", time.time_ns, opening)
        self.forwarder = Forwarder(self.spool, **({"credit": None} if plant.log.bootstrap else {}) | forward)
        self.link = KafkaLink(plant, "core", "0", self.forwarder, self.intake, new_epoch=self._epoch)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ending: asyncio.Event | None = None

    def _durable(self) -> None:
        self.link.wake()

    async def _epoch(self) -> str:
        old = self.spool.epoch
        await asyncio.wrap_future(self.commit.call(self.spool.begin_epoch))
        return old

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._ending = asyncio.Event()
        self.loop.run_until_complete(self.link.run(self._ending))
        self.loop.close()

    def start(self) -> None:
        self._thread.start()

    def say(self, items: list[Reading | Draft], resume: Any = None, source: str = "test", **more: Any) -> None:
        """Put and wait until durable."""

        async def put() -> Any:
            return self.intake.put(Batch(source, items, resume, **more))

        asyncio.run_coroutine_threadsafe(put(), self.loop).result(20).result(20)

    def backlog(self) -> int:
        async def ask() -> int:
            return self.forwarder.backlog()

        return asyncio.run_coroutine_threadsafe(ask(), self.loop).result(20)

    def stop(self) -> None:
        if self._ending is not None:
            self.loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)
        self.commit.stop()
