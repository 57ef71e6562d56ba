"""What a Sparkplug host believes of its edge nodes and devices: births, deaths, sequence, rebirth requests. A pure state machine.

Messages and times in, facts out, in the order in which they hold. Knows neither topics' machines nor values (`translate`) nor a
connection (`source`). ``now`` is any monotonic ns; ``received`` and payload times are ns UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shinkei_gateway.source_time import newest_of_now
from shinkei_gateway.sparkplug.facts import AskRebirth, Born, Deviates, Died, Fact, Lost, Message, Refused, Said
from shinkei_gateway.sparkplug.reorder import MODULUS, Released, Reorder
from shinkei_gateway.sparkplug.room import Room
from shinkei_gateway.sparkplug.topic import Address, NodeId

MS = 1_000_000
BDSEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
LAST_MS = 9_223_372_036_854
"""The last moment that ns of 64 bits can hold (year 2262)."""
MOST_DEVIATIONS = 20


class _Device:
    def __init__(self, cause: str | None) -> None:
        self.is_born = self.is_alive = False
        self.cause = cause


class EdgeNode:
    """One edge node with its devices. ``window``: ns of the reorder window; ``rebirth_every``: ns between two requests at least.
    ``has_room``: whether one more device, by its name, may be remembered.
    """

    def __init__(
        self,
        node: NodeId,
        window: int,
        rebirth_every: int,
        has_room: Callable[[NodeId, str], bool] = lambda _node, _device: True,
    ) -> None:
        self.node, self._window, self._every, self._has_room = node, window, rebirth_every, has_room
        self.is_alive = self.is_born = False
        self.bdseq: int | None = None
        self.reorder: Reorder[Message] = Reorder(window)
        self.devices: dict[str | None, _Device] = {}
        self.dropped = self.requests = self.refused = 0
        self.deviations: list[str] = []
        self._cause: str | None = None
        self._new_device_cause: str | None = None
        self._birth: int | None = None
        self._is_known = False
        self._asked: int | None = None
        self._wants: str | None = None
        self._reborn_at: int | None = None
        self._doubted_at: int | None = None
        self._unknown: list[Message] = []
        self._unknown_since = self._doubted = self._received = self._received_at = 0

    # ---- what comes ----------------------------------------------------------------------------------------------------
    def take(self, message: Message, now: int) -> list[Fact]:
        """A message of this node."""
        out: list[Fact] = []
        if message.kind == "NDEATH":
            self._death(message, now, out)
        elif message.kind == "NBIRTH":
            self._node_birth(message, now, out)
        elif not self.is_born:
            self._unborn(message, now)
        elif not message.payload.HasField("seq"):
            self._deviates(f"{message.kind} without seq", out)
            self._apply(message, now, out)
        else:
            self._in_order(message, now, out)
        self._ask(now, out)
        return out

    def tick(self, now: int) -> list[Fact]:
        """Time passes: missing messages are given up, who was not born again is offline, requests are repeated."""
        out: list[Fact] = []
        if self.reorder.due(now):
            self._give_out(self.reorder.flush(), now, out)
        if self._unknown and now - self._unknown_since >= self._window:
            self._tell_unknown(out)
        if self._reborn_at is not None and now - self._reborn_at >= self._window:
            self._reborn_at = None
            for name, device in self.devices.items():
                if device.is_alive and not device.is_born:
                    received = self._received + now - self._received_at
                    self._device_death(name, received, received, out)
        if self._doubted_at is not None and now - self._doubted_at >= 2 * self._window + self._every:
            received = self._doubted + now - self._doubted_at
            self._node_death(received, out)
        self._ask(now, out)
        return out

    def interrupted(self, cause: str, received: int, now: int) -> list[Fact]:
        """The host itself was away: whatever the node said meanwhile is lost, so it is asked to say everything again."""
        self._unproven(cause)
        self._new_device_cause = cause
        self._is_known = True
        self._wants, self._asked = "the host was away", None
        self._doubted_at, self._doubted = now, received
        out: list[Fact] = []
        self._ask(now, out)
        return out

    def want_rebirth(self, why: str) -> None:
        """An alias nobody knows, a metric nobody announced."""
        self._wants = self._wants or why

    # ---- births --------------------------------------------------------------------------------------------------------
    def _node_birth(self, message: Message, now: int, out: list[Fact]) -> None:
        if self.is_alive and self._birth == message.digest and message.payload.timestamp:
            self.reorder.duplicates += (
                1  # without a time, the same bytes may well be another birth: it was asked for one
            )
            return
        self._give_out(self.reorder.flush(), now, out)
        self._tell_unknown(out)
        payload = message.payload
        bdseq, control = _of_birth(payload)
        self._check_birth(payload, bdseq, control, out)
        if self._birth is not None and (not self.is_alive or bdseq != self.bdseq):
            self._unproven("source_restarted")
        self.bdseq, self._birth = bdseq, message.digest
        self.is_alive = self.is_born = self._is_known = True
        self._wants = self._doubted_at = None
        self.reorder.begin(payload.seq % MODULUS)
        for device in self.devices.values():
            device.is_born = False
        self._reborn_at = now if any(device.is_alive for device in self.devices.values()) else None
        self._received, self._received_at = message.received, now
        out.append(Born(self.node, None, payload, message.received, self._cause))
        self._cause = None

    def _check_birth(self, payload: Any, bdseq: int | None, control: Any, out: list[Fact]) -> None:
        if not payload.HasField("seq"):
            self._deviates("NBIRTH without seq", out)
        elif payload.seq:
            self._deviates("NBIRTH with a seq other than 0", out)
        if bdseq is None:
            self._deviates("NBIRTH without bdSeq", out)
        elif self._birth is not None and not self.is_alive and bdseq == self.bdseq:
            self._deviates("bdSeq is not counted up from session to session", out)
        if control is None:
            self._deviates(f"NBIRTH without {REBIRTH}", out)

    def _device_birth(self, message: Message, out: list[Fact]) -> None:
        device = self._device(message.device)
        device.is_born = device.is_alive = True
        out.append(Born(self.node, message.device, message.payload, message.received, device.cause))
        device.cause = None

    # ---- deaths --------------------------------------------------------------------------------------------------------
    def _death(self, message: Message, now: int, out: list[Fact]) -> None:
        bdseq = _of_birth(message.payload)[0]
        if bdseq is None:
            self._deviates("NDEATH without bdSeq", out)
        if self.is_born and not self.is_alive:
            return
        if bdseq is not None and self.bdseq is not None and bdseq != self.bdseq:
            return  # the will of a session before the one that lives (tck-id-topics-nbirth-bdseq-matching)
        self._give_out(self.reorder.flush(), now, out)
        self._node_death(message.received, out)

    def _node_death(self, received: int, out: list[Fact]) -> None:
        self._unproven("source_restarted")
        self.is_alive = False
        self._wants = self._doubted_at = self._reborn_at = None
        for device in self.devices.values():
            device.is_alive = False
        out.append(Died(self.node, None, received, received))

    def _device_death(self, name: str | None, time: int, received: int, out: list[Fact]) -> None:
        device = self._device(name)
        was, device.is_alive, device.is_born = device.is_alive, False, False
        device.cause = device.cause or "source_restarted"
        if was:
            out.append(Died(self.node, name, time, received))

    # ---- the sequence ----------------------------------------------------------------------------------------------------
    def _in_order(self, message: Message, now: int, out: list[Fact]) -> None:
        number = message.payload.seq
        if number >= MODULUS:
            self._deviates("seq above 255", out)
            number %= MODULUS
        if not self.is_alive:
            if number != self.reorder.expected:
                self._unborn(message, now)
                return
            self.is_alive = True  # the death was of an older session: this one goes on without a break
            self._wants = "it goes on after its death"
        self._give_out(self.reorder.take(number, message, message.digest, now), now, out)

    def _give_out(self, released: list[Released[Message]], now: int, out: list[Fact]) -> None:
        for one in released:
            if one.missing:
                out.append(Lost(self.node, one.missing, one.message.received, _newest(one.message)))
                self._unproven("sparkplug_seq")
                self._wants = self._wants or "messages are missing"
            self._apply(one.message, now, out)

    def _apply(self, message: Message, now: int, out: list[Fact]) -> None:
        self._doubted_at = None
        if (
            message.device is not None
            and message.device not in self.devices
            and not self._has_room(self.node, message.device)
        ):
            self.refused += 1  # and no rebirth is asked for: it would be refused as well
            if message.kind == "DBIRTH":
                out.append(Refused(self.node, message.device, message.payload, message.received))
        elif message.kind == "DBIRTH":
            self._device_birth(message, out)
        elif message.kind == "DDEATH":
            self._device_death(message.device, _time(message), message.received, out)
        elif message.kind == "NDATA":
            out.append(Said(self.node, None, message.payload, message.received))
        elif (device := self.devices.get(message.device)) is not None and device.is_born:
            device.is_alive = True
            out.append(Said(self.node, message.device, message.payload, message.received))
        else:
            self._unborn(message, now)

    def _unborn(self, message: Message, now: int) -> None:
        """Nobody can say what these metrics are: they are lost, and the node is asked for its birth."""
        self._wants = self._wants or f"{message.kind} before its birth"
        self._unproven("sparkplug_seq")
        self.dropped += 1
        if not self._unknown:
            self._unknown_since = now
        self._unknown.append(message)
        if len(self._unknown) > MODULUS:
            del self._unknown[1]

    def _tell_unknown(self, out: list[Fact]) -> None:
        """One gap for all that nobody understood; none for a node met for the first time: nobody promised what was before."""
        if self._unknown and self._is_known:
            last = self._unknown[-1]
            out.append(Lost(self.node, len(self._unknown), last.received, _newest(last)))
        self._unknown.clear()

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _device(self, name: str | None) -> _Device:
        found = self.devices.get(name)
        if found is None:
            found = self.devices[name] = _Device(self._new_device_cause)
        return found

    def _unproven(self, cause: str) -> None:
        self._cause = self._cause or cause
        for device in self.devices.values():
            device.cause = device.cause or cause

    def _ask(self, now: int, out: list[Fact]) -> None:
        if self._wants is None or (self._asked is not None and now - self._asked < self._every):
            return
        self._asked = now
        self.requests += 1
        out.append(AskRebirth(self.node, self._wants))

    def _deviates(self, what: str, out: list[Fact]) -> None:
        if what not in self.deviations and len(self.deviations) < MOST_DEVIATIONS:
            self.deviations.append(what)
            out.append(Deviates(self.node, what))


class Host:
    """All edge nodes of a source. ``known``: those met before a restart of this program ("group/node"). ``room``: how many more there may be."""

    def __init__(
        self, window: int, rebirth_every: int, known: list[str] | None = None, room: Room | None = None
    ) -> None:
        self._window, self._every, self._room = window, rebirth_every, room
        self._strange = 0
        self.nodes: dict[NodeId, EdgeNode] = {}
        for name in known or []:
            group, _, node = name.partition("/")
            self._node(NodeId(group, node))

    def take(self, address: Address, payload: Any, received: int, digest: int, now: int) -> list[Fact]:
        """A message."""
        message = Message(address.kind, address.id, address.device, payload, received, digest)
        if (
            address.id not in self.nodes
            and self._room is not None
            and not self._room.has(address.id, None, lambda: len(self.nodes))
        ):
            self._strange += 1
            is_birth = address.kind in ("NBIRTH", "DBIRTH")
            return [Refused(address.id, address.device, payload, received)] if is_birth else []
        return self._node(address.id).take(message, now)

    @property
    def refused(self) -> int:
        """Messages of nodes and devices for which there was no room."""
        return self._strange + sum(node.refused for node in list(self.nodes.values()))

    def tick(self, now: int) -> list[Fact]:
        """Call it at least every half second."""
        return [fact for node in self.nodes.values() for fact in node.tick(now)]

    def connected(self, cause: str | None, received: int, now: int) -> list[Fact]:
        """The host is connected (again). ``cause``: of what may be lost since it was before (None: it never was)."""
        if cause is None:
            return []
        return [fact for node in self.nodes.values() for fact in node.interrupted(cause, received, now)]

    def want_rebirth(self, node: NodeId, why: str, now: int) -> list[Fact]:
        """The translator met what no birth announced."""
        known = self._node(node)
        known.want_rebirth(why)
        return known.tick(now)

    def _node(self, node: NodeId) -> EdgeNode:
        found = self.nodes.get(node)
        if found is None:
            found = self.nodes[node] = EdgeNode(node, self._window, self._every, self._has_room)
        return found

    def _has_room(self, node: NodeId, device: str) -> bool:
        return self._room is None or self._room.has(node, device, lambda: len(self._node(node).devices))


def _time(message: Message) -> int:
    """The payload's time, ns UTC; of receipt when there is none that can be meant."""
    ms: int = message.payload.timestamp
    return ms * MS if 0 < ms <= LAST_MS else message.received


def _newest(message: Message) -> int:
    """The newest time in a message that is of now, or when it came: what was said before it is not newer (ns UTC)."""
    times: list[int] = [_time(message), *(one.timestamp * MS for one in message.payload.metrics)]
    found = newest_of_now(max(times), times, message.received)
    return message.received if found is None else found


def _of_birth(payload: Any) -> tuple[int | None, Any]:
    """bdSeq and the rebirth control of a birth or death."""
    bdseq, control = None, None
    for metric in payload.metrics:
        if metric.name == BDSEQ:
            bdseq = _number(metric)
        elif metric.name == REBIRTH:
            control = metric
    return bdseq, control


def _number(metric: Any) -> int | None:
    """bdSeq, whichever whole field it stands in."""
    field = metric.WhichOneof("value")
    return int(getattr(metric, field)) if field in ("int_value", "long_value") else None
