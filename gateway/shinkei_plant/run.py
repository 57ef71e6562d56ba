"""Runs the simulated line: its OPC UA servers, MQTT devices, broker and recordings in one process, in step with the wall clock.

Begins listening, writes the history, waits for the gateway (so that no value is emitted to nobody), then lives until it is told to stop.
Called by ``shinkei plant run``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from pathlib import Path

from shinkei_events.errors import NotConnected
from shinkei_events.health import Health
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_plant import telemetry
from shinkei_plant.broker import Broker
from shinkei_plant.catalog import CHARACTERISTICS, MACHINE, MATERIALS, SIGNALS, S
from shinkei_plant.clock import PlantClock
from shinkei_plant.encryption import Keys
from shinkei_plant.history import write_history
from shinkei_plant.ledger import Ledger
from shinkei_plant.line import LIVE_GRID, Line
from shinkei_plant.mqtt_device import MqttDevice
from shinkei_plant.opcua_server import MachineServer, SignalNode
from shinkei_plant.player import Cuts, Player, Sink
from shinkei_plant.recording import play_recording
from shinkei_plant.settings import PlantSettings
from shinkei_plant.sparkplug_device import SparkplugDevice
from shinkei_plant.truth import TruthWriter

_SLOTS = {
    "OP20": ["tool", "program"],
    **{name: [m.slot for m in MATERIALS if m.machine == name] for name in ("OP10", "OP40", "OP50")},
}
_POLL_S = 0.05
_SETTLE_S = 0.5
_BEHIND_S = 5.0


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Run the ``[plant]`` section until ``stop`` is set. Raises `BadConfig` for wrong settings, `NotConnected` when a port is taken."""
    run_settings(section(plant, "plant", PlantSettings), plant.dir, stop)


def run_settings(settings: PlantSettings, folder: Path, stop: threading.Event) -> None:
    """The same for ``settings`` made otherwise; run files and the broker's files go into ``folder``."""
    settings.check()
    health = Health(settings.name, folder, settings.http)
    health.start()
    broker = _broker(settings, folder)
    try:
        if broker is not None:
            broker.start()
        asyncio.run(Plant(settings, folder, health, broker, stop).live())
    except OSError as error:
        raise NotConnected(f"the plant cannot listen: {error}; choose other ports in [plant] ports") from error
    finally:
        if broker is not None:
            broker.stop()
        health.stop()


def _broker(settings: PlantSettings, folder: Path) -> Broker | None:
    wanted = (
        settings.line and not settings.broker and any(MACHINE[name].protocol != "opcua" for name in settings.served)
    )
    return Broker(settings.host, settings.port("broker"), folder / "broker") if wanted else None


