"""Which nodes of a server are watched and what each is: the configuration of one source as a list of items. Pure."""

from __future__ import annotations

from typing import NamedTuple

from shinkei_gateway.opcua.settings import OpcuaSource, SignalNode, deadband_of
from shinkei_gateway.state import COMPANIONS

EVENTS_HANDLE = 0xFFFF_FFFE
"""Client handle of the item that tells changes of the address space; no place in the list."""


class Item(NamedTuple):
    """``node`` (by namespace URI) has ``role`` (signal, state, setup, energy, trigger, cycle) ``name`` (within ``group``).

    ``channel`` names it in gap records. ``sampling`` in s. ``band``: width of the ``deadband``, in the node's unit or in percent.
    """

    node: str
    role: str
    name: str
    channel: str
    sampling: float
    queue: int
    group: str = ""
    trigger: str = "status_value_timestamp"
    deadband: str = "none"
    band: float = 0.0
    discard: str = "oldest"


def plan(source: OpcuaSource) -> list[Item]:
    """All items of ``source``; their places in the list are the client handles."""
    sampling, queue = float(source.sampling), source.queue_of()
    items = [_signal(source, signal) for signal in source.signals]
    if source.state is not None:
        items.append(Item(source.state.node, "state", "state", "@state", sampling, queue))
        for name in COMPANIONS:
            node = getattr(source.state, name)
            if node is not None:
                items.append(Item(node, "state", name, f"@state.{name}", sampling, queue))
    items += [Item(setup.node, "setup", setup.slot, f"@setup.{setup.slot}", sampling, queue) for setup in source.setup]
    items += [
        Item(energy.node, "energy", str(at), f"@energy.{energy.medium}", sampling, queue)
        for at, energy in enumerate(source.energy_nodes())
    ]
    for handshake in source.handshakes:
        name = handshake.name
        items.append(Item(handshake.trigger, "trigger", name, f"@{name}", sampling, queue, name))
        items += [
            Item(node, "cycle", role, f"@{name}.{role.lstrip('@')}", sampling, queue, name)
            for role, node in handshake.nodes().items()
        ]
    return items


def _signal(source: OpcuaSource, signal: SignalNode) -> Item:
    sampling = float(source.sampling if signal.sampling is None else signal.sampling)
    deadband, band = deadband_of(source.deadband if signal.deadband is None else signal.deadband)
    return Item(
        signal.node, "signal", signal.name, signal.name, sampling, source.queue_of(signal),
        trigger=signal.trigger or source.trigger, deadband=deadband, band=band, discard=signal.discard or source.discard,
    )  # fmt: skip
