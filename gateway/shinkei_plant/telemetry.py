"""What the plant tells whoever runs it; never anything about planted troubles."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class PlantListening(Telemetry, frozen=True):
    """The machines of this process can be reached."""

    machines: int
    after_s: float
    text: ClassVar[str] = "{machines} machines listen after {after_s:.1f} s"


class PlantLive(Telemetry, frozen=True):
    """The line runs."""

    waited_s: float
    heard: bool
    text: ClassVar[str] = "the line runs; waited {waited_s:.1f} s for the gateway (heard: {heard})"


class HistoryWritten(Telemetry, frozen=True):
    """The line's past is in a file."""

    records: int
    seconds: float
    text: ClassVar[str] = "history written: {records} records in {seconds:.1f} s"


class MachineCut(Telemetry, frozen=True):
    """A machine left the network, or is there again."""

    machine: str
    cut: bool
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "machine {machine} network cut: {cut}"


class ClientRefused(Telemetry, frozen=True):
    """A client's session was not let in."""

    machine: str
    why: str
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "machine {machine} refused a client: {why}"


class PlantBehind(Telemetry, frozen=True):
    """The simulation cannot keep its speed on this computer."""

    lag_s: float
    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the line is {lag_s:.1f} s of plant time behind its clock; lower --speed"


class BrokerLost(Telemetry, frozen=True):
    """The line's MQTT broker ended by itself and is started again."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the MQTT broker ended by itself; starting it again"


class RecordingServed(Telemetry, frozen=True):
    """A recording's machine can be reached; it is played when somebody listens."""

    machine: str
    url: str
    signals: int
    wait_s: float
    text: ClassVar[str] = (
        "recording {machine}: {signals} signals at {url}; it is played when a client subscribes, or after {wait_s:g} s"
    )


class RecordingPlayed(Telemetry, frozen=True):
    """A recording is at its end."""

    machine: str
    rows: int
    text: ClassVar[str] = "recording {machine}: {rows} rows played"
