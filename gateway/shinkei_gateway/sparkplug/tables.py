"""What a birth announced: metrics by alias and by name, each with its type, its machine and what it means. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from shinkei_events.errors import BadField
from shinkei_events.model.numbered import SignalDescribed
from shinkei_gateway.intake import Draft
from shinkei_gateway.mqtt.filters import matches
from shinkei_gateway.quality import BAD, GOOD
from shinkei_gateway.sparkplug.machines import Channel, Machine
from shinkei_gateway.sparkplug.settings import MetricMap, SparkplugSource, signal_of
from shinkei_gateway.sparkplug.values import Read, properties, reader, text, type_name

OWN_PREFIXES = ("Node Control/", "Device Control/", "Node Info/")
"""Metrics that are about the edge node's software, not about a machine (Sparkplug 3.0, 6.4.6 and its examples)."""
STALE = 0x408F_0000
"""UncertainNoCommunicationLastUsableValue: the edge node itself has lost the device, and says what it knew last."""
_QUALITY = {0: BAD, 192: GOOD, 500: STALE}
"""The Quality property (6.4.12) as status codes."""
_WORDS = {"engunit": "unit", "engunits": "unit", "unit": "unit", "englow": "low", "enghigh": "high", "description": "description",
          "documentation": "description"}  # fmt: skip
"""Names of properties as edge libraries use them, in lower case: the specification fixes only Quality."""


class Metric:
    """One announced metric. ``channel`` None: it is ignored."""

    __slots__ = ("channel", "datatype", "how", "is_signal", "name", "read")

    def __init__(self, name: str, datatype: int, how: MetricMap | None, channel: Channel | None) -> None:
        self.name, self.datatype, self.how, self.channel = name, datatype, how, channel
        self.read: Read = reader(datatype)
        self.is_signal = channel is not None and (how is None or how.as_ == "signal")


class Table(NamedTuple):
    """All metrics of a node or device since its birth."""

    machine: Machine
    by_alias: dict[int, Metric]
    by_name: dict[str, Metric]

    def add(self, metric: Metric, message: Any) -> None:
        """``message`` announces ``metric``."""
        self.by_name[metric.name] = metric
        if message.HasField("alias"):
            self.by_alias[message.alias] = metric


class Meanings:
    """Which channel a metric's name is, by the source's settings."""

    def __init__(self, source: SparkplugSource) -> None:
        self._maps = [(metric, metric.filter.split("/")) for metric in source.metrics]
        self._rest = source.rest

    def define(self, machine: Machine, name: str, datatype: int) -> Metric:
        """The metric ``name`` of ``machine``."""
        if name == "bdSeq" or name.startswith(OWN_PREFIXES):
            return Metric(name, datatype, None, None)
        levels = name.split("/")
        how = next((metric for metric, parts in self._maps if matches(parts, levels)), None)
        if how.as_ == "ignore" if how is not None else self._rest == "ignore":
            return Metric(name, datatype, how, None)
        is_signal = how is None or how.as_ == "signal"
        signal = signal_of(how.signal if how is not None else None, name) if is_signal else f"@{name}"
        if not signal:
            raise BadField("$.name", name, "a metric's name that gives a signal's name")
        return Metric(name, datatype, how, machine.channel(signal, how))


def announced(machine: Machine, message: Any, meanings: Meanings) -> Metric:
    """The metric of a birth. Raises `BadField`."""
    name = text(message.name, "$.name")
    if not name:
        raise BadField("$.name", "", "a name: births name every metric")
    return meanings.define(machine, name, message.datatype)


def status_of(message: Any) -> int | None:
    """The status that a Quality property gives, or None without one."""
    for key, value in zip(message.properties.keys, message.properties.values, strict=False):
        if key == "Quality" and not value.is_null:
            return _QUALITY.get(value.int_value or value.long_value, BAD)
    return None


def described(metric: Metric, message: Any, machine: str, source: str, time: int, received: int) -> Draft | None:
    """The signal as its birth describes it, when that says more than its type or something else than before."""
    if metric.channel is None or not metric.is_signal:
        return None
    fields: dict[str, Any] = {
        "name": metric.channel.name,
        "source": source,
        "node": metric.name,
        "data_type": type_name(metric.datatype),
    }
    if message.HasField("properties"):
        for key, value in properties(message.properties).items():
            word = _WORDS.get(key.lower())
            if word in ("low", "high") and isinstance(value, int | float) and not isinstance(value, bool):
                fields[word] = float(value)
            elif word in ("unit", "description") and isinstance(value, str):
                fields[word] = value
    if fields == metric.channel.described:
        return None
    metric.channel.described = fields
    return Draft(machine, time, received, SignalDescribed, dict(fields))
