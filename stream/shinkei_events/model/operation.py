"""What happens to parts: one shape for every operation; it maps one to one onto the EPCIS 2.0 event types."""

from __future__ import annotations

from typing import Literal

import msgspec

from shinkei_events.model.frame import Value
from shinkei_events.model.numbered import Numbered

OperationKind = Literal[
    "process", "assemble", "disassemble", "inspect", "rework", "split", "merge", "pack", "unpack", "relabel", "move", "receive",
    "ship", "scrap", "restore",
]  # fmt: skip
UnitType = Literal["serial", "lot", "container", "supplier_lot"]
Result = Literal["pass", "fail", "rework", "scrap", "unknown"]


class Unit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part, lot or container. ``id`` is text, always. ``unit`` is the quantity's unit (UNECE or plain, default pieces)."""

    id: str
    type: UnitType
    item: str | None = None
    quantity: float = 1.0
    unit: str | None = None
    certainty: float = 1.0


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the operation claims to have used; setup changes are the truth, a mismatch is a finding."""

    tool: str | None = None
    recipe: str | None = None
    program: str | None = None
    fixture: str | None = None
    operator_group: str | None = None


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A set value or condition of the process (not judged)."""

    name: str
    value: Value
    unit: str | None = None


class QualityReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """A measured characteristic of the part; limits come from the master data valid at that time."""

    name: str
    value: Value
    unit: str | None = None
    status: int = 0
    time: int | None = None


class Operation(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """``kind`` was done to ``inputs`` giving ``outputs`` at ``station`` from ``started`` to ``ended`` (ns UTC).

    Pack: inputs = the packed units, outputs = the container. Ship: inputs = the units, ``to`` = the receiver. ``corrects``: the
    operation this one replaces in what is believed now; the old one stays on record.
    """

    operation_id: str
    kind: OperationKind
    station: str
    started: int
    ended: int
    inputs: list[Unit] = []
    outputs: list[Unit] = []
    resources: Resources = Resources()
    parameters: list[Parameter] = []
    readings: list[QualityReading] = []
    result: Result = "unknown"
    product: str | None = None
    order: str | None = None
    to: str | None = None
    corrects: str | None = None
    unknown: list[str] = []
