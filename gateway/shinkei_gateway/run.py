"""The gateway's process: sources -> taking -> intake -> spool -> forwarder -> log, and what `/health` and `/metrics` say.

Wires; knows no protocol. Started by `shinkei gateway run` or a supervisor; ends within 5 s of ``stop`` with everything it
acknowledged on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from shinkei_events.allowed import named
from shinkei_events.errors import BadConfig, Full
from shinkei_events.health import Health
from shinkei_events.model.numbered import StreamClosed
from shinkei_events.model.progress import Apply, Command, Replay
from shinkei_events.runfile import write_atomic
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_gateway.big_value import forget
from shinkei_gateway.clock_watch import HostClock
from shinkei_gateway.core import Core
from shinkei_gateway.file_source import Recording
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.kafka_link import LINGER_MS, KafkaLink
from shinkei_gateway.keeping import Keeping
from shinkei_gateway.machine_json import no_data_draft
from shinkei_gateway.metrics import BooksCollector
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.mqtt.source import MqttDevices
from shinkei_gateway.opcua import asked, trusting
from shinkei_gateway.opcua.expiry import ExpiryWatch
from shinkei_gateway.opcua.pki import pki_of
from shinkei_gateway.opcua.security import Security, security_of
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from shinkei_gateway.quarantine_read import in_spool
from shinkei_gateway.reconcile import Books, State
from shinkei_gateway.reload import read_again, stamp_of
from shinkei_gateway.replay import Replays
from shinkei_gateway.running import RunningSource, RunningSources, end_tasks
from shinkei_gateway.settings import (
    FileSource,
    GatewaySettings,
    Source,
    in_shard,
    machines_of,
    names_all,
    shards_of,
    sources_of,
)
from shinkei_gateway.shards import (
    address_of,
    books_file,
    concerns,
    credit_of,
    forgotten,
    left_behind,
    of_epoch,
    part_name,
    session_file,
    spool_folder,
)
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.source import SparkplugHost
from shinkei_gateway.spool.spool import SEGMENT_BYTES
from shinkei_gateway.taking import Taking
from shinkei_gateway.telemetry import (
    GatewayStarted,
    HostClockStepped,
    Reloaded,
    ReloadRefused,
    SpoolDropped,
    SpoolFull,
    SpoolHasRoom,
)

BOOKS_EVERY_S = 2.0
BIG_VALUES_LEAST_S = 3600.0
"""How long the file of a big value stays at least after it was last given, however short ``keep_after`` is."""
HEALTH_EVERY_S = 0.5
REST_ENDS_S = 1.5
SEGMENT_LEAST = 64 * 1024
APPLY_S = 8.0
MOVED = "@moved"


def run(plant: PlantFile, stop: threading.Event, shard: str | None = None) -> None:
    """Run one ``shard`` of the gateway of ``plant`` until ``stop`` (None: the only one there is). Raises `BadConfig`."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it has to say comes as SourceLost
    settings = section(plant, "gateway", GatewaySettings)
    shards = shards_of(settings)
    if shard is None and len(shards) > 1:
        raise BadConfig("--shard", "", f"this gateway has shards {', '.join(shards)}: each is a process of its own")
    known = {*shards, *(name for name, _ in forgotten(plant, settings))}
    if shard is not None:
        named("--shard", shard, known, "shard of this gateway")
    folder = spool_folder(plant, settings, shard or settings.shard)
    _collect_seldom()
    asyncio.run(Gateway(plant, settings, shard or settings.shard, folder).run(stop))


