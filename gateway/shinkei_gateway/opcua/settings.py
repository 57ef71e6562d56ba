"""An OPC UA source in plant.toml: the server, the nodes watched and what each of them is. Checked offline."""

from __future__ import annotations

import math
import re
from typing import Literal

from shinkei_events.errors import BadConfig
from shinkei_events.model.machine import State
from shinkei_events.model.operation import OperationKind, Result, UnitType
from shinkei_events.settings import Duration, Secret
from shinkei_gateway.handshake import IN, OPERATION, OUT, PRODUCT, RESOURCE, RESULT
from shinkei_gateway.machine_json import Medium, SetupType
from shinkei_gateway.strict import SourceSettings, Strict, address, machine_id, once

NODE = re.compile(r"(?:nsu=[^;]+;)?(?:i=\d+|s=.+|g=[0-9a-fA-F-]{36}|b=[A-Za-z0-9+/=]+)", re.DOTALL)
ResourceName = Literal["tool", "recipe", "program", "fixture", "operator_group"]
QUEUE_MIN, QUEUE_MAX = 10, 10_000


Trigger = Literal["status", "status_value", "status_value_timestamp"]
"""What makes the server tell a value: ``status_value`` leaves equal values with new times out."""
Discard = Literal["oldest", "newest"]


class SignalNode(Strict, frozen=True):
    """``node`` is the signal ``name``; what is left out of how it is watched is the source's. ``data_type``: what it was when it was browsed.

    ``deadband``: changes smaller than this are not told: a number in the node's unit, or a part of its EURange like ``"2%"``.
    """

    node: str
    name: str
    data_type: str = ""
    sampling: Duration | None = None
    queue: int | None = None
    trigger: Trigger | None = None
    deadband: float | str | None = None
    discard: Discard | None = None


class StateNodes(Strict, frozen=True):
    """``node`` holds a PackML state or a code that ``map`` knows; the others, where there are such nodes, what holds with it."""

    node: str
    reason: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None
    map: dict[str, State] = {}


class SetupNode(Strict, frozen=True):
    """``node`` holds what is mounted on ``slot``: its id as text, or a JSON object ``{unit, item?, certainty?, …}``; empty: nothing."""

    slot: str
    node: str
    type: SetupType


class EnergyNode(Strict, frozen=True):
    """``node`` is a counter of ``medium`` in ``unit``."""

    node: str
    medium: Medium
    unit: str


class PartNode(Strict, frozen=True):
    """``node`` holds the id of a part (or a list of them, or empty text: none). ``item``: what it is; ``unit``: of ``quantity``."""

    node: str
    type: UnitType = "serial"
    item: str | None = None
    quantity: float = 1.0
    unit: str | None = None


Writable = bool | int | float | str


class WritableNode(Strict, frozen=True):
    """``values``: all that may ever be written to ``node``, in the node's own type."""

    node: str
    values: list[Writable]


class AnswerNode(Strict, frozen=True):
    """After a cycle ``node`` gets ``good`` when its operation is durable and whole, ``bad`` (None: nothing) when something of it is unknown or unreadable."""

    node: str
    good: Writable
    bad: Writable | None = None


class HandshakeNodes(Strict, frozen=True):
    """When ``trigger`` rises (a counter changes, a flag becomes true) a cycle is done: its values become one operation.

    ``operation``: a text node with the operation as JSON; ``readings``: name to node, added to its readings. ``inputs``, ``outputs``,
    ``resources`` (tool, recipe, program, fixture, operator_group), ``product``, ``result``: nodes that say what the text does not;
    ``results``: a machine's own code to a result; ``kind``: where no text says it. What has not come ``timeout`` after the edge is
    unknown. Edges closer than ``debounce`` are one. ``lag``: a value may be stamped so long after its edge, and the machine writes nothing of
    the next cycle before that; None: twice the sampling interval, and what may be of this cycle or the next is unknown. ``answer``: what the machine is told then, if the source's ``answers`` allow it.
    """

    name: str
    trigger: str
    operation: str | None = None
    readings: dict[str, str] = {}
    timeout: Duration = Duration(2.0)
    debounce: Duration = Duration(0.0)
    lag: Duration | None = None
    kind: OperationKind = "process"
    inputs: list[PartNode] = []
    outputs: list[PartNode] = []
    resources: dict[ResourceName, str] = {}
    product: str | None = None
    result: str | None = None
    results: dict[str, Result] = {}
    answer: AnswerNode | None = None

    def nodes(self) -> dict[str, str]:
        """Role to node, of everything that belongs to an edge."""
        one = {OPERATION: self.operation, PRODUCT: self.product, RESULT: self.result}
        found = {role: node for role, node in one.items() if node is not None} | self.readings
        for prefix, parts in ((IN, self.inputs), (OUT, self.outputs)):
            found |= {f"{prefix}{at}": part.node for at, part in enumerate(parts)}
        return found | {RESOURCE + name: node for name, node in self.resources.items()}


