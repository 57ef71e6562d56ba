"""MQTT packets to a broker as bytes, and what a broker sends back as messages and answers (OASIS MQTT 3.1.1 and 5). Pure.

A client's half only. `Decoder.feed` is the way of every message: 1.2 µs for one of 90 bytes. `shinkei_gateway.mqtt.own` is its caller.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from shinkei_events.errors import BadField, BadInput, NotConnected
from shinkei_gateway.mqtt import properties as props
from shinkei_gateway.mqtt.connection import LARGEST_PACKET, SESSION_EXPIRY_S, Dial, Limits, Message
from shinkei_gateway.mqtt.properties import decoded, encoded, read_variable, variable

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE = range(1, 9)
SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(9, 16)
PING = bytes([PINGREQ << 4, 0])
HEAD_BYTES = 256
"""Kept of the payload of a message that is too large."""
_SUBSCRIBE_HEAD = 8
"""Bytes of a SUBSCRIBE before its filters, at most: type, length, packet identifier, no properties."""
_MOST_TOPICS = 100_000
"""Topic names remembered; then from the beginning."""
_FROM_BROKER = {CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT}
_SMALLEST = {CONNACK: 2, PUBACK: 2, PUBREC: 2, PUBREL: 2, PUBCOMP: 2, SUBACK: 3, UNSUBACK: 2}


# ---- to the broker -------------------------------------------------------------------------------------------------------
def connect(dial: Dial) -> bytes:
    """CONNECT (3.1)."""
    is_5, will = dial.protocol == "5", dial.will
    flags = 0 if dial.keep_session else 0x02
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    if dial.user is not None:
        flags |= 0x80 | (0x40 if dial.password is not None else 0)
    body = _text("MQTT") + bytes([5 if is_5 else 4, flags]) + max(1, round(dial.keepalive)).to_bytes(2, "big")
    if is_5:
        body += encoded({
            props.SESSION_EXPIRY: SESSION_EXPIRY_S if dial.keep_session else 0, props.RECEIVE_MAXIMUM: dial.receive_maximum,
            props.MAXIMUM_PACKET_SIZE: LARGEST_PACKET,
        })  # fmt: skip
        # No topic aliases are offered (3.1.2.11.5): mochi 2.7 sends what was under way again by an alias of the connection before.
    body += _text(dial.client_id)
    if will is not None:
        body += (b"\0" if is_5 else b"") + _text(will.topic) + _binary(will.payload)
    if dial.user is not None:
        body += _text(dial.user) + (b"" if dial.password is None else _text(dial.password))
    return _packet(CONNECT << 4, body)


def subscribe(mid: int, filters: Sequence[str], qos: int, retain_handling: int, *, is_5: bool) -> bytes:
    """SUBSCRIBE (3.8). ``retain_handling`` of MQTT 5: 0 send retained messages, 1 only for a new subscription, 2 none."""
    options = bytes([qos | retain_handling << 4 if is_5 else qos])
    body = b"".join(_text(name) + options for name in filters)
    return _packet(SUBSCRIBE << 4 | 2, mid.to_bytes(2, "big") + (b"\0" if is_5 else b"") + body)


def unsubscribe(mid: int, filters: Sequence[str], *, is_5: bool) -> bytes:
    """UNSUBSCRIBE (3.10)."""
    body = b"".join(map(_text, filters))
    return _packet(UNSUBSCRIBE << 4 | 2, mid.to_bytes(2, "big") + (b"\0" if is_5 else b"") + body)


def publish(mid: int, topic: str, payload: bytes, qos: int, *, retain: bool, is_5: bool) -> bytes:
    """PUBLISH (3.3). ``mid`` does not count for QoS 0."""
    head = _text(topic) + (mid.to_bytes(2, "big") if qos else b"") + (b"\0" if is_5 else b"")
    return _packet(PUBLISH << 4 | qos << 1 | retain, head + payload)


def check_publish(limits: Limits, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
    """Raises `NotConnected` for what the broker said it does not take (MQTT 5, 3.2.2.3.4 to 3.2.2.3.6): it would end the connection."""
    if limits.maximum_qos is not None and qos > limits.maximum_qos:
        raise NotConnected(f"{topic}: QoS {qos} is more than the broker takes ({limits.maximum_qos})")
    if retain and limits.retain is False:
        raise NotConnected(f"{topic}: the broker keeps no retained messages")
    if limits.largest_packet is None:
        return
    size = len(publish(1, topic, payload, qos, retain=retain, is_5=True))
    if size > limits.largest_packet:
        raise NotConnected(
            f"{topic}: {size} bytes are more than the broker takes in one packet ({limits.largest_packet})"
        )


def in_packets(filters: Sequence[str], largest: int | None) -> list[list[str]]:
    """``filters`` as SUBSCRIBE and UNSUBSCRIBE packets of at most ``largest`` bytes can carry them; a longer one stands alone."""
    found: list[list[str]] = []
    room = 0
    for name in filters:
        size = len(name.encode()) + 3  # its length and its options
        if not found or size > room:
            found.append([])
            room = (largest or LARGEST_PACKET) - _SUBSCRIBE_HEAD
        found[-1].append(name)
        room -= size
    return found


def answer(kind: int, mid: int) -> bytes:
    """PUBREL or PUBCOMP with success."""
    return bytes([kind << 4 | (2 if kind == PUBREL else 0), 2]) + mid.to_bytes(2, "big")


def acknowledgements(messages: Sequence[Message]) -> bytes:
    """PUBACK and PUBREC of all, in their order."""
    words = [(0x4002_0000 if message[2] == 1 else 0x5002_0000) | message[3] for message in messages if message[2]]
    return struct.pack(f">{len(words)}I", *words)


def disconnect(reason: int = 0, *, is_5: bool) -> bytes:
    """DISCONNECT (3.14)."""
    return _packet(DISCONNECT << 4, bytes([reason]) if is_5 and reason else b"")


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + variable(len(body)) + body


def _text(value: str) -> bytes:
    return _binary(value.encode())


def _binary(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


# ---- from the broker -----------------------------------------------------------------------------------------------------
class Answer(NamedTuple):
    """Any packet but PUBLISH. ``mid`` 0 where there is none; ``codes``: reason or return codes; ``found``: MQTT 5 properties."""

    kind: int
    mid: int = 0
    codes: bytes = b""
    session_present: bool = False
    found: dict[int, Any] = {}


class Decoder:
    """What comes over one connection, cut anywhere. Takes the broker for an enemy: whatever is wrong is `BadInput`, once and for all."""

    def __init__(self, *, is_5: bool, largest: int = LARGEST_PACKET) -> None:
        self._is_5, self._largest = is_5, largest
        self._parts: list[bytes] = []
        self._have = self._need = 0
        self._topics: dict[bytes, str] = {}
        self._bad: dict[bytes, BadField] = {}
        self._skip = 0

    def feed(self, data: bytes, received: int, messages: list[Message], answers: list[Answer]) -> None:
        """Add what ``data`` completes to ``messages`` and ``answers``. What was complete before a `BadInput` is in them."""
        if self._skip:
            gone = min(self._skip, len(data))
            self._skip, data = self._skip - gone, data[gone:]
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._parts)
            self._parts = []
        self._need, at, end = 0, 0, len(data)
        new, topics, bad, is_5 = tuple.__new__, self._topics, self._bad, self._is_5
        while end - at >= 2:
            first, length, body = data[at], data[at + 1], at + 2
            if length & 0x80:
                head = read_variable(data, at + 1, end)
                if head is None:
                    break
                length, body = head
                if length > self._largest:
                    if not self._too_large(first, data, body, body + length, received, messages):
                        break
                    at = min(body + length, end)
                    continue
            stop = body + length
            if stop > end:
                self._need = stop - at  # a large payload is joined once, not at each piece
                break
            if first & 0xF0 != 0x30:
                answers.append(self._answer(first, data, body, stop))
                at = stop
                continue
            qos = first >> 1 & 3
            rest = body + 2 + (data[body] << 8 | data[body + 1]) if length >= 2 else stop + 1
            if rest + (2 if qos else 0) > stop:
                raise BadInput("a PUBLISH that ends within its topic")
            raw, mid = data[body + 2 : rest], 0
            if qos:
                mid = data[rest] << 8 | data[rest + 1]
                rest += 2
                if qos == 3 or not mid:
                    raise BadInput("a PUBLISH with QoS 3" if qos == 3 else "a PUBLISH without a packet identifier")
            elif first & 8:
                raise BadInput("a PUBLISH with QoS 0 and DUP (3.3.1.1)")
            topic = topics.get(raw)
            if topic is None and (raw or not is_5):
                topic = self._topic(raw)
            if is_5:
                if rest < stop and not data[rest] and topic is not None:
                    rest += 1
                else:
                    topic, rest = self._named(topic, data, rest, stop)
            messages.append(
                new(Message, (topic, data[rest:stop], qos, mid, first & 9 != 0, received, first & 1 == 1, bad.get(raw)))
            )
            at = stop
        self._parts = [data[at:]] if at < end else []
        self._have = end - at

    def _topic(self, raw: bytes) -> str:
        """The name, or how it is shown when it is none: Aedes 1.2 passes on what a device publishes on a topic with U+0000."""
        topic = raw.decode(errors="backslashreplace").replace("\0", "\\x00")
        if len(self._topics) >= _MOST_TOPICS:
            self._topics.clear()
            self._bad.clear()
        if not topic or "+" in topic or "#" in topic or topic.encode() != raw:
            self._bad[raw] = BadField("topic", raw[:60], "a topic in UTF-8 without U+0000, + and # (MQTT 4.7.1, 4.7.3)")
        self._topics[raw] = topic
        return topic

    def _named(self, topic: str | None, data: bytes, at: int, stop: int) -> tuple[str, int]:
        """The topic, and where the properties end. An alias beside it is not needed; one instead of it was not offered."""
        found, at = decoded(data, at, stop)
        if topic is None:
            alias = found.get(props.TOPIC_ALIAS)
            raise BadInput(
                "a PUBLISH without a topic" + ("" if alias is None else f", by alias {alias}: none is allowed")
            )
        return topic, at

    def _too_large(self, first: int, data: bytes, body: int, stop: int, received: int, messages: list[Message]) -> bool:
        """A message whose payload nobody can take: told with its beginning, so that it is acknowledged and its neighbours go on.

        Refused it would come again for ever, for a broker of 3.1.1 cannot be told a limit. What has not come yet is skipped.
        False: its topic has not come yet.
        """
        qos, size, end = first >> 1 & 3, stop - body, len(data)
        if first & 0xF0 != 0x30 or self._is_5 or qos == 3:
            raise BadInput(f"a packet of {size} bytes; at most {self._largest} are taken")
        rest = body + 2 + (data[body] << 8 | data[body + 1]) if end >= body + 2 else end + 1
        if rest + (2 if qos else 0) > end:
            return False
        topic, mid = self._topic(data[body + 2 : rest]), 0
        if qos:
            mid, rest = data[rest] << 8 | data[rest + 1], rest + 2
            if not mid:
                raise BadInput("a PUBLISH without a packet identifier")
        payload, self._skip = data[rest : min(rest + HEAD_BYTES, end, stop)], max(0, stop - end)
        wrong = BadField("$", f"{size} bytes", f"at most {self._largest} bytes of a message; the rest was not kept")
        messages.append(Message(topic, payload, qos, mid, first & 9 != 0, received, first & 1 == 1, wrong))
        return True

    def _answer(self, first: int, data: bytes, at: int, stop: int) -> Answer:
        kind, flags = first >> 4, first & 0x0F
        if kind not in _FROM_BROKER:
            raise BadInput(f"a packet of type {kind}, which no broker sends to this client")
        if flags != (2 if kind == PUBREL else 0):
            raise BadInput(f"a packet of type {kind} with flags {flags}")
        if stop - at < _SMALLEST.get(kind, 0):
            raise BadInput(f"a packet of type {kind} with {stop - at} bytes")
        if kind == PINGRESP:
            return Answer(kind)
        if kind == CONNACK:
            if data[at] > 1:
                raise BadInput(f"a CONNACK with flags {data[at]}")
            found = decoded(data, at + 2, stop)[0] if self._is_5 and stop > at + 2 else {}
            return Answer(kind, 0, data[at + 1 : at + 2], data[at] == 1, found)
        if kind == DISCONNECT:
            found = decoded(data, at + 1, stop)[0] if self._is_5 and stop > at + 1 else {}
            return Answer(kind, 0, data[at : min(at + 1, stop)], found=found)
        mid = data[at] << 8 | data[at + 1]
        at += 2
        if kind in (SUBACK, UNSUBACK):
            found = {}
            if self._is_5:
                found, at = decoded(data, at, stop)
            return Answer(kind, mid, data[at:stop], found=found)
        found = decoded(data, at + 1, stop)[0] if self._is_5 and stop > at + 1 else {}
        return Answer(kind, mid, data[at : min(at + 1, stop)] if self._is_5 else b"", found=found)


def limits(found: dict[int, Any]) -> Limits:
    """What a CONNACK's properties say."""
    retain, wildcards = found.get(props.RETAIN_AVAILABLE), found.get(props.WILDCARDS_AVAILABLE)
    return Limits(
        found.get(props.SESSION_EXPIRY), found.get(props.RECEIVE_MAXIMUM), found.get(props.MAXIMUM_QOS),
        None if retain is None else bool(retain), found.get(props.MAXIMUM_PACKET_SIZE), found.get(props.SERVER_KEEP_ALIVE),
        None if wildcards is None else bool(wildcards),
    )  # fmt: skip
