"""A Sparkplug source in plant.toml: the broker, whom to hear, in which role, and what the metrics mean. Checked offline."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.model.machine import State
from shinkei_events.settings import Duration
from shinkei_gateway.machine_json import Medium
from shinkei_gateway.mqtt.broker_settings import BrokerSettings, check_broker
from shinkei_gateway.strict import Strict, machine_id

As = Literal["signal", "state", "reason", "product", "recipe", "tool", "operation", "setup", "energy", "ignore"]
_PLACE = re.compile(r"\{(group|node|device)\}")
_LEVEL = re.compile(r"\{(\d+)\}")


class MetricMap(Strict, frozen=True):
    """Metrics whose names match ``filter`` (levels divided by ``/``; ``+`` any one, ``#`` all the rest) are ``as`` facts.

    ``signal``: the signal's name or a template, ``{n}`` the name's n-th level from 0 (default: the whole name). A state is a PackML
    state or a code that ``map`` knows, the five after it hold with it. Operations and setups are JSON objects in a text metric.
    """

    filter: str
    as_: As = msgspec.field(name="as")
    signal: str | None = None
    map: dict[str, State] = {}
    medium: Medium | None = None
    unit: str | None = None


class SparkplugSource(BrokerSettings, frozen=True, tag_field="type", tag="sparkplug"):
    """Edge nodes and devices behind an MQTT broker. ``group_ids``, ``nodes`` ("group/node"): only these are heard (empty: all).

    ``role``: the primary host says by its STATE message that it is there, and nodes that obey keep their data until then; a secondary
    one only listens and never publishes STATE. ``machine``, ``node_machine``: the machine of a device and of a node's own metrics,
    with ``{group}``, ``{node}``, ``{device}``; ``machines`` gives single ones ("group/node" or "group/node/device") a name of their own.
    ``max_machines``: how many edge nodes, and devices, and machines of them there may be (those named here always may); the births of more go
    to quarantine, because whoever may publish could make machines without end. ``metrics``: the first that matches counts; ``rest``: what becomes of the others. ``reorder``: how long a missing message is
    waited for; ``rebirth``: the shortest time between two rebirth requests to a node.
    """

    group_ids: list[str] = []
    nodes: list[str] = []
    role: Literal["primary", "secondary"] = "secondary"
    host_id: str | None = None
    machine: str = "{device}"
    node_machine: str = "{node}"
    machines: dict[str, str] = {}
    max_machines: int = 1_000
    metrics: list[MetricMap] = []
    rest: Literal["signal", "ignore"] = "signal"
    reorder: Duration = Duration(5.0)
    rebirth: Duration = Duration(10.0)
    retry: Duration = Duration(5.0)
    lost_after: Duration = Duration(5.0)
    clock_limit: Duration = Duration(5.0)


def check_sparkplug(source: SparkplugSource, where: str) -> None:
    """Raises `BadConfig` with the key below ``where``."""
    check_broker(source, where)
    if (source.role == "primary") != (source.host_id is not None):
        raise BadConfig(
            f"{where}.host_id", source.host_id or "", "a host id for the primary host, none for a secondary one"
        )
    if source.host_id is not None and (not source.host_id or set(source.host_id) & set("/+#")):
        raise BadConfig(f"{where}.host_id", source.host_id, "text without / + #, unique among all hosts")
    for name in ("group_ids", "nodes"):
        for at, one in enumerate(getattr(source, name)):
            levels = one.split("/")
            if len(levels) != (1 if name == "group_ids" else 2) or not all(levels) or set(one) & set("+#"):
                raise BadConfig(f"{where}.{name}[{at}]", one, "an id" if name == "group_ids" else '"group/node"')
    for name in ("machine", "node_machine"):
        if set("{}") & set(_PLACE.sub("", getattr(source, name))) or not getattr(source, name):
            raise BadConfig(f"{where}.{name}", getattr(source, name), "a template of {group}, {node} and {device}")
    if source.max_machines < 1:
        raise BadConfig(f"{where}.max_machines", source.max_machines, "at least 1")
    for path, machine in source.machines.items():
        machine_id(f"{where}.machines.{path}", machine)
    if not 0 <= source.reorder <= 300 or not 0.1 <= source.rebirth <= 3600:
        raise BadConfig(
            f"{where}.reorder", f"{source.reorder:g}s, rebirth {source.rebirth:g}s", "up to 5m, and 100ms to 1h"
        )
    for at, metric in enumerate(source.metrics):
        _check_metric(metric, f"{where}.metrics[{at}]")


def _check_metric(metric: MetricMap, where: str) -> None:
    levels = metric.filter.split("/")
    if not metric.filter or "#" in levels[:-1] or any(len(level) > 1 and set(level) & set("+#") for level in levels):
        raise BadConfig(f"{where}.filter", metric.filter, "a metric's name; + is a whole level, # the last")
    if metric.signal is not None and (metric.as_ != "signal" or set("{}") & set(_LEVEL.sub("", metric.signal))):
        raise BadConfig(f"{where}.signal", metric.signal, 'a signal\'s name or a template like "{1}"')
    if (metric.as_ == "energy") != (metric.medium is not None and metric.unit is not None):
        raise BadConfig(
            f"{where}.medium", metric.medium or "", "medium and unit for energy counters, and only for them"
        )
    if metric.map and metric.as_ != "state":
        raise BadConfig(f"{where}.map", metric.map, "a map of codes for a state")


def machine_of(source: SparkplugSource, group: str, node: str, device: str | None) -> str:
    """The machine that a device, or a node's own metrics, belong to."""
    path = f"{group}/{node}" if device is None else f"{group}/{node}/{device}"
    template = source.node_machine if device is None else source.machine
    words = {"group": group, "node": node, "device": device or ""}
    return source.machines.get(path) or _PLACE.sub(lambda found: words[found[1]], template)


def signal_of(template: str | None, name: str) -> str:
    """A signal's name from its metric's."""
    if template is None:
        return name
    levels = name.split("/")
    return _LEVEL.sub(lambda found: levels[int(found[1])] if int(found[1]) < len(levels) else "", template)
