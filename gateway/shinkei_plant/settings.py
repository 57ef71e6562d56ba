"""The ``[plant]`` section: which line is simulated, how fast, with which troubles, and where its machines listen.

Read once at the edge; checking here never connects.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration
from shinkei_plant.catalog import MACHINE, S
from shinkei_plant.faults import Planned, story

DEFAULT_PORTS = {
    "OP10": 48410,
    "OP20": 48420,
    "OP40": 48440,
    "OP50": 48450,
    "OP60": 48460,
    "OP70": 48470,
    "broker": 1883,
}
"""Ports of the OPC UA machines and of the broker that the MQTT devices use."""


class RecordingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CSV file played as an OPC UA machine.

    ``file``: a time column and signal columns, separated by ``,`` or ``;``. ``machine``: its name (default: the file's). ``port``: 0 for any free one.
    ``speed``: how many times faster than recorded. ``times``: source times are the ``file``'s own, begin ``now`` and go on as in the file, or
    are the moments at which rows are ``played``.
    ``wait``: how long to wait for a subscriber before the first row is played. ``leave_out``: columns that are not signals.
    """

    file: Path
    machine: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    times: Literal["file", "now", "played"] = "file"
    wait: Duration = Duration(3600.0)
    leave_out: tuple[str, ...] = ("anomaly", "changepoint")

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.machine or self.file.stem.replace("/", "_")


class PlantSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated line.

    ``seed``: everything follows from it and ``start``. ``speed``: machines and their source times run so many times faster.
    ``calm``: no planted story. ``faults``: ``NAME@SECONDS[:STRENGTH]`` from the start on. ``machines``: those served here (empty: all).
    ``broker``: address for the MQTT devices (empty: one is started here, on ``ports.broker``); ``mqtt``: the version it speaks. ``start``: ISO time at which the live
    line begins (empty: now). ``history``: a file to write the line's last ``history_span`` into, unless it is there. ``ledger``,
    ``truth``: files for tests and drills. ``length``: plant time after which the machines stand still. ``wait``: how long to wait
    for the gateway before the line begins to live. ``pki``: a folder with ``own/<machine>.pem`` (key and certificate) and ``trusted/``; with it the
    OPC UA machines speak encrypted, and no other way. ``recordings``: CSV files played beside, or instead of, the line.
    """

    seed: int = 1
    speed: float = 1.0
    calm: bool = False
    faults: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    line: bool = True
    host: str = "127.0.0.1"
    ports: dict[str, int] = {}
    broker: str = ""
    mqtt: Literal["5", "3.1.1"] = "5"
    start: str = ""
    history: Path | None = None
    history_span: Duration = Duration(8 * 3600.0)
    ledger: Path | None = None
    truth: Path | None = None
    length: Duration | None = None
    wait: Duration = Duration(30.0)
    http: str = "127.0.0.1:0"
    name: str = "plant"
    pki: Path | None = None
    recordings: tuple[RecordingSettings, ...] = ()

    @property
    def served(self) -> tuple[str, ...]:
        """The machines served by this process."""
        return self.machines or tuple(MACHINE)

    def port(self, name: str) -> int:
        """The port of a machine, or of ``broker``."""
        return self.ports.get(name, DEFAULT_PORTS[name])

    def troubles(self) -> list[Planned]:
        """The story, unless calm, and the faults asked for. Raises `BadConfig`."""
        planned = [] if self.calm else list(story(self.seed))
        return planned + [Planned.parse(text) for text in self.faults]

    def start_time(self, now: int) -> int:
        """When the live line begins, ns UTC in whole seconds. Raises `BadConfig`."""
        if not self.start:
            return now // S * S
        try:
            given = datetime.fromisoformat(self.start)
        except ValueError as error:
            raise BadConfig(
                "plant.start", self.start, "expected an ISO time with its zone, like 2026-11-23T06:00:00+00:00"
            ) from error
        if given.tzinfo is None:
            raise BadConfig("plant.start", self.start, "expected a zone, like +00:00")
        return int(given.timestamp()) * S

    def check(self) -> None:
        """Raises `BadConfig` for values that cannot be met."""
        if not 0.0 < self.speed <= 1000.0:
            raise BadConfig("plant.speed", self.speed, "expected a number above 0 up to 1000")
        for name in self.machines:
            if name not in MACHINE:
                raise BadConfig("plant.machines", name, f"expected some of {', '.join(MACHINE)}")
        for name in self.ports:
            if name not in DEFAULT_PORTS:
                raise BadConfig("plant.ports", name, f"expected some of {', '.join(DEFAULT_PORTS)}")
        self.troubles()
        self.start_time(0)
