"""What is known of the machines behind a Sparkplug broker over births and restarts: each channel's last time and value, the state. Pure."""

from __future__ import annotations

from typing import Any

from shinkei_events.model.frame import Value
from shinkei_gateway.source_time import Newest, believed
from shinkei_gateway.sparkplug.settings import MetricMap, SparkplugSource
from shinkei_gateway.state import MachineState

MOST_REMEMBERED = 256
"""Channels of a machine whose last times fit into the resume state; of more only the newest of all is remembered."""


class Channel:
    """One metric of a machine. ``last``: its newest source time (ns) or None; ``is_stale``: told to be unknown since a death."""

    __slots__ = ("described", "how", "is_stale", "last", "name", "status", "value")

    def __init__(self, name: str, how: MetricMap | None, last: int | None) -> None:
        self.name, self.how, self.last = name, how, last
        self.value: Value = None
        self.status = 0
        self.is_stale = False
        self.described: Any = None


class Machine:
    """``name``: its short id; ``node``: "group/node", where it is heard; ``now``: ns UTC, what ``resume`` says of later times is not believed (None: it is)."""

    def __init__(
        self, name: str, node: str, map: dict[str, Any], resume: dict[str, Any] | None = None, now: int | None = None
    ) -> None:
        self.name, self.node = name, node
        known = resume or {}
        self.channels: dict[str, Channel] = {}
        self._before: dict[str, int] = dict(known.get("last", {}))
        self.floor: int | None = self._before.pop("", None)
        if self.floor is not None and now is not None:
            self.floor = believed(self.floor, now)
        newest = [known["newest"], known.get("own", True)] if known.get("newest") else None
        self.heard = Newest.restored(newest, now) or Newest()
        self.state, self.past = MachineState(map), MachineState(map)
        if "state" in known:
            self.state.restore(known["state"], now)
        self.has_events = known.get("events", False)
        self.is_stale = known.get("stale", False)

    @property
    def newest(self) -> int:
        """The newest source time that was of now, ns UTC; 0: nothing was heard."""
        return self.heard.time or 0

    def channel(self, name: str, how: MetricMap | None) -> Channel:
        """The channel ``name``, with what was known of it before a restart."""
        found = self.channels.get(name)
        if found is None:
            found = self.channels[name] = Channel(name, how, self._before.pop(name, None))
            found.is_stale = self.is_stale
            self.has_events = self.has_events or (how is not None and how.as_ != "signal")
        found.how = how
        return found

    def resume(self) -> dict[str, Any]:
        """What must be durable with the values."""
        last = {name: channel.last for name, channel in self.channels.items() if channel.last is not None}
        last |= self._before
        if len(last) > MOST_REMEMBERED:
            last = {"": min(max(last.values()), self.newest or max(last.values()))}
        elif self.floor is not None:
            last[""] = self.floor
        return {
            "node": self.node, "last": last, "newest": self.newest, "own": self.heard.is_own, "state": self.state.state(), "events": self.has_events,
            "stale": self.is_stale,
        }  # fmt: skip


def state_map(source: SparkplugSource) -> dict[str, Any]:
    """All codes that the source's state metrics may have."""
    return {code: state for metric in source.metrics for code, state in metric.map.items()}
