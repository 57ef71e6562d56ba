"""A node's quarantined value, taken again by what the configuration says of that node now. Pure; changes no machine's present state.

The record's ``where`` is the node, ``state.<role>``, or ``handshake <name> [<counter>]``. Called by `source` for `Replay` commands.
"""

from __future__ import annotations

import re

import msgspec

from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.machine_json import (
    EnergySaid,
    OperationSaid,
    energy_draft,
    operation_draft,
    parse,
    setup_draft,
    state_draft,
)
from shinkei_gateway.opcua.binary import Scope, guarded, variant
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.quality import is_finite
from shinkei_gateway.replay import value_again
from shinkei_gateway.setup import Slots
from shinkei_gateway.state import Change, MachineState

_HANDSHAKE = re.compile(r"handshake (.+?)(?: (\d+))?")


def node_again(
    source: OpcuaSource, items: list[Item], record: Quarantined, raw: bytes, scope: Scope | None = None
) -> list[Reading | Draft]:
    """Raises `BadInput` when the node is not watched any more, or its value is still not understood.

    ``scope``: what the server's own bytes are decoded with; None while it is not connected.
    """
    if raw is record.raw and record.content_type == "application/octet-stream":
        raw = _decoded(record, scope)
    if (found := _HANDSHAKE.fullmatch(record.where)) is not None:
        return [_operation(source, found[1], found[2], record, raw)]
    if record.where.startswith("state."):
        return _state(source, record.where.removeprefix("state."), record, raw)
    item = next((i for i in items if record.where in (i.node, i.name)), None)
    if item is None:
        raise BadInput(f"{record.reference}: {record.where} is no node of this source any more")
    if item.role == "signal":
        return [value_again(record, item.name, raw)]
    if item.role == "state":
        return _state(source, item.name, record, raw)
    if item.role == "setup":
        told = Slots(source.setup).take(item.name, record.time, raw.decode(errors="replace"))
        return [setup_draft(record.machine, said, record.received) for said in told]
    if item.role == "energy":
        return [_energy(source, item, record, raw)]
    raise BadInput(f"{record.reference}: a value of handshake {item.group} belongs to its cycle, which has passed")


def _decoded(record: Quarantined, scope: Scope | None) -> bytes:
    """A value as the server sent it (Part 6 §5.2.2.16), as JSON: its structure may be known by now."""
    if scope is None:
        raise BadInput(
            f"{record.reference}: its machine is not connected, so its types are not known; give the value as payload"
        )
    with guarded("the value"):
        value, _ = variant(scope, record.raw, 0)
    if not is_finite(value):
        raise BadField("$.value", value, "finite numbers; give the value as payload")
    return msgspec.json.encode(value)


def _operation(source: OpcuaSource, name: str, counter: str | None, record: Quarantined, raw: bytes) -> Draft:
    handshake = next((handshake for handshake in source.handshakes if handshake.name == name), None)
    if handshake is None:
        raise BadInput(f"{record.reference}: handshake {name} is not in this source any more")
    said, count = parse(OperationSaid, raw), None if counter is None else int(counter)
    unknown = [f"readings.{role}" for role in handshake.readings]
    return operation_draft(
        record.machine, said, record.received, trigger=name, edge_time=record.time, counter=count, unknown=unknown
    )


def _state(source: OpcuaSource, role: str, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
    machine = MachineState(source.state.map if source.state is not None else {})
    told, bad = machine.take([Change(role, record.time, raw.decode(errors="replace"))], record.time)
    if bad:
        raise bad[0][1]
    return [state_draft(record.machine, said, record.received) for said in told]


def _energy(source: OpcuaSource, item: Item, record: Quarantined, raw: bytes) -> Draft:
    node = source.energy_nodes()[int(item.name)]
    value = value_again(record, item.channel, raw).value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadField("$.value", value, "a number")
    said = EnergySaid(medium=node.medium, value=float(value), unit=node.unit)
    return energy_draft(record.machine, said, record.received, record.time)
