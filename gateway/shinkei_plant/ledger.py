"""What each machine has really emitted: every value and event with its source time, one append-only file of JSON lines.

An end-to-end test compares the database with it exactly. The shapes are those of the history file; a machine whose network was cut
says so (``cut``), what follows until the cut ends could reach nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from shinkei_events.model.frame import Value
from shinkei_plant.records import Document, EnergyCounter, OperationDone, Record, SetupChange, SignalSample, StateChange

_encode = msgspec.json.Encoder().encode


class SampleLine(msgspec.Struct, omit_defaults=True):
    """A value of a signal; ``s`` is its status."""

    m: str
    t: int
    signal: str
    v: Value
    s: int = 0


class StateBody(msgspec.Struct, omit_defaults=True):
    """A machine's state as it is said outside."""

    ts: int
    state: str
    reason: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None


class SetupBody(msgspec.Struct, omit_defaults=True):
    """A setup change as it is said outside."""

    ts: int
    slot: str
    unit: str
    unit_type: str
    action: str
    item: str | None = None
    certainty: float = 1.0
    not_before: int | None = None
    not_after: int | None = None


class EnergyBody(msgspec.Struct):
    """An energy counter as it is said outside."""

    ts: int
    medium: str
    value: float
    unit: str


class EventLine(msgspec.Struct, omit_defaults=True):
    """An event: exactly one of the four is there."""

    m: str
    t: int
    state: StateBody | None = None
    operation: OperationDone | None = None
    setup: SetupBody | None = None
    energy: EnergyBody | None = None


def body(record: StateChange | SetupChange | EnergyCounter) -> StateBody | SetupBody | EnergyBody:
    """The object that stands for ``record`` outside: MQTT payload, history and ledger."""
    match record:
        case StateChange():
            return StateBody(record.time, record.state, record.reason, record.product, record.recipe, record.tool)
        case SetupChange():
            return SetupBody(record.time, record.slot, record.unit, record.unit_type, record.action, record.item, record.certainty,
                             record.not_before, record.not_after)  # fmt: skip
        case EnergyCounter():
            return EnergyBody(record.time, record.medium, record.value, record.unit)


def line_of(record: Record) -> bytes | None:
    """The JSON line of ``record`` without its end; None for what no machine emits."""
    match record:
        case SignalSample():
            return _encode(SampleLine(record.machine, record.time, record.signal, record.value, record.status))
        case OperationDone():
            return _encode(EventLine(record.station, record.ended, operation=record))
        case StateChange():
            return _encode(EventLine(record.machine, record.time, state=body(record)))  # type: ignore[arg-type]
        case SetupChange():
            return _encode(EventLine(record.machine, record.time, setup=body(record)))  # type: ignore[arg-type]
        case EnergyCounter():
            return _encode(EventLine(record.machine, record.time, energy=body(record)))  # type: ignore[arg-type]
        case Document():
            return None


class Ledger:
    """Appends to ``path``; lines reach the disk's cache at each `flush`, which the player calls after every step."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab", buffering=1 << 16)

    def write(self, record: Record) -> None:
        """Note that the machine emitted ``record``."""
        line = line_of(record)
        if line is not None:
            self._file.write(line + b"\n")

    def cut(self, machine: str, time: int, over: bool) -> None:
        """The machine's network was cut at ``time``, or is there again (``over``)."""
        self._file.write(_encode({"m": machine, "t": time, "cut": "end" if over else "begin"}) + b"\n")

    def flush(self) -> None:
        """Give everything so far to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ledger as objects; a last line that was cut by a kill is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line)
