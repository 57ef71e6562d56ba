"""An OPC UA server that says much and knows little: made values as wire bytes, so that a gateway's speed is measured and not a server's.

Speaks UA-TCP without security, for one client: the handshake and the services that a subscription needs, nothing else. Run as a process:
``python -m tests.support.wire_server PORT TAGS VALUES_PER_S INTERVAL_S TOTAL``. Tag ``t<n>`` counts 1, 2, 3 … as Double; source time is the
moment of sending. A message has at most 1000 values, grouped by tag, and is kept until it is acknowledged.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections import deque
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

URI = "urn:shinkei:test:wire"
MOST = 1000
_EPOCH_TICKS = 116_444_736_000_000_000
_VALUE = struct.Struct("<IBBdqq")
_HEADER = struct.Struct("<4sIIIII")
_PUBLISHED = b"\x01\x00\x3d\x03" + bytes(24)


class WireServer(asyncio.Protocol):
    """One connection."""

    def __init__(self, tags: int, rate: float, interval: float, total: int) -> None:
        self._tags, self._per_tick, self._interval, self._total = tags, max(1, round(rate * interval)), interval, total
        self._buffer = b""
        self._out = 0
        self._requests: deque[tuple[int, int]] = deque()
        self._handles: list[int] = []
        self._counts: list[int] = []
        self._at = self.said = 0
        self._sequence = 0
        self._kept: dict[int, bytes] = {}
        self._ready: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            size = int.from_bytes(self._buffer[4:8], "little")
            if len(self._buffer) < size:
                return
            message, self._buffer = self._buffer[:size], self._buffer[size:]
            self._message(message)

    def _message(self, message: bytes) -> None:
        kind = message[:3]
        if kind == b"HEL":
            self._transport.write(b"ACKF" + struct.pack("<IIIIII", 28, 0, 65_535, 65_535, 0, 0))
        elif kind == b"OPN":
            body = Buffer(message[12:])
            struct_from_binary(ua.AsymmetricAlgorithmHeader, body)
            self._open(int(struct_from_binary(ua.SequenceHeader, body).RequestId))
        elif kind == b"MSG":
            request = int.from_bytes(message[20:24], "little")
            self._service(request, Buffer(message[24:]))
        else:
            self._transport.close()

    def _open(self, request: int) -> None:
        response = ua.OpenSecureChannelResponse()
        response.Parameters.SecurityToken = ua.ChannelSecurityToken(ChannelId=1, TokenId=1, RevisedLifetime=3_600_000)
        response.Parameters.ServerNonce = b""
        head = ua.AsymmetricAlgorithmHeader(SecurityPolicyURI="http://opcfoundation.org/UA/SecurityPolicy#None")
        self._out += 1
        rest = struct_to_binary(head) + struct.pack("<II", self._out, request) + struct_to_binary(response)
        self._transport.write(b"OPNF" + struct.pack("<II", 12 + len(rest), 1) + rest)

    def _send(self, request: int, body: bytes) -> None:
        self._out += 1
        self._transport.write(_HEADER.pack(b"MSGF", 24 + len(body), 1, 1, self._out, request) + body)

    def _service(self, request: int, body: Buffer) -> None:
        type_id = nodeid_from_binary(body).Identifier
        header = struct_from_binary(ua.RequestHeader, body)
        if type_id == ObjectIds.PublishRequest_Encoding_DefaultBinary:
            for ack in struct_from_binary(ua.PublishParameters, body).SubscriptionAcknowledgements:
                self._kept.pop(ack.SequenceNumber, None)
            self._requests.append((request, header.RequestHandle))
            self._begin()
            self._publish()
            return
        answer = _ANSWERS.get(type_id, _unsupported)
        response = answer(self, body)
        response.ResponseHeader.RequestHandle = header.RequestHandle
        self._send(request, struct_to_binary(response))

    # ---- values ----------------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        for start in range(0, len(self._handles), MOST):  # a new subscription says every value once
            self._make([(at, 1) for at in range(start, min(start + MOST, len(self._handles)))])
        self._publish()
        due = time.monotonic() + 0.5
        while self.said < self._total:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += self._interval
            self._values(min(self._per_tick, self._total - self.said))
            self._publish()
        print("done", self.said, flush=True)

    def _values(self, wanted: int) -> None:
        each = max(1, wanted // len(self._handles))
        while wanted > 0:
            part: list[tuple[int, int]] = []
            room = min(MOST, wanted)
            while room > 0:
                n = min(each, room)
                part.append((self._at, n))
                self._at = (self._at + 1) % len(self._handles)
                room -= n
            wanted -= min(MOST, wanted)
            self._make(part)

    def _make(self, part: list[tuple[int, int]]) -> None:
        now = time.time_ns() // 100 + _EPOCH_TICKS
        out = []
        for at, n in part:
            handle, count = self._handles[at], self._counts[at]
            for step in range(1, n + 1):
                stamp = now + step
                out.append(_VALUE.pack(handle, 0x0D, 11, count + step, stamp, stamp))
            self._counts[at] = count + n
        self.said += len(out)
        content = struct.pack("<i", len(out)) + b"".join(out) + struct.pack("<i", -1)
        self._sequence += 1
        self._ready.append(
            struct.pack("<Iqi", self._sequence, now, 1)
            + b"\x01\x00\x2b\x03\x01"
            + struct.pack("<i", len(content))
            + content
        )

    def _publish(self) -> None:
        while self._requests and self._ready:
            request, handle = self._requests.popleft()
            message = self._ready.popleft()
            self._kept[int.from_bytes(message[:4], "little")] = message
            head = bytearray(_PUBLISHED)
            head[12:16] = handle.to_bytes(4, "little")
            body = bytes(head) + struct.pack("<Iib", 1, -1, bool(self._ready)) + message + struct.pack("<ii", -1, -1)
            for at in range(0, len(body), 65_000):
                self._out += 1
                chunk = body[at : at + 65_000]
                mark = b"MSGF" if at + 65_000 >= len(body) else b"MSGC"
                self._transport.write(_HEADER.pack(mark, 24 + len(chunk), 1, 1, self._out, request) + chunk)

    # ---- services ----------------------------------------------------------------------------------------------------------
    def _create_session(self, _body: Buffer) -> Any:
        response = ua.CreateSessionResponse()
        response.Parameters.SessionId = response.Parameters.AuthenticationToken = ua.NodeId(ua.Int32(7))
        response.Parameters.RevisedSessionTimeout = 600_000
        token = ua.UserTokenPolicy(PolicyId="anonymous", TokenType=ua.UserTokenType.Anonymous)
        response.Parameters.ServerEndpoints = [ua.EndpointDescription(
            EndpointUrl="opc.tcp://127.0.0.1/",
            SecurityMode=ua.MessageSecurityMode.None_, SecurityPolicyUri="http://opcfoundation.org/UA/SecurityPolicy#None",
            UserIdentityTokens=[token],
        )]  # fmt: skip
        return response

    def _read(self, body: Buffer) -> Any:
        response = ua.ReadResponse()
        for wanted in struct_from_binary(ua.ReadParameters, body).NodesToRead:
            value = _attribute(wanted.NodeId.Identifier, int(wanted.AttributeId))
            bad = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown))
            response.Results.append(ua.DataValue(value) if value is not None else ua.DataValue(None, bad))
        return response

    def _browse(self, body: Buffer) -> Any:
        """Every tag has a unit and a range, and nothing else."""
        response = ua.BrowseResponse()
        for wanted in struct_from_binary(ua.BrowseParameters, body).NodesToBrowse:
            result = ua.BrowseResult()
            for name in _PROPERTIES:
                node = ua.NodeId(ua.String(f"{wanted.NodeId.Identifier}.{name}"), ua.Int16(1))
                result.References.append(ua.ReferenceDescription(
                    ua.NodeId(ua.Int32(46)), True, ua.ExpandedNodeId(node.Identifier, 1), ua.QualifiedName(name, 0)
                ))  # fmt: skip
            response.Results.append(result)
        return response

    def _subscribe(self, body: Buffer) -> Any:
        wanted = struct_from_binary(ua.CreateSubscriptionParameters, body)
        response = ua.CreateSubscriptionResponse()
        response.Parameters = ua.CreateSubscriptionResult(
            1, wanted.RequestedPublishingInterval, wanted.RequestedLifetimeCount, wanted.RequestedMaxKeepAliveCount
        )
        return response

    def _monitor(self, body: Buffer) -> Any:
        response = ua.CreateMonitoredItemsResponse()
        for item in struct_from_binary(ua.CreateMonitoredItemsParameters, body).ItemsToCreate:
            result = ua.MonitoredItemCreateResult()
            wish = item.RequestedParameters
            if item.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier:
                result.StatusCode = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadServiceUnsupported))
            else:
                self._handles.append(wish.ClientHandle)
                self._counts.append(0)
                result.MonitoredItemId, result.RevisedQueueSize = len(self._handles), wish.QueueSize
                result.RevisedSamplingInterval = wish.SamplingInterval
            response.Results.append(result)
        return response

    def _set_publishing(self, _body: Buffer) -> Any:
        response = ua.SetPublishingModeResponse()
        response.Parameters.Results = [ua.StatusCode()]
        return response


def _attribute(node: Any, attribute: int) -> Any:
    """What the server and its tags say of themselves (Part 6 §A.1); None: no such node or attribute."""
    name = str(node).rpartition(".")[2]
    if isinstance(node, str) and attribute == ua.AttributeIds.Value:
        return _PROPERTIES.get(name)
    return {
        (2255, 13): ua.Variant(["http://opcfoundation.org/UA/", URI]),
        (2259, 13): ua.Variant(0, ua.VariantType.Int32),
        (node, 5): ua.Variant(ua.LocalizedText(f"Counter {node}")) if isinstance(node, str) else None,
        (node, 14): ua.Variant(ua.NodeId(ua.Int32(11))) if isinstance(node, str) else None,
    }.get((node, attribute))


_PROPERTIES = {
    "EngineeringUnits": ua.Variant(
        ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 4408652, ua.LocalizedText("°C"))
    ),
    "EURange": ua.Variant(ua.Range(0.0, 1e9)),
}


def _unsupported(_self: WireServer, _body: Buffer) -> Any:
    """BadServiceUnsupported: a source lives without (it asks for descriptions beside the values)."""
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(0x800B_0000))
    return fault


_ANSWERS: dict[int, Any] = {
    ObjectIds.CreateSessionRequest_Encoding_DefaultBinary: WireServer._create_session,
    ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary: lambda _self, _body: ua.ActivateSessionResponse(),
    ObjectIds.ReadRequest_Encoding_DefaultBinary: WireServer._read,
    ObjectIds.BrowseRequest_Encoding_DefaultBinary: WireServer._browse,
    ObjectIds.CreateSubscriptionRequest_Encoding_DefaultBinary: WireServer._subscribe,
    ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary: WireServer._monitor,
    ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary: WireServer._set_publishing,
    ObjectIds.CloseSessionRequest_Encoding_DefaultBinary: lambda _self, _body: ua.CloseSessionResponse(),
}


async def serve(port: int, tags: int, rate: float, interval: float, total: int) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(
        lambda: WireServer(tags, rate, interval, total), "127.0.0.1", port
    )
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
