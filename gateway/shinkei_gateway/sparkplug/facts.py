"""What a host learns of its edge nodes and devices, as values: what came, and what follows from it. Pure.

Made by `host`; `translate` and `births` make readings and events of them, `source` does what they ask for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shinkei_gateway.sparkplug.topic import Kind, NodeId


class Message(NamedTuple):
    """A message of an edge node, its payload decoded. ``digest``: of its bytes."""

    kind: Kind
    node: NodeId
    device: str | None
    payload: Any
    received: int
    digest: int


class Born(NamedTuple):
    """A birth: these metrics are all there are. ``cause``: since when and why nothing is proven before it (None: nothing happened)."""

    node: NodeId
    device: str | None
    payload: Any
    received: int
    cause: str | None


class Said(NamedTuple):
    """Data of a node or device that was born."""

    node: NodeId
    device: str | None
    payload: Any
    received: int


class Died(NamedTuple):
    """A device, or a node with all of its devices, is offline from ``time`` on: state unknown, metrics stale."""

    node: NodeId
    device: str | None
    time: int
    received: int


class Lost(NamedTuple):
    """``messages`` messages of the node never came; it is not known whose."""

    node: NodeId
    messages: int
    received: int
    until: int


class AskRebirth(NamedTuple):
    """Send the node a rebirth request."""

    node: NodeId
    why: str


class Deviates(NamedTuple):
    """The node does what the specification forbids; it was understood all the same. Told once for each ``what``."""

    node: NodeId
    what: str


class Refused(NamedTuple):
    """The birth of a node or device for which there is no room (`Room`): nothing of it is remembered, and what it says is not taken."""

    node: NodeId
    device: str | None
    payload: Any
    received: int


Fact = Born | Said | Died | Lost | AskRebirth | Deviates | Refused
