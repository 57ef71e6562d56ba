"""One connection's messages: where the library's secure channel departs from Part 6 §6.7 and §7.1, measured against open62541.

The limits in a server's Acknowledge are about requests; a response that is broken off is an answer; how old a security token is, is
measured by one clock. Knows no session and no trust. Used by `secure_client` for every session and by `endpoints`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.shortcuts import Shortcuts
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import BadRequestTooLarge, BadTcpMessageTooLarge

LARGEST_CHUNK = 65_535
"""Bytes of a chunk that is sent at most, whatever larger ones the server would take."""
LARGEST_MESSAGE = 256 * 1024 * 1024
"""Bytes of a response: a server that never ends one must not fill the memory."""
_TOO_LARGE = BadTcpMessageTooLarge.code


class Limits(TransportLimits):
    """What may be received is ours to say; what the server says (`asked`) is what it takes of requests (Part 6 §7.1.2.4)."""

    def __init__(self) -> None:
        super().__init__(ua.Hello().ReceiveBufferSize, LARGEST_CHUNK, 0, LARGEST_MESSAGE)
        self.request_bytes = self.request_chunks = 0

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        """The server's answer to our Hello; 0: no limit."""
        self.max_send_buffer = min(msg.ReceiveBufferSize or LARGEST_CHUNK, LARGEST_CHUNK)
        self.request_bytes, self.request_chunks = msg.MaxMessageSize, msg.MaxChunkCount


class Channel(SecureConnection):
    """The library's, with `Limits`."""

    def __init__(self, security_policy: Any) -> None:
        self.taken = Limits()
        super().__init__(security_policy, self.taken)

    def set_channel(self, params: Any, request_type: ua.SecurityTokenRequestType, client_nonce: bytes) -> None:
        """A token's age counts from when it came here: by the server's clock, which may be years off, it would be too old at once."""
        params.SecurityToken.CreatedAt = datetime.now(UTC)
        super().set_channel(params, request_type, client_nonce)

    def message_to_binary(
        self, message: bytes, message_type: Any = ua.MessageType.SecureMessage, request_id: int = 0
    ) -> bytes:
        """Raises `BadRequestTooLarge` for what the server said it would hang up at."""
        if message_type == ua.MessageType.SecureMessage and len(message) > self._room():
            raise BadRequestTooLarge
        return super().message_to_binary(message, message_type, request_id)

    def _room(self) -> int:
        """Bytes that a request may have."""
        limits = self.taken
        chunk = MessageChunk.max_body_size(self.security_policy.symmetric_cryptography, limits.max_send_buffer)
        by_chunks = limits.request_chunks * chunk or LARGEST_MESSAGE
        return min(limits.request_bytes or LARGEST_MESSAGE, by_chunks)

    def _receive(self, msg: MessageChunk) -> ua.Message | None:
        kind: Any = msg.MessageHeader.ChunkType
        if kind != ua.ChunkType.Abort:
            return super()._receive(msg)
        # The sender gave up in the middle (Part 6 §6.7.3); whoever waits for this response waits for ever unless told.
        self._check_incoming_chunk(msg)
        self._drop_incoming_parts()
        fault = ua.ServiceFault()
        error = struct_from_binary(ua.ErrorMessage, Buffer(msg.Body)).Error
        fault.ResponseHeader.ServiceResult = error if error is not None else ua.StatusCode(ua.UInt32(_TOO_LARGE))
        msg.Body = struct_to_binary(fault)
        return ua.Message([msg])  # type: ignore[no-untyped-call]  # the library's own


class _Wire(UaClient):
    chosen: ua.EndpointDescription | None = None

    def _make_protocol(self) -> UASocketProtocol:
        made = super()._make_protocol()
        made._connection = Channel(self.security_policy)
        return made

    async def create_session(self, parameters: ua.CreateSessionParameters) -> ua.CreateSessionResult:
        """A server may list only the endpoints at the address that it was asked at (Part 4 §5.7.2): none behind a translated address."""
        made = await super().create_session(parameters)
        if not made.ServerEndpoints:
            policy = self.security_policy
            nameless = ua.EndpointDescription(
                EndpointUrl=parameters.EndpointUrl, SecurityMode=policy.Mode, SecurityPolicyUri=policy.URI
            )
            made.ServerEndpoints = [self.chosen or nameless]
        return made


class ChannelClient(Client):
    """The library's client on `Channel`."""

    def __init__(self, url: str, timeout: float = 4) -> None:
        super().__init__(url, timeout=timeout)
        self._wire = _Wire(timeout)
        self._wire.pre_request_hook = self.uaclient.pre_request_hook
        self.uaclient = self._wire
        self.nodes = Shortcuts(self.uaclient.session)

    def choose(self, endpoint: ua.EndpointDescription) -> None:
        """The session's endpoint, of which the server may say nothing more in the session."""
        self._wire.chosen = endpoint
