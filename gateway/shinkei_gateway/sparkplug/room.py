"""How many edge nodes, devices and machines a source may bring: a stranger's births, or a node gone wrong, would make them without end. Pure.

Asked by `host` before it remembers a node or device, and by `births` before it makes a machine. What has no room is told, and not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sized
from typing import Protocol

from shinkei_events.errors import BadField
from shinkei_gateway.sparkplug.settings import SparkplugSource, machine_of
from shinkei_gateway.sparkplug.topic import NodeId


class _Known(Container[str], Sized, Protocol):
    """The machines met so far."""


class TooMany(BadField):
    """One more than a source may bring."""

    def __init__(self, path: str, most: int) -> None:
        known = f"max_machines = {most} are known already"
        super().__init__(
            "topic", path, f'{known}: give it a name of its own, machines = {{ "{path}" = "…" }}, or raise max_machines'
        )


class Room:
    """Of one source. ``machines``: those it knows, also from before a restart: they come back however full it is."""

    def __init__(self, source: SparkplugSource, machines: _Known) -> None:
        self._source, self._machines, self.most = source, machines, source.max_machines
        nodes = {"/".join(path.split("/")[:2]) for path in source.machines}
        self._named = {*source.machines, *source.nodes, *nodes}

    def has(self, node: NodeId, device: str | None, count: Callable[[], int] = lambda: 0) -> bool:
        """Whether a node (``device`` None) or device that nobody knows yet may be remembered as well; ``count`` nodes, or devices of its node, are.

        Those that plant.toml names always may, and those of machines that are known, as long as their node has no more than there are of these.
        """
        if _path(node, device) in self._named:
            return True
        name = machine_of(self._source, node.group, node.node, device)
        if name in self._machines:
            return count() < max(self.most, len(self._machines))
        return len(self._machines) < self.most and count() < self.most

    def check(self, node: NodeId, device: str | None) -> None:
        """Raises `TooMany` when there is no room for the machine of it."""
        if not self.has(node, device):
            raise self.refusal(node, device)

    def refusal(self, node: NodeId, device: str | None) -> TooMany:
        """Why it is not taken."""
        return TooMany(_path(node, device), self.most)


def _path(node: NodeId, device: str | None) -> str:
    return str(node) if device is None else f"{node}/{device}"
