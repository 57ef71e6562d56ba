"""Messages of a server that keeps to Part 6 where the library's channel does not: limits of requests, broken off responses, a wrong clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from asyncua import ua
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua.ua_binary import header_from_binary, struct_to_binary, uatcp_to_binary
from asyncua.ua.uaerrors import BadRequestTooLarge, UaStatusCodeError

from shinkei_events.errors import NotConnected
from shinkei_gateway.opcua.asking import browse
from shinkei_gateway.opcua.channel import Channel
from shinkei_gateway.opcua.decode import decode_publish_response
from shinkei_gateway.opcua.parts import NOT_DONE, in_parts
from shinkei_gateway.opcua.structures import Structures

BAD_RESPONSE_TOO_LARGE = 0x80B9_0000


NONE: Any = SecurityPolicyNone  # declared without types


def connected(**limits: int) -> tuple[Channel, SecureConnection]:
    """Our end, and the server's, whose Acknowledge said ``limits``."""
    channel = Channel(NONE())
    told = ua.Acknowledge(**({"ReceiveBufferSize": 65_535, "SendBufferSize": 65_535} | limits))
    received(channel, uatcp_to_binary(ua.MessageType.Acknowledge, told))
    return channel, SecureConnection(NONE(), TransportLimits(65_535, 65_535, 0, 0))


def received(channel: SecureConnection, wire: bytes) -> Any:
    """The last message in ``wire``."""
    left, found = Buffer(wire), None
    while left:
        header = header_from_binary(left)
        found = channel.receive_from_header_and_body(header, left)
    return found


def opened(channel: Channel, created: datetime, token: int, kind: ua.SecurityTokenRequestType) -> None:
    """The server has issued or renewed the channel's token, at ``created`` by its clock, for an hour."""
    made = ua.OpenSecureChannelResult(
        SecurityToken=ua.ChannelSecurityToken(TokenId=token, CreatedAt=created, RevisedLifetime=3_600_000),
        ServerNonce=b"",
    )
    channel.set_channel(made, kind, b"")


def test_a_server_that_takes_little_may_say_much() -> None:
    """MaxMessageSize and MaxChunkCount of an Acknowledge are those of requests (Part 6 §7.1.2.4)."""
    channel, server = connected(ReceiveBufferSize=8192, MaxMessageSize=16_384, MaxChunkCount=2)
    body = b"x" * 200_000
    assert bytes(received(channel, server.message_to_binary(body, request_id=1)).body()) == body


def test_a_request_is_cut_into_chunks_of_the_size_that_the_server_takes() -> None:
    channel, server = connected(ReceiveBufferSize=8192, SendBufferSize=65_535)
    wire = channel.message_to_binary(b"x" * 20_000, request_id=1)
    left = Buffer(wire)
    sizes = []
    while left:
        header = header_from_binary(left)
        sizes.append(header.packet_size)
        left.skip(header.body_size)
    assert max(sizes) <= 8192
    assert len(sizes) == 3
    assert bytes(received(server, wire).body()) == b"x" * 20_000


@pytest.mark.parametrize("limits", [{"MaxMessageSize": 16_384}, {"ReceiveBufferSize": 8192, "MaxChunkCount": 2}])
def test_a_request_that_the_server_would_hang_up_at_is_not_sent(limits: dict[str, int]) -> None:
    channel, _ = connected(**limits)
    channel.message_to_binary(b"x" * 16_000, request_id=1)
    with pytest.raises(BadRequestTooLarge):
        channel.message_to_binary(b"x" * 16_400, request_id=2)


def test_a_response_that_is_broken_off_is_a_fault() -> None:
    """Part 6 §6.7.3: the parts so far are nothing. Who waits for it is told, else a publish request would never be answered."""
    channel, server = connected()
    first = bytearray(server.message_to_binary(b"x" * 100_000, request_id=7)[:65_535])
    reason = struct_to_binary(ua.ErrorMessage(ua.StatusCode(ua.UInt32(BAD_RESPONSE_TOO_LARGE)), "too much"))
    abort = MessageChunk(NONE().symmetric_cryptography, reason, ua.MessageType.SecureMessage, ua.ChunkType.Abort)
    abort.SequenceHeader = ua.SequenceHeader(ua.UInt32(2), ua.UInt32(7))
    size = header_from_binary(Buffer(bytes(first))).packet_size
    told = received(channel, bytes(first[:size]) + abort.to_binary())
    assert told.request_id() == 7
    assert decode_publish_response(bytes(told.body()), Structures([])).service_result == BAD_RESPONSE_TOO_LARGE
    server._sequence_number = 2
    assert bytes(received(channel, server.message_to_binary(b"next", request_id=8)).body()) == b"next"


def test_a_server_whose_clock_is_years_behind_keeps_its_channel_when_it_is_renewed() -> None:
    """Until it has heard from us it goes on with the token before (Part 4 §5.5.2)."""
    channel, server = connected()
    long_ago = datetime.now(UTC) - timedelta(days=3650)
    opened(channel, long_ago, 1, ua.SecurityTokenRequestType.Issue)
    opened(channel, long_ago, 2, ua.SecurityTokenRequestType.Renew)
    channel.revolve_tokens()
    server.security_token = ua.ChannelSecurityToken(TokenId=1)
    assert bytes(received(channel, server.message_to_binary(b"still", request_id=1)).body()) == b"still"


class Browsed:
    """Remembers what it was asked."""

    namespaces: ClassVar[list[str]] = []
    limits: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def resolve(self, node: str) -> ua.NodeId:
        return ua.NodeId.from_string(node)

    async def answer(self, request: Any) -> bytes:
        self.asked.append(request)
        return struct_to_binary(ua.BrowseResponse(Results=[ua.BrowseResult()]))


def test_no_view_is_asked_for() -> None:
    """All of a ViewDescription is null: the library's own bears the time of now, which async-opcua refuses with BadViewIdUnknown."""
    server = Browsed()
    asyncio.run(browse(server, ["i=85"], "i=46"))
    assert struct_to_binary(server.asked[0].Parameters.View) == bytes(14)


class Server:
    """Takes ``most`` nodes a call, and does not say so."""

    def __init__(self, most: int, code: int = 0x8010_0000) -> None:
        self.most, self.code, self.calls = most, code, list[int]()

    async def ask(self, part: Any) -> list[int]:
        self.calls.append(len(part))
        if len(part) > self.most:
            failure: Any = UaStatusCodeError
            raise NotConnected("too many") from failure(self.code)
        return [one * 10 for one in part]


def test_parts_are_halved_until_the_server_takes_them() -> None:
    server, limits = Server(3), {"reads": 20}
    answers = asyncio.run(in_parts(range(12), limits, "reads", server.ask))
    assert answers == [one * 10 for one in range(12)]
    assert server.calls == [12, 6, 3, 3, 3, 3]
    assert limits == {"reads": 3}, "the next call begins with what is known"


def test_what_may_have_been_done_is_not_asked_for_again() -> None:
    """Items of a response that the server could not send are there already: made again, every value would come twice."""
    server = Server(3, BAD_RESPONSE_TOO_LARGE)
    with pytest.raises(NotConnected):
        asyncio.run(in_parts(range(12), {"items": 20}, "items", server.ask, codes=NOT_DONE))
    with pytest.raises(NotConnected):
        asyncio.run(in_parts(range(12), {}, "items", Server(0).ask))
