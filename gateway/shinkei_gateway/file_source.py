"""A recording (JSON lines, plain or zstd) as a source: read once, in order, into the machines' history streams.

Waits for the file, goes on after a restart where the spool's resume state says, and holds back while much is not recorded yet, so
that history never delays what machines say now. A line that cannot be understood goes to quarantine.

A new spool does not know how far an earlier one had read, and neither does the log: it counts what is on record of each machine's history,
not from where that came. So the recording is read again from its beginning, nothing is left out, and as many of a machine's first
values as are on record are marked as perhaps taken before.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.machine_json import HistoryLine, energy_draft, operation_draft, parse, setup_draft, state_draft
from shinkei_gateway.quality import clean
from shinkei_gateway.quarantine import refused
from shinkei_gateway.replay import is_value, value_again
from shinkei_gateway.settings import FileSource
from shinkei_gateway.strict import MACHINE
from shinkei_gateway.taking import Taker, wait_room
from shinkei_gateway.telemetry import RecordingReadAgain, SourceCrashed, SourceFinished

LINES = 1000
LOOK_S = 0.5
BACKLOG_S = 0.05
HEAR_S = 3.0
"""How long a new spool's first reading waits for the log: a recording has time, but is read also where the log is away for long."""


class Recording:
    """``folder``: what a relative path belongs to."""

    history = True

    def __init__(
        self, name: str, settings: FileSource, folder: Path, taker: Taker, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.name, self._settings, self._taker, self._clock = name, settings, taker, clock
        self._path = folder / settings.path
        known = taker.resume(name)
        state = known or {}
        self._is_new = known is None
        self._given: dict[str, int] | None = {} if known is None else state.get("given")
        self._told: set[str] = set()
        self._lines: int = state.get("lines", 0)
        self._done: bool = state.get("done", False)
        self._error = ""

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """See `Replayable`: a line, or a value of one."""
        if is_value(record):
            return [value_again(record, record.where, raw)]
        return items_of(parse(HistoryLine, raw), record.received, self.name)

    def machines(self) -> list[str]:
        """Not known before reading."""
        return []

    def health(self) -> dict[str, Any]:
        """For /health."""
        return {
            "type": "file",
            "path": str(self._path),
            "lines": self._lines,
            "done": self._done,
            "connected": self._done or not self._error,
            "error": self._error,
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Until the recording's end is durable, or ``stop``. A file that ends early is read again from there."""
        await self._hear(stop)
        while not stop.is_set() and not self._done:
            try:
                await self._read(stop)
            except (OSError, zstandard.ZstdError) as error:
                self._error = str(error)
            except Exception as error:  # noqa: BLE001  outermost: one source's surprise must not end the others
                self._error = f"{type(error).__name__}: {error}"
                emit(SourceCrashed(self.name, self._error))
            if not self._done:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_S)
        if self._done and not stop.is_set():
            emit(SourceFinished(self.name, str(self._path), self._lines))

    async def _hear(self, stop: asyncio.Event) -> None:
        """In a new spool, give the log a moment to say what is on record already."""
        deadline = time.monotonic() + HEAR_S
        while self._is_new and not self._taker.has_heard() and not stop.is_set() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(BACKLOG_S)

    async def _read(self, stop: asyncio.Event) -> None:
        with _open(self._path) as file:
            lines = islice(_whole_lines(file), self._lines, None)
            while not stop.is_set() and not self._done:
                part = await asyncio.to_thread(lambda: list(islice(lines, LINES)))
                if not part:
                    return
                self._error = ""
                await self._room(stop)
                if not stop.is_set():
                    await self._put(part)

    async def _room(self, stop: asyncio.Event) -> None:
        await wait_room(self._taker)
        while self._taker.backlog() > self._settings.backlog and not stop.is_set():  # noqa: ASYNC110
            await asyncio.sleep(BACKLOG_S)

    async def _put(self, part: list[bytes]) -> None:
        items: list[Reading | Draft] = []
        own = 0
        received = self._clock()
        for at, raw in enumerate(part, self._lines + 1):
            try:
                line = parse(HistoryLine, raw)
                if line.end is not None:
                    self._done = True
                    part = part[: at - self._lines]
                    break
                found = items_of(line, received, self.name)
            except BadInput as error:
                found = [refused(self.name, self.name, f"{self._settings.path}:{at}", raw, error, received)]
            own += len(found) - 1
            items += found
        self._lines += len(part)
        is_again = self._is_again(items)
        resume: dict[str, Any] = {"lines": self._lines, "done": self._done}
        if self._given is not None:
            resume["given"] = dict(self._given)
        batch = Batch(self.name, items, resume, history=True, maybe_again=is_again)
        await self._taker.put(batch, own=own, offered=len(part) - self._done)

    def _is_again(self, items: list[Reading | Draft]) -> bool:
        """Whether some of ``items`` may be on record already, by a spool that is gone."""
        if self._given is None:
            return False
        found = False
        counts = Counter(item.machine for item in items if isinstance(item, Reading) or item.type is not Quarantined)
        for machine, count in counts.items():
            given, recorded = self._given.get(machine, 0), self._taker.recorded_before(machine)
            self._given[machine] = given + count
            if given < recorded:
                found = True
                if machine not in self._told:
                    self._told.add(machine)
                    emit(RecordingReadAgain(self.name, str(self._path), machine, recorded))
        return found


def items_of(line: HistoryLine, received: int, source: str) -> list[Reading | Draft]:
    """The reading or event of a line (and the quarantine record of a value that cannot be carried). Raises `BadField`."""
    if not MACHINE.fullmatch(line.m):
        raise BadField("$.m", line.m, "a machine's short id")
    if line.signal is not None:
        reading, copy = clean(Reading(line.m, line.signal, line.t, line.v, line.s, received), source)
        return [reading] if copy is None else [reading, copy]
    if line.operation is not None:
        return [operation_draft(line.m, line.operation, received)]
    if line.state is not None:
        return [state_draft(line.m, line.state, received, line.t)]
    if line.setup is not None:
        return [setup_draft(line.m, line.setup, received, line.t)]
    if line.energy is not None:
        return [energy_draft(line.m, line.energy, received, line.t)]
    raise BadField("$", "", "one of signal, state, operation, setup, energy or end")


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    if path.suffix != ".zst":
        return file
    stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True)
    return io.BufferedReader(stream, 1 << 18)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines that are finished; half a line at the end is still being written."""
    for line in file:
        if not line.endswith(b"\n"):
            return
        if line.strip():
            yield line
