"""A finished handshake as an operation: what the machine told, with the readings of its nodes, or with what is unknown. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shinkei_events.errors import BadInput
from shinkei_events.identity import operation_id
from shinkei_events.model.operation import Operation, QualityReading
from shinkei_gateway.handshake import OPERATION, Cycle
from shinkei_gateway.intake import Draft
from shinkei_gateway.machine_json import OperationSaid, operation_draft, parse
from shinkei_gateway.quality import BAD_NO_DATA


class Unreadable:
    """The text of an operation node that is no operation."""

    def __init__(self, text: str, error: BadInput) -> None:
        self.text, self.error = text, error


def read_operation(value: Any) -> OperationSaid | Unreadable:
    """The content of an operation node; never raises."""
    try:
        return parse(OperationSaid, str(value))
    except BadInput as error:
        return Unreadable(str(value), error)


def counter_of(value: Any) -> int | None:
    """The cycle counter that an operation names."""
    return value.counter if isinstance(value, OperationSaid) else None


def operation_of(machine: str, name: str, cycle: Cycle, received: int) -> Draft:
    """The operation of ``cycle`` of handshake ``name``. Its operation value, where there is one, must be readable."""
    said = cycle.values[OPERATION].value if OPERATION in cycle.values else None
    readings = {
        role: QualityReading(role, t.value, status=t.status, time=t.time)
        for role, t in cycle.values.items()
        if role != OPERATION
    }
    readings |= {role: QualityReading(role, None, status=BAD_NO_DATA) for role in cycle.unknown if role != OPERATION}
    unknown = [f"readings.{role}" for role in cycle.unknown if role != OPERATION]
    edge = cycle.edge
    if isinstance(said, OperationSaid):
        draft = operation_draft(
            machine, said, received, trigger=name, edge_time=edge.time, counter=edge.counter, unknown=unknown
        )
        own = [_with(reading, readings.pop(reading.name, None)) for reading in said.readings]
        return draft._replace(fields=draft.fields | {"readings": own + list(readings.values())})
    if OPERATION in cycle.unknown:
        unknown = ["kind", "started", "inputs", "outputs", "resources", "parameters", "result", *unknown]
    fields = {
        "operation_id": operation_id(machine, name, edge.time, edge.counter), "kind": "process", "station": machine,
        "started": cycle.previous.time if cycle.previous else edge.time, "ended": edge.time,
        "readings": list(readings.values()), "unknown": unknown,
    }  # fmt: skip
    return Draft(machine, edge.time, received, Operation, fields)


def _with(told: QualityReading, node: QualityReading | None) -> QualityReading:
    """A reading the operation names, with the value of its own node where there is one; the unit is the operation's."""
    return told if node is None or node.status == BAD_NO_DATA else msgspec.structs.replace(node, unit=told.unit)
