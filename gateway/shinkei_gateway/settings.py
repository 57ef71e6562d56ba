"""The gateway's section of plant.toml: where machines are and how what they say maps to the language.

Checking is not connecting: everything here works offline, and every error names its key. Defaults are inherited by merging:
``[gateway.defaults.opcua]`` goes under every source of that type before it is decoded. `sources_of` gives the checked sources.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.model.machine import State
from shinkei_events.settings import Duration, Secret, Size, strict

MACHINE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}")
NODE = re.compile(r"(?:nsu=[^;]+;)?(?:i=\d+|s=.+|g=[0-9a-fA-F-]{36}|b=[A-Za-z0-9+/=]+)", re.DOTALL)
QUEUE_MIN, QUEUE_MAX = 10, 10_000

Medium = Literal["electricity", "compressed_air", "gas", "water", "heat"]
SetupType = Literal["tool", "program", "material", "fixture", "operator_group"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are errors."""


class SpoolSettings(_Strict, frozen=True):
    """What waits on disk. ``keep_until`` None: ``stored`` on the embedded log, ``sent`` on Kafka. ``keep_after``: at least this long."""

    max_bytes: Size = Size(2_000_000_000)
    keep_until: Literal["stored", "sent"] | None = None
    keep_after: Duration = Duration(0.0)
    on_full: Literal["block"] = "block"


class SignalNode(_Strict, frozen=True):
    """``node`` is the signal ``name``; ``sampling`` and ``queue`` override the source's."""

    node: str
    name: str
    sampling: Duration | None = None
    queue: int | None = None


class StateNodes(_Strict, frozen=True):
    """``node`` holds a PackML state or a code that ``map`` knows; the others, where there are such nodes, what holds with it."""

    node: str
    reason: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None
    map: dict[str, State] = {}


class SetupNode(_Strict, frozen=True):
    """``node`` holds what is mounted on ``slot``: its id as text, or a JSON object ``{unit, item?, certainty?, …}``; empty: nothing."""

    slot: str
    node: str
    type: SetupType


class EnergyNode(_Strict, frozen=True):
    """``node`` is a counter of ``medium`` in ``unit``."""

    node: str
    medium: Medium
    unit: str


class HandshakeNodes(_Strict, frozen=True):
    """When ``trigger`` rises (a counter changes, a flag becomes true) a cycle is done: its values become one operation.

    ``operation``: a text node with the operation as JSON; ``readings``: name to node, added to its readings. What has not
    come ``timeout`` after the edge is unknown.
    """

    name: str
    trigger: str
    operation: str | None = None
    readings: dict[str, str] = {}
    timeout: Duration = Duration(2.0)


class OpcuaSource(_Strict, frozen=True, tag_field="type", tag="opcua"):
    """One machine behind an OPC UA server. ``security`` has no default: ``none`` must be said by name.

    ``outage``: how long a cut the server's queues should bridge; with ``sampling`` it gives the queue size asked for.
    ``lost_after``: the machine's state becomes NO_DATA when it was away this long. ``retry``: longest pause between attempts.
    """

    url: str
    machine: str
    security: Literal["none"]
    publish: Duration = Duration(0.1)
    sampling: Duration = Duration(0.05)
    outage: Duration = Duration(30.0)
    queue: int | None = None
    keepalive: Duration = Duration(2.0)
    timeout: Duration = Duration(4.0)
    retry: Duration = Duration(5.0)
    lost_after: Duration = Duration(5.0)
    clock_limit: Duration = Duration(5.0)
    signals: list[SignalNode] = []
    state: StateNodes | None = None
    setup: list[SetupNode] = []
    energy: EnergyNode | list[EnergyNode] = []
    handshakes: list[HandshakeNodes] = []

    def energy_nodes(self) -> list[EnergyNode]:
        """One or several, as a list."""
        return self.energy if isinstance(self.energy, list) else [self.energy]

    def queue_of(self, signal: SignalNode | None = None) -> int:
        """The queue size asked of the server for a signal (or any other node)."""
        own = signal.queue if signal is not None and signal.queue is not None else self.queue
        if own is not None:
            return own
        sampling = signal.sampling if signal is not None and signal.sampling is not None else self.sampling
        return max(QUEUE_MIN, min(QUEUE_MAX, math.ceil(self.outage / max(sampling, 0.001))))


class TopicMap(_Strict, frozen=True):
    """Messages on topics that match ``filter`` are ``as`` facts. ``{n}`` is the topic's n-th level from 0; ``/a/b`` a JSON pointer.

    ``machine`` and ``signal`` are templates. For signals ``time``, ``value`` and ``status`` point into the payload; without
    ``time`` the time of receipt counts, without ``value`` the whole payload is the value. States, operations, setups and
    energy counters are objects in the language's own words.
    """

    filter: str
    as_: Literal["signal", "state", "operation", "setup", "energy"] = msgspec.field(name="as")
    machine: str
    signal: str | None = None
    time: str | None = None
    time_unit: Literal["ns", "us", "ms", "s", "iso"] = "ns"
    value: str | None = None
    status: str | None = None


