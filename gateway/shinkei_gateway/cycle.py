"""A finished handshake as an operation: what the machine told, with what its nodes say, or with what is unknown. Pure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import msgspec

from shinkei_events.errors import BadInput
from shinkei_events.identity import operation_id
from shinkei_events.model.operation import Operation, OperationKind, QualityReading, Resources, Result, Unit, UnitType
from shinkei_gateway.handshake import OPERATION, PRODUCT, RESOURCE, RESULT, Cycle
from shinkei_gateway.intake import Draft
from shinkei_gateway.machine_json import OperationSaid, operation_draft, parse
from shinkei_gateway.quality import BAD, BAD_NO_DATA
from shinkei_gateway.said import Taken

Side = Literal["inputs", "outputs"]
_RESULTS: dict[str, Result] = {name: name for name in get_args(Result)} | {
    "ok": "pass",
    "nok": "fail",
    "True": "pass",
    "False": "fail",
}
_OF_TEXT = ("kind", "started", "inputs", "outputs", "resources", "parameters", "result")


class PartRole(NamedTuple):
    """The value of ``role`` is the id of a part (or several)."""

    role: str
    side: Side
    type: UnitType
    item: str | None
    quantity: float
    unit: str | None


class Meaning(NamedTuple):
    """What roles mean: ``results`` maps the machine's own codes (as text)."""

    kind: OperationKind = "process"
    parts: list[PartRole] = []
    results: dict[str, Result] = {}


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


def operation_of(machine: str, name: str, cycle: Cycle, received: int, meaning: Meaning = Meaning()) -> Draft:  # noqa: B008
    """The operation of ``cycle`` of handshake ``name``. Its operation value, where there is one, must be readable.

    What the text says goes before what nodes say; a node fills in what the text leaves out.
    """
    said = cycle.values[OPERATION].value if OPERATION in cycle.values else None
    told, unknown = _nodes(cycle, meaning)
    readings, lost = _readings(cycle)
    unknown += lost
    edge = cycle.edge
    if isinstance(said, OperationSaid):
        draft = operation_draft(machine, said, received, trigger=name, edge_time=edge.time, counter=edge.counter)
        own = [_with(reading, readings.pop(reading.name, None)) for reading in said.readings]
        unknown = [field for field in unknown if "." in field or _is_open(draft.fields[field])]
        filled = {key: value for key, value in told.items() if _is_open(draft.fields[key])}
        if isinstance(told.get("resources"), Resources):
            filled["resources"] = _both(said.resources, told["resources"])
        return draft._replace(
            fields=draft.fields | filled | {"readings": own + list(readings.values()), "unknown": unknown}
        )
    if OPERATION in cycle.unknown:
        unknown = [*(field for field in _OF_TEXT if field not in told), *unknown]
    fields = {
        "operation_id": operation_id(machine, name, edge.time, edge.counter), "kind": meaning.kind, "station": machine,
        "started": cycle.previous.time if cycle.previous else edge.time, "ended": edge.time, **told,
        "readings": list(readings.values()), "unknown": list(dict.fromkeys(unknown)),
    }  # fmt: skip
    return Draft(machine, edge.time, received, Operation, fields)


def _is_open(value: Any) -> bool:
    return value in (None, [], "unknown") or value == Resources()


def _both(text: Resources, nodes: Resources) -> Resources:
    fields = Resources.__struct_fields__
    return Resources(**{f: getattr(text, f) if getattr(text, f) is not None else getattr(nodes, f) for f in fields})


# ---- what single nodes say -------------------------------------------------------------------------------------------------
def _readings(cycle: Cycle) -> tuple[dict[str, QualityReading], list[str]]:
    found = {
        role: QualityReading(role, t.value, status=t.status, time=t.time)
        for role, t in cycle.values.items()
        if not role.startswith("@")
    }
    missing = [role for role in cycle.unknown if not role.startswith("@")]
    found |= {role: QualityReading(role, None, status=BAD_NO_DATA) for role in missing}
    return found, [f"readings.{role}" for role in missing]


def _nodes(cycle: Cycle, meaning: Meaning) -> tuple[dict[str, Any], list[str]]:
    """Fields of the operation that nodes of their own give, and what of it is unknown."""
    told: dict[str, Any] = {}
    unknown: list[str] = []
    for part in meaning.parts:
        taken = _good(cycle, part.role)
        if taken is None:
            unknown.append(part.side)
        else:
            told.setdefault(part.side, []).extend(_units(part, taken.value))
    resources = {}
    for role in [*cycle.values, *cycle.unknown]:
        if role.startswith(RESOURCE):
            name, taken = role.removeprefix(RESOURCE), _good(cycle, role)
            if taken is None:
                unknown.append(f"resources.{name}")
            else:
                resources[name] = text_of(taken.value) or None
    if resources:
        told["resources"] = Resources(**resources)
    if PRODUCT in cycle.values or PRODUCT in cycle.unknown:
        taken = _good(cycle, PRODUCT)
        told["product"] = text_of(taken.value) or None if taken is not None else None
        unknown += ["product"] if taken is None else []
    if RESULT in cycle.values or RESULT in cycle.unknown:
        told["result"] = _result(_good(cycle, RESULT), meaning)
        unknown += ["result"] if told["result"] == "unknown" else []
    return told, unknown


def _good(cycle: Cycle, role: str) -> Taken | None:
    """What the machine says, unless the server itself calls it bad."""
    taken = cycle.values.get(role)
    return taken if taken is not None and taken.status < BAD and taken.value is not None else None


def _units(part: PartRole, value: Any) -> list[Unit]:
    ids = [text_of(one) for one in value] if isinstance(value, list) else [text_of(value)]
    return [Unit(id, part.type, part.item, part.quantity, part.unit) for id in ids if id]


def text_of(value: Any) -> str:
    """A serial number, recipe or tool as text; a whole number without a point (controllers keep serials as numbers)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip("\x00 \t\r\n") if value is not None else ""


def _result(taken: Taken | None, meaning: Meaning) -> Result:
    if taken is None:
        return "unknown"
    text = text_of(taken.value)
    return meaning.results.get(text) or _RESULTS.get(text) or _RESULTS.get(text.lower(), "unknown")


def _with(told: QualityReading, node: QualityReading | None) -> QualityReading:
    """A reading the operation names, with the value of its own node where there is one; the unit is the operation's."""
    return told if node is None or node.status == BAD_NO_DATA else msgspec.structs.replace(node, unit=told.unit)
