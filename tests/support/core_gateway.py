"""The gateway's core in a thread of the test: real spool, intake, forwarder and link, with the test in the place of the machines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

from shinkei_events.settings import PlantFile
from shinkei_gateway.core import Core
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.kafka_link import KafkaLink
from shinkei_gateway.spool.disk import Disk
from tests.support.waiting import patient


class CoreGateway:
    """`start`, `say` batches, wait until `recorded`, `stop`. One shard of gateway ``core``."""

    def __init__(
        self,
        plant: PlantFile,
        folder: Path,
        *,
        gateway: str = "core",
        shard: str = "0",
        disk: Disk | None = None,
        spool: dict[str, Any] | None = None,
        **forward: Any,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self.full: list[str] = []
        self.core = Core(
            folder, gateway, shard, on_full=self.full.append, on_durable=self._durable, disk=disk,
            spool={"segment_bytes": 1 << 20} | (spool or {}), forward=({"credit": None} if plant.log.bootstrap else {}) | forward,
        )  # fmt: skip
        self.spool, self.commit, self.intake, self.forwarder = (
            self.core.spool,
            self.core.commit,
            self.core.intake,
            self.core.forwarder,
        )
        self.link = KafkaLink(plant, gateway, shard, self.forwarder, self.intake, self.core.standing)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ending: asyncio.Event | None = None

    def _durable(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self.link.wake)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._ending = asyncio.Event()
        self.loop.run_until_complete(self.core.begin())
        self.loop.run_until_complete(self.link.run(self._ending))
        self.loop.close()

    def start(self) -> None:
        self._thread.start()

    def say(self, items: list[Reading | Draft], resume: Any = None, source: str = "test", **more: Any) -> None:
        """Put and wait until durable."""

        async def put() -> Any:
            return self.intake.put(Batch(source, items, resume, **more))

        asyncio.run_coroutine_threadsafe(put(), self.loop).result(patient(60)).result(patient(60))

    def backlog(self) -> int:
        async def ask() -> int:
            return self.forwarder.backlog()

        return asyncio.run_coroutine_threadsafe(ask(), self.loop).result(60)

    def stop(self) -> None:
        if self._ending is not None:
            self.loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(60)
        self.core.close(4.0)
