"""Plays the line to its machines in step with the plant's clock: first the moment it begins to live at, then everything that follows.

Knows sinks (OPC UA servers, MQTT devices) only by their protocol. Called by `run`.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from shinkei_events.telemetry import emit
from shinkei_plant.catalog import SIGNALS
from shinkei_plant.faults import Trouble, Watch
from shinkei_plant.ledger import Ledger
from shinkei_plant.line import LIVE_GRID, Line
from shinkei_plant.opcua_server import MachineServer
from shinkei_plant.records import Document, Record, SignalSample, StateChange
from shinkei_plant.telemetry import MachineCut
from shinkei_plant.truth import TruthWriter

_BREATH = 200
"""After so many records other tasks (publishing) get their turn."""


class Sink(Protocol):
    """Where a machine's records go. All calls come from one event loop, in time order."""

    machine: str

    async def start(self) -> None:
        """Begin to listen, or to connect. Called once, after the first values were written (OPC UA) or before (MQTT)."""

    async def write(self, record: Record) -> None:
        """Say ``record``. Must not wait for a network."""

    async def heard(self) -> bool:
        """Whether somebody listens by now."""

    async def close(self) -> None:
        """Safe after a failed start; bounded in time."""


class Cuts(Watch):
    """Keeps the truth, and notes which machines are to be cut from the network."""

    def __init__(self, truth: TruthWriter | None) -> None:
        self._truth = truth
        self.due: list[tuple[str, bool, int]] = []

    def began(self, trouble: Trouble) -> None:
        """A trouble began."""
        if trouble.kind.name == "network_cut":
            self.due.append((trouble.kind.machine, True, trouble.start))
        if self._truth is not None:
            self._truth.began(trouble)

    def ended(self, trouble: Trouble, time: int) -> None:
        """It ended."""
        if trouble.kind.name == "network_cut":
            self.due.append((trouble.kind.machine, False, time))
        if self._truth is not None:
            self._truth.ended(trouble, time)

    def hit(self, trouble: Trouble, unit: str) -> None:
        """It affects ``unit``."""
        if self._truth is not None:
            self._truth.hit(trouble, unit)

    def cause(self, trouble: Trouble, cause: str) -> None:
        """Its cause."""
        if self._truth is not None:
            self._truth.cause(trouble, cause)


class Player:
    """Brings records of ``line`` to ``sinks`` by machine, to the ledger and the truth."""

    def __init__(
        self, line: Line, sinks: list[Sink], cuts: Cuts, ledger: Ledger | None = None, truth: TruthWriter | None = None
    ) -> None:
        self.line, self.cuts, self.ledger, self.truth = line, cuts, ledger, truth
        self.sinks = {sink.machine: sink for sink in sinks}
        self.machines = frozenset(self.sinks)
        self.played = 0
        self.cut: set[str] = set()

    async def begin(self) -> None:
        """Say how every machine stands at the moment the line is at: state, setup, energy, one value of each signal."""
        time = self.line.reached
        for name, sink in self.sinks.items():
            machine = self.line.stations[name].machine
            if isinstance(sink, MachineServer):
                await sink.counted(machine.cycles, time)
            first = StateChange(
                name, time, machine.state, machine.reason, machine.product, machine.recipe, machine.tool
            )
            records: list[Record] = [first, *machine.mounted(time), machine.energy(time)]
            for record in records:
                await self._say(record)
        for spec in SIGNALS:
            if spec.machine in self.machines:
                await self._say(
                    SignalSample(spec.machine, spec.name, time, self.line.value(spec.machine, spec.name, time))
                )
        if self.ledger is not None:
            self.ledger.flush()

    async def play(self, until: int) -> int:
        """Play up to ``until`` (ns UTC of the plant); returns how many records were said."""
        before = self.played
        for record in self.line.play(until, LIVE_GRID, self.machines):
            if self.cuts.due:
                await self._cut()
            if self.truth is not None:
                self.truth.see(record)
            if record.machine in self.machines and not isinstance(record, Document):
                await self._say(record)
                if self.played % _BREATH == 0:
                    await asyncio.sleep(0)
        await self._cut()
        if self.ledger is not None:
            self.ledger.flush()
        return self.played - before

    async def _say(self, record: Record) -> None:
        self.played += 1
        await self.sinks[record.machine].write(record)
        if self.ledger is not None:
            self.ledger.write(record)

    async def _cut(self) -> None:
        for machine, cut, time in self.cuts.due:
            sink = self.sinks.get(machine)
            if isinstance(sink, MachineServer):
                await sink.cut(cut)
                emit(MachineCut(machine, cut))
                (self.cut.add if cut else self.cut.discard)(machine)
                if self.ledger is not None:
                    self.ledger.cut(machine, time, over=not cut)
        self.cuts.due.clear()