def _collect_seldom() -> None:
    """Each message makes thousands of tuples, none of them in a cycle, and none of what is loaded by now ever goes. Measured: looking through them as
    often as Python does by default is 0.7 of 5.6 µs a value."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


class Gateway:
    """One shard in one event loop."""

    def __init__(self, plant: PlantFile, settings: GatewaySettings, shard: str, folder: Path) -> None:
        self._plant, self._settings, self._shard, self._folder = plant, settings, shard, folder
        self._sources = RunningSources(
            self._source, self._settled, lambda source: stamp_of(source, self._plant.path.parent)
        )
        self._reload_error = ""
        self._books_file = books_file(folder)
        self._pki = pki_of(plant)
        self._secured: dict[str, Security] = {}
        self._disk_error = ""
        self._state: State | None = None
        self._backlog = 0
        self._host_clock = HostClock(time.time_ns(), time.monotonic_ns())

    async def run(self, stop: threading.Event) -> None:
        """Everything, until ``stop`` is set."""
        loop = asyncio.get_running_loop()
        health = Health(
            part_name(self._settings, self._shard), self._plant.dir, address_of(self._settings, self._shard)
        )
        if not await self._opened(loop, stop):
            return
        health.add_source(self._details)
        collector = BooksCollector(self._books, lambda: self._state, self._waiting)
        collector.register()
        health.start()
        await self._sources.apply(in_shard(self._settings, self._shard))
        closing = asyncio.create_task(self._close(self._left_behind()), name="left behind")
        self._taking.last_run = None  # a source that a reload makes anew was not away
        done = asyncio.Event()
        link = asyncio.create_task(self._link.run(done), name="link")
        housekeeping = asyncio.create_task(self._keep_house(health, done), name="house")
        expiry = asyncio.create_task(ExpiryWatch(self._pki, self._servers, time.time_ns).run(done), name="expiry")
        self._listen_for_reload(loop)
        try:
            await self._until(stop, link)
        finally:
            await self._sources.stop()
            done.set()
            await end_tasks([closing, link, housekeeping, expiry], REST_ENDS_S)
            await asyncio.to_thread(self._core.close, REST_ENDS_S)
            self._write_books()
            collector.unregister()
            health.stop()

    async def _until(self, stop: threading.Event, link: asyncio.Task[None]) -> None:
        while not stop.is_set():
            if link.done():
                link.result()  # an error of this program ends the process; the supervisor starts it anew
            await asyncio.sleep(0.05)

    async def _opened(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> bool:
        """Open the spool, as soon as its disk lets it: a full or read-only disk is told once and waited for; False when stopped before."""
        is_told = False
        while not stop.is_set():
            try:
                self._open(loop)
            except Full as error:
                if not is_told:
                    emit(SpoolFull(str(error)))
                is_told = True
                await asyncio.sleep(HEALTH_EVERY_S)
                continue
            await self._core.begin()
            if is_told:
                emit(SpoolHasRoom())
            return True
        return False

    # ---- building ----------------------------------------------------------------------------------------------------
    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        settings, spool_settings = self._settings, self._settings.spool
        volatile = self._plant.log.bootstrap is None
        forward = {
            "frame_age": int(settings.frame_age * 1e9),
            "credit": credit_of(self._settings) if volatile else None,
            "keep_until": spool_settings.keep_until or ("stored" if volatile else "sent"),
        }
        most = int(spool_settings.max_bytes)
        self._core = Core(
            self._folder, settings.id, self._shard, on_full=self._on_full, on_durable=lambda: self._durable(loop),
            on_drop=_dropped if spool_settings.on_full == "drop_oldest" else None,
            spool={"max_bytes": most, "segment_bytes": min(SEGMENT_BYTES, max(SEGMENT_LEAST, most // 16))}, forward=forward,
        )  # fmt: skip
        spool, intake, tail = self._core.spool, self._core.intake, self._core.opening.tail
        self._spool, self._forwarder, self._commit = spool, self._core.forwarder, self._core.commit
        told = self._books_file.exists()
        last_run = self._books_file.stat().st_mtime_ns if told else None
        self._books = Books(self._books_file.read_bytes() if told else None)
        mine = in_shard(settings, self._shard)
        owners = {machine: name for name, source in mine.items() for machine in machines_of(source)}
        current = {name: end for name, end in spool.streams().items() if name.startswith(spool.epoch)}
        self._books.recover(current, lambda machine: owners.get(machine, machine), time.time_ns())
        self._taking = Taking(intake, self._books, time.time_ns, lambda: self._backlog)
        self._taking.last_run = last_run
        self._keeping = Keeping(self._folder, spool.used, lambda: self._settings.spool)
        self._link = KafkaLink(
            self._plant,
            settings.id,
            self._shard,
            self._forwarder,
            intake,
            self._core.standing,
            actions={
                Replay: Replays(self._taking, self._sources.get, lambda stream, n: in_spool(spool, stream, n)),
                Apply: self._apply,
                **asked.actions(self._sources.get),
                **trusting.actions(self._sources.get),
            },
            issuers=settings.issuers,
            concerns=self._concerns,
            keep=self._keeping.keep,
            linger_ms=min(LINGER_MS, settings.frame_age * 100),
            tell=self._taking.missing,
        )
        emit(GatewayStarted(settings.id, self._shard, len(mine), spool.used(), str(self._folder), tail))

    def _source(self, name: str, settings: Source) -> RunningSource:
        if isinstance(settings, OpcuaSource):
            security = self._secured[name] = security_of(name, settings, self._plant, self._pki)
            return OpcuaMachine(
                name, settings, self._taking, memory=session_file(self._folder, name), security=security
            )
        if isinstance(settings, MqttSource):
            return MqttDevices(name, settings, self._taking, self._plant.path.parent)
        if isinstance(settings, SparkplugSource):
            return SparkplugHost(name, settings, self._taking, self._plant.path.parent)
        return Recording(name, settings, self._plant.dir, self._taking)

    def _servers(self) -> list[tuple[str, Any]]:
        shown = [
            (name, one.server_certificate()) for name, one in list(self._secured.items()) if self._sources.get(name)
        ]
        return [(name, certificate) for name, certificate in shown if certificate is not None]

    async def _settled(self) -> None:
        await asyncio.wrap_future(self._commit.call(lambda: None))

    # ---- commands --------------------------------------------------------------------------------------------------------
    def _concerns(self, command: Command) -> bool:
        request = of_epoch(command.request, self._spool.epoch)
        return concerns(request, self._settings, self._shard, self._sources.get, self._spool.streams())

    async def _apply(self, _command: Command) -> dict[str, Any]:
        """Waits a while only: with a full disk a reload ends when there is room, and room comes by sending, which goes on here."""
        self._reloading = asyncio.create_task(self.reload())
        try:
            return await asyncio.wait_for(asyncio.shield(self._reloading), APPLY_S)
        except TimeoutError:
            self._reloading.add_done_callback(_told)
            raise Full(
                "plant.toml is being taken, but the disk has not kept all of what was read before; look again"
            ) from None

    async def reload(self) -> dict[str, Any]:
        """Read plant.toml again and change what is different. Raises `BadConfig`: then nothing has changed."""
        try:
            read = read_again(self._plant, self._settings)
        except BadConfig as error:
            self._reload_error = f"plant.toml was not taken: {error}"
            emit(ReloadRefused(str(self._plant.path), str(error)))
            raise
        self._plant, self._settings, self._reload_error = read.plant, read.settings, ""
        if self._plant.log.bootstrap is None:
            self._forwarder.set_credit(credit_of(self._settings))
        found = await self._sources.apply(in_shard(self._settings, self._shard))
        await self._close(found.gone)
        emit(
            Reloaded(
                str(self._plant.path),
                _names(found.added),
                _names(found.changed),
                _names(found.removed),
                len(found.same),
            )
        )
        return {"shard": self._shard, **found._asdict(), "later": read.later}

    def _left_behind(self) -> list[str]:
        """What a reload would have closed, had the gateway run when plant.toml was changed; nothing where a source may bring any machine."""
        mine = in_shard(self._settings, self._shard)
        if not all(names_all(source) for source in mine.values() if not isinstance(source, FileSource)):
            return []
        spoken = {*mine, *self._sources.machines(), *(name for source in mine.values() for name in machines_of(source))}
        closed, is_recorded = self._core.intake.ownership.closed, any(isinstance(s, FileSource) for s in mine.values())
        return left_behind(self._spool.streams(), self._spool.epoch, closed, spoken, is_recorded)

    async def _close(self, machines: list[str]) -> None:
        """Machines that nobody here speaks for any more: their state is unknown from now on, and their streams end."""
        now = time.time_ns()
        for machine in machines:
            elsewhere = any(machine in machines_of(source) for source in sources_of(self._settings).values())
            reason = "moved to another shard" if elsewhere else "not in plant.toml any more"
            items: list[Reading | Draft] = [Draft(machine, now, now, StreamClosed, {"reason": reason})]
            if not elsewhere:
                items.insert(0, no_data_draft(machine, now, now))
            await self._taking.put(Batch(MOVED, items), own=len(items))

    def _listen_for_reload(self, loop: asyncio.AbstractEventLoop) -> None:
        """SIGHUP reads plant.toml again, as with other services; a terminal that is closed ends the gateway as ever."""
        if threading.current_thread() is threading.main_thread() and not sys.stdin.isatty():
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        self._reloading = asyncio.create_task(self.reload())
        self._reloading.add_done_callback(_told)

    # ---- what happens --------------------------------------------------------------------------------------------------
    def _durable(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._link.wake()

    def _on_full(self, why: str) -> None:
        self._disk_error = why
        emit(SpoolFull(why) if why else SpoolHasRoom())

    # ---- housekeeping --------------------------------------------------------------------------------------------------
    async def _keep_house(self, health: Health, done: asyncio.Event) -> None:
        books_at = time.monotonic() + BOOKS_EVERY_S
        while not done.is_set():
            self._state = self._link.state()
            self._backlog = self._forwarder.backlog()
            error = self._disk_error or self._link.last_error or self._reload_error
            if (step := self._host_clock.look(time.time_ns(), time.monotonic_ns())) is not None:
                emit(HostClockStepped(step / 1e9))
            health.update(ready=self._link.connected and not self._disk_error, lag=float(self._backlog), error=error)
            if time.monotonic() >= books_at:
                books_at = time.monotonic() + BOOKS_EVERY_S
                await asyncio.to_thread(self._write_books)
                if self._backlog == 0:  # all that refers to a big value is on record
                    kept = max(self._settings.spool.keep_after, BIG_VALUES_LEAST_S)
                    await asyncio.to_thread(forget, self._folder, time.time() - kept)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), HEALTH_EVERY_S)
        self._state = self._link.state()

    def _write_books(self) -> None:
        with contextlib.suppress(OSError):  # a full disk is told by the spool
            write_atomic(self._books_file, self._books.encode())

    def _waiting(self) -> dict[str, float]:
        return {"backlog": self._backlog, "spool_bytes": self._spool.used(), "log_connected": self._link.connected}

    def _details(self) -> dict[str, Any]:
        return {
            "gateway": self._settings.id, "shard": self._shard, "epoch": self._spool.epoch,
            "log_connected": self._link.connected, "backlog": self._backlog, "spool_bytes": self._spool.used(), **self._keeping.health(), "sent": dict(self._link.sent),
            "sources": self._sources.health(), "reconcile": self._books.rows(self._state, time.time_ns()),
        }  # fmt: skip


def _told(reloading: asyncio.Task[dict[str, Any]]) -> None:
    """Nobody waits for the answer: what was refused is an event, and on /health."""
    if not reloading.cancelled() and not isinstance(reloading.exception(), BadConfig | None):
        reloading.result()


def _dropped(freed: int) -> None:
    emit(SpoolDropped(freed))


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"
