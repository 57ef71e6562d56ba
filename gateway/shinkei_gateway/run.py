"""The gateway's process: sources -> taking -> intake -> spool -> forwarder -> log, and what `/health` and `/metrics` say.

Wires; knows no protocol. Started by `shinkei gateway run` or a supervisor; ends within 5 s of ``stop`` with everything it
acknowledged on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from shinkei_events.health import Health
from shinkei_events.identity import new_epoch
from shinkei_events.runfile import write_atomic
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_gateway.file_source import Recording
from shinkei_gateway.forward import CREDIT_BYTES, Forwarder
from shinkei_gateway.intake import Intake
from shinkei_gateway.kafka_link import KafkaLink
from shinkei_gateway.lock import FolderLock
from shinkei_gateway.metrics import BooksCollector
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.mqtt.source import MqttDevices
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from shinkei_gateway.reconcile import Books
from shinkei_gateway.settings import GatewaySettings, Source, sources_of
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import Spool, open_spool
from shinkei_gateway.taking import Taking
from shinkei_gateway.telemetry import GatewayStarted, SpoolDamaged, SpoolFull, SpoolHasRoom

BOOKS_EVERY_S = 2.0
HEALTH_EVERY_S = 0.5
SOURCES_END_S = 1.5
REST_ENDS_S = 1.5


class RunningSource(Protocol):
    """What every kind of source is."""

    name: str

    def machines(self) -> list[str]:
        """Machines known to be behind it."""

    def health(self) -> dict[str, Any]:
        """Plain values for /health; called from another thread."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``."""


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Run the gateway of ``plant`` until ``stop``. Raises `BadConfig`."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it has to say comes as SourceLost
    settings = section(plant, "gateway", GatewaySettings)
    folder = spool_folder(plant, settings)
    lock = FolderLock(folder)
    try:
        asyncio.run(Gateway(plant, settings, folder).run(stop))
    finally:
        lock.release()


def spool_folder(plant: PlantFile, settings: GatewaySettings) -> Path:
    """Where the shard's segments are."""
    return plant.dir / "spool" / settings.id / settings.shard


def books_file(folder: Path) -> Path:
    """Where the books of the spool in ``folder`` are."""
    return folder.with_name(f"{folder.name}.books.json")