class MqttSource(_Strict, frozen=True, tag_field="type", tag="mqtt"):
    """Machines behind an MQTT broker. ``machines``: only these are taken from topics (empty: any).

    ``queue = "unlimited"`` promises that the broker's queue for this client is unlimited and persistent; otherwise a
    disconnection is a possible gap. ``window``: how many messages back a redelivery is recognised.
    """

    url: str
    client_id: str
    topics: list[TopicMap]
    machines: list[str] = []
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    qos: Literal[0, 1, 2] = 1
    queue: Literal["bounded", "unlimited"] = "bounded"
    window: int = 128
    user: str | None = None
    password: Secret | None = None
    keepalive: Duration = Duration(15.0)
    timeout: Duration = Duration(4.0)
    retry: Duration = Duration(5.0)
    lost_after: Duration = Duration(5.0)
    clock_limit: Duration = Duration(5.0)


class FileSource(_Strict, frozen=True, tag_field="type", tag="file"):
    """A recording (JSON lines, perhaps zstd), read once into the machines' history streams; relative to the site's folder."""

    path: str
    backlog: int = 20_000


Source = OpcuaSource | MqttSource | FileSource


class GatewaySettings(_Strict, frozen=True):
    """``id`` is unique in the company. ``defaults``: per type of source. ``sources``: by name; use `sources_of`."""

    id: str
    shard: str = "0"
    frame_age: Duration = Duration(0.1)
    http: str = "127.0.0.1:0"
    writers: int = 1
    spool: SpoolSettings = SpoolSettings()
    defaults: dict[Literal["opcua", "mqtt", "file"], dict[str, Any]] = {}
    sources: dict[str, dict[str, Any]] = {}

    def __post_init__(self) -> None:
        sources_of(self)


def sources_of(settings: GatewaySettings) -> dict[str, Source]:
    """The sources by name, defaults filled in; raises `BadConfig` with the dotted key of what is wrong."""
    _machine_id("gateway.id", settings.id)
    _machine_id("gateway.shard", settings.shard)
    found: dict[str, Source] = {}
    for name, raw in settings.sources.items():
        where = f"gateway.sources.{name}"
        _machine_id(where, name)
        kind = raw.get("type")
        merged = settings.defaults.get(kind, {}) | raw if isinstance(kind, str) else raw  # type: ignore[call-overload]
        source: Source = strict(merged, Source, where)  # type: ignore[arg-type]
        if isinstance(source, OpcuaSource):
            _check_opcua(source, where)
        elif isinstance(source, MqttSource):
            _check_mqtt(source, where)
        found[name] = source
    return found


def _check_opcua(source: OpcuaSource, where: str) -> None:
    _url(f"{where}.url", source.url, "opc.tcp")
    _machine_id(f"{where}.machine", source.machine)
    names = [signal.name for signal in source.signals]
    _once(f"{where}.signals", names)
    _once(f"{where}.setup", [setup.slot for setup in source.setup])
    _once(f"{where}.handshakes", [handshake.name for handshake in source.handshakes])
    for at, signal in enumerate(source.signals):
        _node(f"{where}.signals[{at}].node", signal.node)
    if source.state is not None:
        for role in ("node", "reason", "product", "recipe", "tool"):
            _node(f"{where}.state.{role}", getattr(source.state, role))
    for at, setup in enumerate(source.setup):
        _node(f"{where}.setup[{at}].node", setup.node)
    for energy in source.energy_nodes():
        _node(f"{where}.energy.node", energy.node)
    for at, handshake in enumerate(source.handshakes):
        here = f"{where}.handshakes[{at}]"
        _node(f"{here}.trigger", handshake.trigger)
        _node(f"{here}.operation", handshake.operation)
        for name, node in handshake.readings.items():
            _node(f"{here}.readings.{name}", node)
        if handshake.operation is None and not handshake.readings:
            raise BadConfig(here, handshake.name, "an operation node or readings: an edge without values says nothing")


def _check_mqtt(source: MqttSource, where: str) -> None:
    _url(f"{where}.url", source.url, "mqtt")
    for at, machine in enumerate(source.machines):
        _machine_id(f"{where}.machines[{at}]", machine)
    for at, topic in enumerate(source.topics):
        here = f"{where}.topics[{at}]"
        levels = topic.filter.split("/")
        if (
            not topic.filter
            or "#" in levels[:-1]
            or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
        ):
            raise BadConfig(f"{here}.filter", topic.filter, "an MQTT topic filter: + is a whole level, # the last")
        if topic.as_ == "signal" and not topic.signal:
            raise BadConfig(f"{here}.signal", "", 'the signal\'s name or a template like "{3}"')
        for key in ("time", "value", "status"):
            pointer = getattr(topic, key)
            if pointer is not None and pointer and not pointer.startswith("/"):
                raise BadConfig(f"{here}.{key}", pointer, 'a JSON pointer like "/ts" (or "" for the whole payload)')


def _machine_id(key: str, value: str) -> None:
    if not MACHINE.fullmatch(value):
        raise BadConfig(key, value, "letters, digits and _ . : - only, at most 128")


def _node(key: str, value: str | None) -> None:
    if value is not None and not NODE.fullmatch(value):
        hint = "by namespace URI like nsu=urn:maker:machine;s=Name (an index ns=2 may change when the server restarts)"
        raise BadConfig(key, value, hint)


def _once(key: str, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BadConfig(key, min(twice), "is there twice")


def _url(key: str, value: str, scheme: str) -> None:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != scheme or not parts.hostname or port is None or parts.username or parts.password:
        raise BadConfig(key, value, f"{scheme}://host:port (user and password have keys of their own)")