class Plant:
    """One process's share of the line. ``folder``: where devices keep what outlives them. ``broker``: the one started here, watched while the line lives."""

    def __init__(
        self, settings: PlantSettings, folder: Path, health: Health, broker: Broker | None, stop: threading.Event
    ) -> None:
        self._settings, self._folder, self._health, self._broker, self._stop = settings, folder, health, broker, stop
        self._truth = TruthWriter(settings.truth) if settings.truth is not None else None
        self._ledger = Ledger(settings.ledger) if settings.ledger is not None else None
        self._began = time.monotonic()

    async def live(self) -> None:
        """Everything, until stopped."""
        ends = asyncio.create_task(self._stopped())
        works = [
            asyncio.create_task(play_recording(one, self._stop, self._health)) for one in self._settings.recordings
        ]
        if self._settings.line:
            works.append(asyncio.create_task(self._line()))
        try:
            done, _ = await asyncio.wait([ends, *works], return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                work.result()
        finally:
            for task in (*works, ends):
                task.cancel()
            await asyncio.gather(*works, ends, return_exceptions=True)
            for file in (self._truth, self._ledger):
                if file is not None:
                    file.close()

    async def _stopped(self) -> None:
        while not self._stop.is_set():  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(_POLL_S)

    async def _line(self) -> None:
        settings = self._settings
        start = settings.start_time(time.time_ns())
        past = settings.history
        span = int(float(settings.history_span) * S) if past is not None and not past.exists() else 0
        cuts = Cuts(self._truth)
        line = Line(settings.seed, start - span, start=start, troubles=settings.troubles(), watch=cuts)
        sinks: list[Sink] = [self._sink(name) for name in settings.served]
        try:
            gc.disable()  # address spaces are hundreds of thousands of objects that stay; looking through them again and again costs 0.4 s
            rewound = asyncio.create_task(asyncio.to_thread(self._rewind, line, start))
            for sink in sinks:
                if isinstance(sink, MachineServer):
                    await _make(sink)
            await rewound
            cuts.due.clear()
            player = Player(line, sinks, cuts, self._ledger, self._truth)
            await player.begin()
            for sink in sinks:
                await sink.start()
            gc.enable()
            gc.freeze()
            emit(telemetry.PlantListening(len(sinks), time.monotonic() - self._began))
            self._health.update(
                ready=True, machines=sorted(player.machines), plant_time=start, speed=settings.speed, live=False
            )
            await self._wait_for_gateway(sinks)
            await self._step(player, start)
        finally:
            await asyncio.gather(*(sink.close() for sink in sinks), return_exceptions=True)

    def _rewind(self, line: Line, start: int) -> None:
        """Play the line up to ``start``: into the history file, or (a second start) not at all."""
        began = time.monotonic()
        if line.origin < start and self._settings.history is not None:
            count = write_history(self._settings.history, line, start, self._truth)
            emit(telemetry.HistoryWritten(count, time.monotonic() - began))
            return
        for record in line.play(start):
            if self._truth is not None:
                self._truth.see(record)

    def _sink(self, name: str) -> Sink:
        settings = self._settings
        url = settings.broker or f"mqtt://{settings.host}:{settings.port('broker')}"
        if MACHINE[name].protocol == "sparkplug":
            return SparkplugDevice(name, url, self._folder)
        if MACHINE[name].protocol == "mqtt":
            return MqttDevice(name, url, version5=self._broker.is_mosquitto if self._broker else settings.mqtt == "5")
        keys = Keys(settings.pki, name) if settings.pki is not None else None
        return MachineServer(name, settings.host, settings.port(name), keys)

    async def _wait_for_gateway(self, sinks: list[Sink]) -> None:
        began = time.monotonic()
        heard = False
        while not heard and time.monotonic() - began < float(self._settings.wait):
            heard = await _all_heard(sinks)
            await asyncio.sleep(_POLL_S)
        if heard:
            await asyncio.sleep(_SETTLE_S)  # a client subscribes to its nodes and topics one after the other
        for sink in sinks:
            if isinstance(sink, MqttDevice | SparkplugDevice):
                sink.go()
        emit(telemetry.PlantLive(time.monotonic() - began, heard))

    async def _step(self, player: Player, start: int) -> None:
        settings = self._settings
        end = None if settings.length is None else start + int(float(settings.length) * S)
        now = time.time_ns()
        anchored = not settings.start or (settings.speed == 1.0 and start < now)
        clock = PlantClock(start, start if anchored else now, settings.speed, end)
        clock.resume(now)
        warned = False
        while not clock.over:
            until = clock.now(time.time_ns()) // LIVE_GRID * LIVE_GRID
            if until > player.line.reached:
                await player.play(until)
            lag = clock.lag(time.time_ns())
            self._health.update(plant_time=until, live=True, lag=lag, played=player.played, cut=sorted(player.cut))
            if lag > _BEHIND_S * settings.speed and player.played > 100_000 and not warned:
                warned = True
                emit(telemetry.PlantBehind(lag))
            if self._broker is not None and not self._broker.alive:
                emit(telemetry.BrokerLost())
                with contextlib.suppress(NotConnected):  # its port is still taken: at the next step again
                    await asyncio.to_thread(self._broker.start)
            await asyncio.sleep(max(0.1 / settings.speed, 0.02))
        self._health.update(done=True)
        await asyncio.Event().wait()


async def _all_heard(sinks: list[Sink]) -> bool:
    """Servers first: a device whose broker cannot tell its subscribers believes it is heard as soon as it is asked."""
    return all([await sink.heard() for sink in sinks if isinstance(sink, MachineServer)]) and all(
        [await sink.heard() for sink in sinks]
    )


async def _make(server: MachineServer) -> None:
    """The nodes of one of the line's machines."""
    name = server.machine
    signals = [
        SignalNode(one.name, one.unit, one.unece, one.low, one.high, one.en) for one in SIGNALS if one.machine == name
    ]
    await server.make(signals, [one.name for one in CHARACTERISTICS if one.operation == name], _SLOTS.get(name, []))