class Gateway:
    """One shard in one event loop."""

    def __init__(self, plant: PlantFile, settings: GatewaySettings, folder: Path) -> None:
        self._plant, self._settings, self._folder = plant, settings, folder
        self._sources_settings = sources_of(settings)
        self._books_file = books_file(folder)
        self._disk_error = ""
        self._state: dict[str, tuple[int, int, int]] = {}
        self._backlog = 0

    async def run(self, stop: threading.Event) -> None:
        """Everything, until ``stop`` is set."""
        loop = asyncio.get_running_loop()
        health = Health("gateway", self._plant.dir, self._settings.http)
        self._open(loop)
        sources = [self._source(name, settings) for name, settings in self._sources_settings.items()]
        health.add_source(lambda: self._details(sources))
        collector = BooksCollector(self._books, lambda: self._state)
        collector.register()
        health.start()
        ending, done = asyncio.Event(), asyncio.Event()
        taking = [asyncio.create_task(source.run(ending), name=source.name) for source in sources]
        link = asyncio.create_task(self._link.run(done), name="link")
        housekeeping = asyncio.create_task(self._keep_house(health, done), name="house")
        try:
            await self._until(stop, link)
        finally:
            ending.set()
            await _end(taking, SOURCES_END_S)
            done.set()
            await _end([link, housekeeping], REST_ENDS_S)
            await asyncio.to_thread(self._commit.stop, REST_ENDS_S)
            self._write_books()
            self._disk.close()
            collector.unregister()
            health.stop()

    async def _until(self, stop: threading.Event, link: asyncio.Task[None]) -> None:
        while not stop.is_set():
            if link.done():
                link.result()  # an error of this program ends the process; the supervisor starts it anew
            await asyncio.sleep(0.05)

    # ---- building ----------------------------------------------------------------------------------------------------
    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        settings, spool_settings = self._settings, self._settings.spool
        self._disk = FolderDisk(self._folder)
        spool, opening = open_spool(self._disk, _epoch, max_bytes=int(spool_settings.max_bytes))
        if opening.previous_epoch is not None:
            emit(SpoolDamaged(str(self._folder), opening.previous_epoch))
        self._spool: Spool = spool
        volatile = self._plant.log.bootstrap is None
        self._forwarder = Forwarder(
            spool, frame_age=int(settings.frame_age * 1e9), credit=CREDIT_BYTES // max(1, settings.writers) if volatile else None,
            keep_until=spool_settings.keep_until or ("stored" if volatile else "sent"),
        )  # fmt: skip
        self._commit = GroupCommit(spool, on_full=self._on_full, on_durable=lambda: self._durable(loop))
        intake = Intake(spool, self._commit, settings.id, settings.shard, time.time_ns, opening)
        self._books = Books(self._books_file.read_bytes() if self._books_file.exists() else None)
        owners = {s.machine: name for name, s in self._sources_settings.items() if isinstance(s, OpcuaSource)}
        current = {name: end for name, end in spool.streams().items() if name.startswith(spool.epoch)}
        self._books.recover(current, lambda machine: owners.get(machine, machine), time.time_ns())
        self._taking = Taking(intake, self._books, time.time_ns, lambda: self._backlog)
        self._link = KafkaLink(
            self._plant,
            settings.id,
            settings.shard,
            self._forwarder,
            intake,
            new_epoch=self._new_epoch,
            keep=self._keep,
        )
        emit(
            GatewayStarted(
                settings.id, settings.shard, len(self._sources_settings), spool.used(), str(self._folder), opening.tail
            )
        )

    def _source(self, name: str, settings: Source) -> RunningSource:
        if isinstance(settings, OpcuaSource):
            return OpcuaMachine(name, settings, self._taking)
        if isinstance(settings, MqttSource):
            return MqttDevices(name, settings, self._taking, self._plant.path.parent)
        return Recording(name, settings, self._plant.dir, self._taking)

    async def _new_epoch(self) -> str:
        old = self._spool.epoch
        await asyncio.wrap_future(self._commit.call(lambda: _drop(self._spool.begin_epoch())))
        return old

    def _keep(self, name: str) -> bool:
        """Whether a segment is younger than ``keep_after``."""
        after = self._settings.spool.keep_after
        with contextlib.suppress(OSError):
            return after > 0 and time.time() - (self._folder / name).stat().st_mtime < after
        return False

    # ---- what happens --------------------------------------------------------------------------------------------------
    def _durable(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._link.wake)

    def _on_full(self, why: str) -> None:
        self._disk_error = why
        emit(SpoolFull(why) if why else SpoolHasRoom())

    # ---- housekeeping --------------------------------------------------------------------------------------------------
    async def _keep_house(self, health: Health, done: asyncio.Event) -> None:
        books_at = time.monotonic() + BOOKS_EVERY_S
        while not done.is_set():
            self._state = self._forwarder.state()
            self._backlog = self._forwarder.backlog()
            error = self._disk_error or self._link.last_error
            health.update(ready=self._link.connected and not self._disk_error, lag=float(self._backlog), error=error)
            if time.monotonic() >= books_at:
                books_at = time.monotonic() + BOOKS_EVERY_S
                await asyncio.to_thread(self._write_books)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), HEALTH_EVERY_S)
        self._state = self._forwarder.state()

    def _write_books(self) -> None:
        with contextlib.suppress(OSError):  # a full disk is told by the spool
            write_atomic(self._books_file, self._books.encode())

    def _details(self, sources: list[RunningSource]) -> dict[str, Any]:
        return {
            "gateway": self._settings.id, "shard": self._settings.shard, "epoch": self._spool.epoch,
            "log_connected": self._link.connected, "backlog": self._backlog, "spool_bytes": self._spool.used(), "sent": dict(self._link.sent),
            "sources": {source.name: source.health() for source in sources}, "reconcile": self._books.rows(self._state),
        }  # fmt: skip


def _epoch() -> str:
    return new_epoch(time.time_ns() // 1_000_000, random.SystemRandom().getrandbits(74))


def _drop(_old: str) -> None:
    """The action of a commit gives nothing back."""


async def _end(tasks: list[asyncio.Task[None]], within: float) -> None:
    """Wait for tasks to end by themselves, then cancel them."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
