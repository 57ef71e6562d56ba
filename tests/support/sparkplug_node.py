"""An edge node for tests: makes the payloads of births, data and deaths with a sequence that the test may spoil."""

from __future__ import annotations

import zlib
from typing import Any

from shinkei_gateway.sparkplug.facts import Fact
from shinkei_gateway.sparkplug.host import Host
from shinkei_gateway.sparkplug.sayings import Taken
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.topic import Address, NodeId, parse
from shinkei_gateway.sparkplug.translate import Translator
from shinkei_gateway.sparkplug.values import NUMBER

S = 1_000_000_000
T0 = 1_700_000_000_000
"""ms UTC."""
FIELDS = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32"), "int_value"),
    **dict.fromkeys(("Int64", "UInt64", "DateTime"), "long_value"),
    **dict.fromkeys(("String", "Text", "UUID"), "string_value"),
    "Float": "float_value", "Double": "double_value", "Boolean": "boolean_value",
}  # fmt: skip
Metric = dict[str, Any]


def metric(
    value: Any = None,
    type_: str = "Double",
    *,
    field: str | None = None,
    properties: dict[str, Any] | None = None,
    **more: Any,
) -> Metric:
    """The fields of one metric; ``value`` goes where its type belongs."""
    found: Metric = {**more}
    if type_:
        found["datatype"] = NUMBER[type_]
    if value is not None:
        found[field or FIELDS.get(type_ or "Double", "bytes_value")] = value
    if properties is not None:
        found["properties"] = properties
    return found


def payload(metrics: list[Metric], seq: int | None, ms: int | None = T0) -> bytes:
    """A payload's bytes."""
    made = Payload()
    if ms is not None:
        made.timestamp = ms
    if seq is not None:
        made.seq = seq
    for one in metrics:
        fields = dict(one)
        properties = fields.pop("properties", {})
        added = made.metrics.add(**fields)
        for key, value in properties.items():
            added.properties.keys.append(key)
            kind = {str: ("String", "string_value"), float: ("Double", "double_value"), int: ("Int32", "int_value")}[
                type(value)
            ]
            added.properties.values.add(**{"type": NUMBER[kind[0]], kind[1]: value})
    return bytes(made.SerializeToString())


class Node:
    """``sent``: (topic, payload) of everything said, whether or not it is delivered."""

    def __init__(self, group: str = "G", name: str = "N", *, bdseq: int | None = 0) -> None:
        self.group, self.name, self.bdseq, self.seq, self.ms = group, name, bdseq, 0, T0

    @property
    def id(self) -> NodeId:
        return NodeId(self.group, self.name)

    def birth(self, *metrics: Metric, seq: int | None = 0, control: bool = True) -> tuple[str, bytes]:
        found = list(metrics)
        if self.bdseq is not None:
            found.append(metric(self.bdseq, "Int64", name="bdSeq"))
        if control:
            found.append(metric(False, "Boolean", name="Node Control/Rebirth"))
        self.seq = seq or 0
        return self._topic("NBIRTH"), payload(found, seq, self.ms)

    def device_birth(self, device: str, *metrics: Metric) -> tuple[str, bytes]:
        return self._topic("DBIRTH", device), payload(list(metrics), self.next(), self.ms)

    def data(self, *metrics: Metric, device: str | None = None) -> tuple[str, bytes]:
        return self._topic("NDATA" if device is None else "DDATA", device), payload(list(metrics), self.next(), self.ms)

    def device_death(self, device: str) -> tuple[str, bytes]:
        return self._topic("DDEATH", device), payload([], self.next(), self.ms)

    def death(self, bdseq: int | None = None) -> tuple[str, bytes]:
        number = self.bdseq if bdseq is None else bdseq
        return self._topic("NDEATH"), payload(
            [] if number is None else [metric(number, "Int64", name="bdSeq")], None, None
        )

    def next(self) -> int:
        self.seq = (self.seq + 1) % 256
        return self.seq

    def _topic(self, kind: str, device: str | None = None) -> str:
        return f"spBv1.0/{self.group}/{kind}/{self.name}" + ("" if device is None else f"/{device}")


class Bench:
    """A host and its translator on a clock of its own; `hear` gives the facts, `taken` what became of all of them."""

    def __init__(
        self,
        translator: Translator | None = None,
        *,
        window: float = 5.0,
        rebirth: float = 10.0,
        known: list[str] | None = None,
    ) -> None:
        room = None if translator is None else translator.room
        self.host = Host(int(window * S), int(rebirth * S), known, room)
        self.translator = translator
        self.taken = Taken()
        self.now = 0
        self.facts: list[Fact] = []

    @property
    def received(self) -> int:
        return T0 * 1_000_000 + self.now

    def hear(self, *messages: tuple[str, bytes]) -> list[Fact]:
        found: list[Fact] = []
        for topic, raw in messages:
            address: Address = parse(topic)
            digest = zlib.crc32(raw)
            found += self._keep(self.host.take(address, Payload.FromString(raw), self.received, digest, self.now))
        return found

    def wait(self, seconds: float) -> list[Fact]:
        self.now += int(seconds * S)
        return self._keep(self.host.tick(self.now))

    def reconnected(self, cause: str = "mqtt_session_lost") -> list[Fact]:
        return self._keep(self.host.connected(cause, self.received, self.now))

    def _keep(self, found: list[Fact]) -> list[Fact]:
        self.facts += found
        if self.translator is not None:
            self.translator.take(found, self.taken)
            for node, why in self.taken.strangers:
                self.facts += self.host.want_rebirth(node, why, self.now)
            self.taken.strangers.clear()
        return found
