"""What the lineage takes from a recorded event: operations and setup changes as small tuples with natural keys.

Pure. Other production events (states, energy, gaps …) say nothing about parts and give None. A fact's ``eid`` comes from the source's
own identity, so the same operation read twice is one fact; ``content`` is a digest of what it says, to tell a repeat from a conflict.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from shinkei_events.identity import digest
from shinkei_events.model.machine import SetupChanged
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.operation import Operation, Unit

SHIPMENT = "shipment"
MOUNTED_TYPES = {"material": "supplier_lot"}
"""A mounted material is a supplier lot; tools, programs, fixtures and operator groups are units of a type of their own."""

_ENVELOPE = frozenset({"stream", "number", "signals", "received", "replay_of", "gap_before"})
_encode = msgspec.json.Encoder(order="sorted").encode


class UnitKey(NamedTuple):
    """The natural key of a unit: serial numbers are text and unique within their type."""

    type: str
    id: str


class Part(NamedTuple):
    """A unit's share in an operation. ``certainty`` below 1: perhaps it was another one."""

    key: UnitKey
    item: str | None
    quantity: float
    certainty: float


class OperationFact(NamedTuple):
    """An operation. ``number``: its place in ``event_raw``; ``time`` (end) and ``started``: ns UTC; ``corrects``: eid it replaces."""

    number: int
    eid: str
    time: int
    kind: str
    machine: str
    started: int
    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]
    result: str
    product: str | None
    corrects: str | None
    content: str


class SetupFact(NamedTuple):
    """Something was mounted on or unmounted from ``slot``; between ``begin`` and ``end`` (ns UTC) it is only ``certainty`` sure."""

    number: int
    eid: str
    time: int
    action: str
    machine: str
    slot: str
    unit: UnitKey
    item: str | None
    certainty: float
    begin: int
    end: int
    content: str


Fact = OperationFact | SetupFact


def fact_of(number: int, event: Numbered) -> Fact | None:
    """The fact in the event that has ``number`` in ``event_raw``; None when it says nothing about parts."""
    if isinstance(event, Operation):
        return _operation(number, event)
    if isinstance(event, SetupChanged):
        return _setup(number, event)
    return None


def eid_of(operation_id: str) -> str:
    """The 128-bit id (32 hex digits) of an operation; ids made by a gateway are that already."""
    if len(operation_id) == 32 and set(operation_id) <= set("0123456789abcdef"):
        return operation_id
    return digest("operation_id", operation_id)


def _operation(number: int, event: Operation) -> OperationFact:
    outputs = list(event.outputs)
    extra: tuple[Part, ...] = ()
    if event.kind == "ship":
        extra = (Part(UnitKey(SHIPMENT, event.order or event.operation_id), event.to, 1.0, 1.0),)
    return OperationFact(
        number, eid_of(event.operation_id), event.ended, event.kind, event.station, event.started, _parts(event.inputs),
        _parts(outputs) + extra, event.result, event.product, eid_of(event.corrects) if event.corrects else None, _content(event),
    )  # fmt: skip


def _setup(number: int, event: SetupChanged) -> SetupFact:
    key = UnitKey(MOUNTED_TYPES.get(event.unit_type, event.unit_type), event.unit)
    begin, end = event.time, event.time
    if event.certainty < 1.0:
        begin = min(event.time, event.not_before if event.not_before is not None else event.time)
        end = max(event.time, event.not_after if event.not_after is not None else event.time)
    eid = digest("setup", event.machine, event.slot, *key, event.action, event.time)
    return SetupFact(
        number,
        eid,
        event.time,
        event.action,
        event.machine,
        event.slot,
        key,
        event.item,
        event.certainty,
        begin,
        end,
        _content(event),
    )


def _parts(units: list[Unit]) -> tuple[Part, ...]:
    """One part per unit, in the order named; quantities of a unit named twice are added."""
    merged: dict[UnitKey, Part] = {}
    for unit in units:
        key = UnitKey(unit.type, unit.id)
        before = merged.get(key)
        if before is None:
            merged[key] = Part(key, unit.item, unit.quantity, unit.certainty)
        else:
            merged[key] = Part(
                key, before.item or unit.item, before.quantity + unit.quantity, max(before.certainty, unit.certainty)
            )
    return tuple(merged.values())


def _content(event: Operation | SetupChanged) -> str:
    said = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _ENVELOPE}
    return digest(_encode(said))
