"""A broker that only writes down what one client says, packet by packet, and answers as the standard asks: for what goes over the wire."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from shinkei_gateway.mqtt import wire
from shinkei_gateway.mqtt.properties import read_variable


class Packet(NamedTuple):
    """``first``: type and flags; ``body``: what follows its length."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4


class Published(NamedTuple):
    """A PUBLISH or a will."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


class Scribe:
    """A broker for one client (the first that comes): grants and confirms everything, keeps the packets. ``connack``: properties of its CONNACK (MQTT 5).

    ``is_confirming`` False: it takes PUBLISH packets and says nothing; `confirm` makes up for it. ``session_present``: it says that it knows the client.
    """

    def __init__(self, is_5: bool, connack: bytes = b"", *, session_present: bool = False) -> None:
        self.is_5, self._connack, self._present = is_5, connack, session_present
        self.is_confirming = True
        self.packets: list[Packet] = []
        self.connections = 0
        self._client = b""
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    def say(self, topic: str, payload: bytes, qos: int = 0, mid: int = 9) -> None:
        assert self._writer is not None
        self._writer.write(wire.publish(mid, topic, payload, qos, retain=False, is_5=self.is_5))

    def confirm(self, mid: int) -> None:
        """A PUBACK, late."""
        assert self._writer is not None
        self._writer.write(_framed(wire.PUBACK << 4, mid.to_bytes(2, "big")))

    def release(self, mid: int) -> None:
        """A PUBREL."""
        assert self._writer is not None
        self._writer.write(_framed(wire.PUBREL << 4 | 2, mid.to_bytes(2, "big")))

    def mid(self, publish: Packet) -> int:
        """Of a PUBLISH with QoS 1 or 2."""
        at = 2 + int.from_bytes(publish.body[:2], "big")
        return int.from_bytes(publish.body[at : at + 2], "big")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while chunk := await reader.read(65_536):
            data += chunk
            while (head := read_variable(data, 1, len(data))) is not None and len(data) >= sum(head):
                packet, data = Packet(data[0], data[head[1] : sum(head)]), data[sum(head) :]
                if packet.kind == wire.CONNECT:
                    name = self._fields(packet, 1)[0]
                    self._client = self._client or name
                    if name != self._client:  # a source's second connection, which looks at $SYS
                        writer.close()
                        return
                    self._writer = writer
                    self.connections += 1
                self.packets.append(packet)
                writer.write(self._answer(packet))
        writer.close()

    def _answer(self, packet: Packet) -> bytes:
        nothing = b"\0" if self.is_5 else b""
        if packet.kind == wire.CONNECT:
            properties = bytes([len(self._connack)]) + self._connack if self.is_5 else b""
            return _framed(wire.CONNACK << 4, bytes([self._present, 0]) + properties)
        if packet.kind == wire.SUBSCRIBE:
            granted = bytes(options & 3 for _, options in self.filters(packet))
            return _framed(wire.SUBACK << 4, packet.body[:2] + nothing + granted)
        if packet.kind == wire.UNSUBSCRIBE:
            return _framed(wire.UNSUBACK << 4, packet.body[:2] + nothing + (b"\0" if self.is_5 else b""))
        if packet.kind == wire.PUBLISH and packet.first & 6:
            return _framed(wire.PUBACK << 4, self.mid(packet).to_bytes(2, "big")) if self.is_confirming else b""
        return _framed(wire.PINGRESP << 4, b"") if packet.kind == wire.PINGREQ else b""

    # ---- what was heard --------------------------------------------------------------------------------------------------
    def filters(self, packet: Packet) -> list[tuple[str, int]]:
        """Of a SUBSCRIBE: each filter with its options."""
        at, found = 3 if self.is_5 else 2, []
        while at < len(packet.body):
            size = int.from_bytes(packet.body[at : at + 2], "big")
            found.append((packet.body[at + 2 : at + 2 + size].decode(), packet.body[at + 2 + size]))
            at += 3 + size
        return found

    def of(self, kind: int) -> list[Packet]:
        return [packet for packet in self.packets if packet.kind == kind]

    def published(self) -> list[Published]:
        return [self.as_published(packet) for packet in self.of(wire.PUBLISH)]

    def as_published(self, packet: Packet) -> Published:
        at = 2 + int.from_bytes(packet.body[:2], "big")
        qos, topic = packet.first >> 1 & 3, packet.body[2:at].decode()
        return Published(topic, packet.body[at + (2 if qos else 0) + self.is_5 :], qos, packet.first & 1 == 1)

    def will(self, connect: Packet) -> Published:
        _, topic, payload = self._fields(connect, 3)
        flags = connect.body[7]
        return Published(topic.decode(), payload, flags >> 3 & 3, flags & 0x20 != 0)

    def _fields(self, connect: Packet, count: int) -> list[bytes]:
        """Client id, will topic (after its properties), will payload: as many as ``count``."""
        at = 10
        if self.is_5:
            head = read_variable(connect.body, at, len(connect.body))
            assert head is not None
            at = sum(head)
        fields = []
        for at_properties in (False, True, False)[:count]:
            at += self.is_5 and at_properties
            size = int.from_bytes(connect.body[at : at + 2], "big")
            fields.append(connect.body[at + 2 : at + 2 + size])
            at += 2 + size
        return fields


def _framed(first: int, body: bytes) -> bytes:
    return bytes([first, len(body)]) + body
