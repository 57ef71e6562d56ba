"""Sparkplug topics ``spBv1.0/group/type/node[/device]`` and a host's STATE topic (Sparkplug 3.0, 4). Pure. Case counts everywhere."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from shinkei_events.errors import BadField

NAMESPACE = "spBv1.0"
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH")
Kind = Literal["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"]


class NodeId(NamedTuple):
    """An edge node: unique by group and name together (tck-id-intro-edge-node-id-uniqueness)."""

    group: str
    node: str

    def __str__(self) -> str:
        return f"{self.group}/{self.node}"


class Address(NamedTuple):
    """What a topic says. ``device`` is None for the edge node's own messages."""

    kind: Kind
    id: NodeId
    device: str | None


def parse(topic: str) -> Address:
    """Raises `BadField` for what is no topic of an edge node's or device's message to a host."""
    levels = topic.split("/")
    if levels[0] == NAMESPACE and all(levels):
        if len(levels) == 4 and levels[2] in NODE_KINDS:
            return Address(cast("Kind", levels[2]), NodeId(levels[1], levels[3]), None)
        if len(levels) == 5 and levels[2] in DEVICE_KINDS:
            return Address(cast("Kind", levels[2]), NodeId(levels[1], levels[3]), levels[4])
    raise BadField(
        "topic",
        topic,
        f"{NAMESPACE}/group/NBIRTH|NDATA|NDEATH/node or {NAMESPACE}/group/DBIRTH|DDATA|DDEATH/node/device",
    )


def filters(groups: list[str], nodes: list[str]) -> list[str]:
    """What a host subscribes to: messages of ``groups`` (empty: all), or of ``nodes`` ("group/node") alone; never commands."""
    wanted = [tuple(name.split("/")) for name in nodes] or [(group, "+") for group in groups or ["+"]]
    return [
        f"{NAMESPACE}/{group}/{kind}/{node}{tail}"
        for group, node in wanted
        for kinds, tail in ((NODE_KINDS, ""), (DEVICE_KINDS, "/+"))
        for kind in kinds
    ]


def command(node: NodeId) -> str:
    """Where an edge node hears commands."""
    return f"{NAMESPACE}/{node.group}/NCMD/{node.node}"


def state(host_id: str) -> str:
    """Where a host says whether it is online."""
    return f"{NAMESPACE}/STATE/{host_id}"