class OpcuaUser(Strict, frozen=True):
    """Who we are to the server: ``name`` and ``password``, or ``certificate`` (a file) and its ``key`` (PEM)."""

    name: str | None = None
    password: Secret | None = None
    certificate: str | None = None
    key: Secret | None = None


class Answers(Strict, frozen=True):
    """What may be written to the machine at all: nothing but these ``nodes`` and values, as ``user``, who reads nothing else for us.

    ``within``: an answer that is older is not written any more: the machine may wait for another one.
    """

    user: OpcuaUser
    nodes: list[WritableNode]
    within: Duration = Duration(10.0)


class OpcuaSource(SourceSettings, frozen=True, kw_only=True, tag_field="type", tag="opcua"):
    """One machine behind an OPC UA server.

    ``security``: the policy, ``mode``: what it does; exactly these or no connection. ``none`` must be said by name. ``user`` None: anonymous.
    ``answers`` None: nothing is ever written.
    ``server_certificate``: a file beside plant.toml, or the SHA-1 or SHA-256 of one in pki/trusted: the server is not asked for its
    endpoints, this one is taken. ``discovery``: where it is asked for them instead of at ``url``.
    ``revocation``: an issuer's list of revoked certificates must be there, or is looked at when it is.
    ``outage``: how long a cut the server's queues should bridge; with ``sampling`` it gives the queue size asked for.
    ``backfill``: after a gap of signals the server's own history of it is read. ``lost_after``: the machine's state becomes NO_DATA when it was away this long. ``retry``: longest pause between attempts.
    """

    url: str
    machine: str
    security: Literal["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "none"] = "Basic256Sha256"
    mode: Literal["sign_and_encrypt", "sign"] = "sign_and_encrypt"
    user: OpcuaUser | None = None
    server_certificate: str | None = None
    discovery: str | None = None
    revocation: Literal["required", "when_known"] = "required"
    publish: Duration = Duration(0.1)
    sampling: Duration = Duration(0.05)
    outage: Duration = Duration(30.0)
    queue: int | None = None
    keepalive: Duration = Duration(2.0)
    timeout: Duration = Duration(4.0)
    retry: Duration = Duration(5.0)
    lost_after: Duration = Duration(5.0)
    clock_limit: Duration = Duration(5.0)
    trigger: Trigger = "status_value_timestamp"
    deadband: float | str | None = None
    discard: Discard = "oldest"
    signals: list[SignalNode] = []
    state: StateNodes | None = None
    setup: list[SetupNode] = []
    energy: EnergyNode | list[EnergyNode] = []
    handshakes: list[HandshakeNodes] = []
    backfill: bool = False
    answers: Answers | None = None

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


def check_opcua(source: OpcuaSource, where: str) -> None:
    """Raises `BadConfig` with the key below ``where``."""
    address(f"{where}.url", source.url, "opc.tcp")
    machine_id(f"{where}.machine", source.machine)
    _check_endpoint(where, source)
    if source.user is not None:
        _check_user(f"{where}.user", source.user)
    names = [signal.name for signal in source.signals]
    once(f"{where}.signals", names)
    once(f"{where}.setup", [setup.slot for setup in source.setup])
    once(f"{where}.handshakes", [handshake.name for handshake in source.handshakes])
    _wishes(where, source)
    for at, signal in enumerate(source.signals):
        node_id(f"{where}.signals[{at}].node", signal.node)
        _wishes(f"{where}.signals[{at}]", signal)
    if source.state is not None:
        for role in ("node", "reason", "product", "recipe", "tool"):
            node_id(f"{where}.state.{role}", getattr(source.state, role))
    for at, setup in enumerate(source.setup):
        node_id(f"{where}.setup[{at}].node", setup.node)
    for energy in source.energy_nodes():
        node_id(f"{where}.energy.node", energy.node)
    for at, handshake in enumerate(source.handshakes):
        here = f"{where}.handshakes[{at}]"
        node_id(f"{here}.trigger", handshake.trigger)
        for role, node in handshake.nodes().items():
            node_id(f"{here}.{role if role.startswith('@') else f'readings.{role}'}", node)
        if handshake.lag is not None and 2 * handshake.lag > handshake.timeout:
            raise BadConfig(f"{here}.lag", handshake.lag, "at most half of the handshake's timeout")
        if any(name.startswith("@") for name in handshake.readings):
            raise BadConfig(f"{here}.readings", min(handshake.readings), "names that do not begin with @")
        if not handshake.nodes():
            raise BadConfig(
                here, handshake.name, "an operation node, readings or parts: an edge without values says nothing"
            )
    _check_answers(where, source)


def writable_key(node: str, value: Writable) -> tuple[str, str, Writable]:
    """Equal for what is the same write: 1 is not true, and not "1".

    >>> writable_key("s=A", True) == writable_key("s=A", 1), writable_key("s=A", 1) == writable_key("s=A", 1)
    (False, True)
    """
    return node, type(value).__name__, value


def deadband_of(wish: float | str | None) -> tuple[str, float]:
    """none, absolute or percent, and how wide. 0 is none: a node's own wish against its group's. Raises ValueError.

    >>> deadband_of(0.5), deadband_of("2%"), deadband_of(None), deadband_of(0)
    (('absolute', 0.5), ('percent', 2.0), ('none', 0.0), ('none', 0.0))
    """
    if wish is None:
        return "none", 0.0
    percent = isinstance(wish, str)
    if percent and not str(wish).endswith("%"):
        raise ValueError(wish)
    band = float(str(wish).removesuffix("%"))
    if not 0 <= band <= (100 if percent else math.inf):
        raise ValueError(wish)
    return ("none" if band == 0 else "percent" if percent else "absolute"), band


def _wishes(where: str, wishes: SignalNode | OpcuaSource) -> None:
    try:
        deadband_of(wishes.deadband)
    except ValueError:
        hint = 'a number in the unit of the node, 0 or more, or a part of its range like "2%"'
        raise BadConfig(f"{where}.deadband", wishes.deadband, hint) from None
    if wishes.queue is not None and wishes.queue < 1:
        raise BadConfig(f"{where}.queue", wishes.queue, "at least 1 value")


def _check_endpoint(where: str, source: OpcuaSource) -> None:
    if source.discovery is not None:
        address(f"{where}.discovery", source.discovery, "opc.tcp")
    named = source.server_certificate
    if named is not None and (not named or source.security == "none"):
        hint = "a file or a thumbprint, and a security policy that it is for"
        raise BadConfig(f"{where}.server_certificate", named, hint)
    if named is not None and source.discovery is not None:
        hint = "either this, or server_certificate with which the server is not asked"
        raise BadConfig(f"{where}.discovery", source.discovery, hint)


def _check_answers(where: str, source: OpcuaSource) -> None:
    answers = source.answers
    allowed = set()
    if answers is not None:
        _check_user(f"{where}.answers.user", answers.user)
        own, read = answers.user, source.user
        if read is not None and (own.name, own.certificate) == (read.name, read.certificate):
            raise BadConfig(
                f"{where}.answers.user", own.name or own.certificate, "a user of its own, who is not the source's"
            )
        for at, one in enumerate(answers.nodes):
            node_id(f"{where}.answers.nodes[{at}].node", one.node)
            allowed |= {writable_key(one.node, value) for value in one.values}
    for at, handshake in enumerate(source.handshakes):
        wish = handshake.answer
        for role in ("good", "bad") if wish is not None else ():
            value = getattr(wish, role)
            if wish is not None and value is not None and writable_key(wish.node, value) not in allowed:
                hint = f"{value!r} for {wish.node} on the allow-list {where}.answers.nodes; nothing else is written"
                raise BadConfig(f"{where}.handshakes[{at}].answer.{role}", value, hint)


def _check_user(key: str, user: OpcuaUser) -> None:
    by_name, by_certificate = (user.name, user.password), (user.certificate, user.key)
    whole = [all(part is not None for part in pair) for pair in (by_name, by_certificate)]
    begun = [any(part is not None for part in pair) for pair in (by_name, by_certificate)]
    if whole != begun or sum(whole) != 1:
        raise BadConfig(key, user.name or user.certificate or "", "expected name and password, or certificate and key")


def node_id(key: str, value: str | None) -> None:
    """Raises `BadConfig` unless ``value`` is a node id by namespace URI (or none)."""
    if value is not None and not NODE.fullmatch(value):
        hint = "by namespace URI like nsu=urn:maker:machine;s=Name (an index ns=2 may change when the server restarts)"
        raise BadConfig(key, value, hint)
