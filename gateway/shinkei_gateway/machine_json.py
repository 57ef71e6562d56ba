"""What machines say in the language's own words (JSON objects), as drafts of events. Pure.

OPC UA's operation node, MQTT payloads and history files share these shapes. Everything wrong is a `BadField` with its path: the
caller puts the message into quarantine and goes on with its neighbours. Unknown fields are ignored.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

import msgspec

from shinkei_events.errors import BadField
from shinkei_events.identity import operation_id
from shinkei_events.model.frame import Value
from shinkei_events.model.machine import EnergyCounted, MachineStateChanged, SetupChanged, State
from shinkei_events.model.operation import Operation, OperationKind, Parameter, QualityReading, Resources, Result, Unit
from shinkei_gateway.intake import Draft

_PATH = re.compile(r" - at `(.*)`$")
T = TypeVar("T")
Medium = Literal["electricity", "compressed_air", "gas", "water", "heat"]
SetupType = Literal["tool", "program", "material", "fixture", "operator_group"]


class OperationSaid(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as the machine tells it; times ns UTC. ``counter``: the machine's cycle counter."""

    kind: OperationKind
    station: str
    started: int
    ended: int
    counter: int | None = None
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


class StateSaid(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's state from ``ts`` on."""

    state: State
    ts: int | None = None
    reason: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None
    code: str | None = None


class SetupSaid(msgspec.Struct, frozen=True, kw_only=True):
    """Something mounted on or unmounted from a slot at ``ts``."""

    slot: str
    unit: str
    unit_type: SetupType
    action: Literal["mounted", "unmounted"]
    ts: int | None = None
    item: str | None = None
    certainty: float = 1.0
    not_before: int | None = None
    not_after: int | None = None


class EnergySaid(msgspec.Struct, frozen=True, kw_only=True):
    """An energy counter at ``ts``."""

    medium: Medium
    value: float
    unit: str
    ts: int | None = None


class HistoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a recording: of machine ``m`` at ``t``, one of the rest; or the ``end``."""

    m: str = ""
    t: int = 0
    signal: str | None = None
    v: Value = None
    s: int = 0
    state: StateSaid | None = None
    operation: OperationSaid | None = None
    setup: SetupSaid | None = None
    energy: EnergySaid | None = None
    end: int | None = None


Said = OperationSaid | StateSaid | SetupSaid | EnergySaid

_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def parse(kind: type[T], raw: bytes | str) -> T:
    """``raw`` as ``kind``; raises `BadField`."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        found: T = decoder.decode(raw)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _PATH.search(text)
        raise BadField(at[1] if at else "$", "", text[: at.start()] if at else text) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError) as error:
        raise BadField("$", raw[:60], f"JSON ({error})") from error
    return found


def operation_draft(machine: str, said: OperationSaid, received: int, *, trigger: str = "operation", edge_time: int | None = None,
                    counter: int | None = None, unknown: list[str] | None = None) -> Draft:  # fmt: skip
    """The operation that the edge at ``edge_time`` (default: its end) closed. The id is a pure function of the edge: read twice, it is the same."""
    time = said.ended if edge_time is None else edge_time
    count = said.counter if counter is None else counter
    fields = {name: getattr(said, name) for name in OperationSaid.__struct_fields__ if name != "counter"}
    fields |= {"operation_id": operation_id(machine, trigger, time, count), "unknown": list(unknown or [])}
    return Draft(machine, time, received, Operation, fields)


def state_draft(machine: str, said: StateSaid, received: int, time: int | None = None) -> Draft:
    """A machine state. ``time`` (default the message's own, else receipt)."""
    fields = {name: getattr(said, name) for name in ("state", "reason", "product", "recipe", "tool", "code")}
    return Draft(machine, _time(time, said.ts, received), received, MachineStateChanged, fields | {"by": "machine"})


def no_data_draft(machine: str, time: int, received: int) -> Draft:
    """The gateway has lost the machine: it is not idle, nobody knows what it does."""
    return Draft(machine, time, received, MachineStateChanged, {"state": "NO_DATA", "by": "gateway"})


def setup_draft(machine: str, said: SetupSaid, received: int, time: int | None = None) -> Draft:
    """A change of set-up."""
    names = ("slot", "unit", "unit_type", "action", "item", "certainty", "not_before", "not_after")
    return Draft(
        machine, _time(time, said.ts, received), received, SetupChanged, {name: getattr(said, name) for name in names}
    )


def energy_draft(machine: str, said: EnergySaid, received: int, time: int | None = None) -> Draft:
    """An energy counter."""
    fields = {"medium": said.medium, "value": said.value, "unit": said.unit}
    return Draft(machine, _time(time, said.ts, received), received, EnergyCounted, fields)


def draft_of(machine: str, said: Said, received: int) -> Draft:
    """The draft of any of the shapes."""
    if isinstance(said, OperationSaid):
        return operation_draft(machine, said, received)
    if isinstance(said, StateSaid):
        return state_draft(machine, said, received)
    if isinstance(said, SetupSaid):
        return setup_draft(machine, said, received)
    return energy_draft(machine, said, received)


def _time(given: int | None, own: int | None, received: int) -> int:
    if given is not None:
        return given
    return received if own is None else own
