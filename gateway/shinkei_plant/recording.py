"""Any CSV with a time column as a machine: its rows are played over OPC UA, with the file's own times or beginning now.

Separators ``,`` or ``;``; times ISO or ``YYYY-MM-DD HH:MM:SS`` (taken as UTC), or numbers (Unix seconds). Nodes: ``Signals.<column>``,
``State`` (EXECUTE, at the end COMPLETE), ``Ready`` (the server has everything), ``Started`` and ``RecordingDone``. No row is played before a client
monitors something; the first row is the value the nodes hold at the beginning.
"""

from __future__ import annotations

import asyncio
import csv
import math
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from shinkei_events.errors import BadConfig
from shinkei_events.health import Health
from shinkei_events.telemetry import emit
from shinkei_plant.catalog import MS
from shinkei_plant.opcua_server import MachineServer, SignalNode
from shinkei_plant.records import SignalSample, StateChange
from shinkei_plant.settings import RecordingSettings
from shinkei_plant.telemetry import RecordingPlayed, RecordingServed

_TIME_NAMES = ("timestamp", "datetime", "time", "date", "ts")
_BAD_NO_DATA = 0x809B0000
_STEP_S = 0.02
_SETTLE_S = 1.0


class Row(NamedTuple):
    """One row: ns UTC and a value for each signal (None: the cell is empty or no number)."""

    time: int
    values: list[float | None]


class Recording(NamedTuple):
    """A file: the names of its signals, as they are named in nodes, and its rows in file order."""

    signals: list[str]
    rows: list[Row]


def read_recording(path: Path, leave_out: tuple[str, ...] = ()) -> Recording:
    """Read a CSV file. Raises `BadConfig` when it cannot be read, has no time column, no signal, or a time that is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=";" if first.count(";") > first.count(",") else ",")
            return _parse(path, reader, {name.lower() for name in leave_out})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadConfig("recording", str(path), f"cannot be read: {error}") from error


def _parse(path: Path, reader: Iterator[list[str]], leave_out: set[str]) -> Recording:
    header = [name.strip() for name in next(reader, [])]
    at = next((i for i, name in enumerate(header) if name.lower() in _TIME_NAMES), None)
    if at is None:
        raise BadConfig(
            "recording", str(path), f"has no time column; expected one of {', '.join(_TIME_NAMES)} in its first line"
        )
    columns = [i for i, name in enumerate(header) if i != at and name and name.lower() not in leave_out]
    if not columns:
        raise BadConfig("recording", str(path), "has no signal column")
    rows = []
    for number, cells in enumerate(reader, 2):
        if cells:
            if len(cells) <= at:
                raise BadConfig("recording", f"{path}:{number}", "the row has no time")
            rows.append(
                Row(
                    _time(cells[at], f"{path}:{number}"),
                    [_number(cells[i]) if i < len(cells) else None for i in columns],
                )
            )
    return Recording([header[i].replace(" ", "_") for i in columns], rows)


def _time(text: str, where: str) -> int:
    try:
        return round(float(text) * 1e9)
    except ValueError:
        pass  # no number of seconds: then a date
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadConfig("recording", where, f"{text!r} is not a time") from error
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return round(found.timestamp()) * 10**9 + found.microsecond * 1000


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


async def play_recording(settings: RecordingSettings, stop: threading.Event, health: Health | None = None) -> None:
    """Serve and play one recording; goes on serving after its end until cancelled or ``stop`` is set."""
    recording = await asyncio.to_thread(read_recording, settings.file, settings.leave_out)
    server = MachineServer(settings.name, settings.host, settings.port or free_port(settings.host))
    try:
        await server.make([SignalNode(name) for name in recording.signals], [], [], cycle=False)
        await Playing(server, recording, settings, stop, health).run()
    finally:
        await server.close()


def free_port(host: str) -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Playing:
    """One recording on its server."""

    def __init__(
        self,
        server: MachineServer,
        recording: Recording,
        settings: RecordingSettings,
        stop: threading.Event,
        health: Health | None,
    ) -> None:
        self._server, self._recording, self._settings = server, recording, settings
        self._stop, self._health = stop, health
        self._first = recording.rows[0].time if recording.rows else 0
        self._begin = time.time_ns() // MS * MS if settings.times == "now" else self._first
        self._last = 0

    async def run(self) -> None:
        """Ready, wait for a subscriber, play, done."""
        rows = self._recording.rows
        now = self._at(self._first)
        await self._server.flag("Started", False, now)
        await self._server.flag("RecordingDone", False, now)
        await self._server.write(StateChange(self._settings.name, now, "EXECUTE"))
        if rows:
            await self._row(rows[0], now)
        await self._server.flag("Ready", True, now)
        await self._server.start()
        self._tell(ready=True, played=0)
        signals, wait = len(self._recording.signals), float(self._settings.wait)
        emit(RecordingServed(self._settings.name, self._server.url, signals, wait))
        await self._wait()
        await self._server.flag("Started", True, now)
        began = time.monotonic()
        for number, row in enumerate(rows[1:], 1):
            due = began + (row.time - self._first) / 1e9 / self._settings.speed
            while not self._stop.is_set() and (ahead := due - time.monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(min(ahead, 0.2))
            if self._stop.is_set():
                return
            await self._row(row, self._at(row.time))
            if number % 50 == 0:
                self._tell(played=number)
            await asyncio.sleep(0)  # also when it is behind: a machine that does not answer meanwhile is taken for dead
        end = self._at(rows[-1].time if rows else 0)
        await self._server.write(StateChange(self._settings.name, end, "COMPLETE"))
        await self._server.flag("RecordingDone", True, end)
        self._tell(played=len(rows), done=True)
        emit(RecordingPlayed(self._settings.name, len(rows)))
        await asyncio.Event().wait()

    def _at(self, recorded: int) -> int:
        """The source time of what the file says was at ``recorded``."""
        if self._settings.times != "played":
            return recorded - self._first + self._begin
        self._last = max(self._last + MS, time.time_ns() // MS * MS)
        return self._last

    async def _row(self, row: Row, at: int) -> None:
        machine = self._settings.name
        for name, value in zip(self._recording.signals, row.values, strict=True):
            await self._server.write(SignalSample(machine, name, at, value, 0 if value is not None else _BAD_NO_DATA))

    async def _wait(self) -> None:
        began, known, since = time.monotonic(), 0, 0.0
        while time.monotonic() - began < float(self._settings.wait) and not self._stop.is_set():
            if self._server.subscribed_items != known:
                known, since = self._server.subscribed_items, time.monotonic()
            if known and time.monotonic() - since > _SETTLE_S:
                return
            await asyncio.sleep(_STEP_S)

    def _tell(self, *, ready: bool | None = None, **details: object) -> None:
        if self._health is not None:
            known = self._health.snapshot()["details"].get("recordings", {})
            told = {"url": self._server.url, **details}
            self._health.update(ready=ready, recordings={**known, self._settings.name: told})
