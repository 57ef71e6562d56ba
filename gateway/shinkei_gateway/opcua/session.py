"""One connection to an OPC UA server: channel and session, and the services that a source needs. Made fresh for every attempt, never repaired.

Of the library this uses the channel and the encoding of requests; its subscription layer, reconnect and watchdogs are not used. Knows the
ladder of Part 4 §6.7: the old session on the new channel, else a new session that the old subscription is transferred to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from asyncua import ua
from asyncua.client.ua_client import UaClientState, UASocketProtocol
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from shinkei_events.errors import BadInput, NotConnected
from shinkei_gateway.opcua import old_session
from shinkei_gateway.opcua.asking import whole_address_space
from shinkei_gateway.opcua.binary import Scope
from shinkei_gateway.opcua.decode import (
    Message,
    Published,
    decode_publish_response,
    decode_read_response,
    decode_republish_response,
)
from shinkei_gateway.opcua.parts import in_parts
from shinkei_gateway.opcua.remembered import Remembered
from shinkei_gateway.opcua.sample import Sample
from shinkei_gateway.opcua.secure_client import SecureClient
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.opcua.under_way import UnderWay, nodes_of
from shinkei_gateway.opcua.why import why

CALL_LIMIT = 500
"""Items a call where the server does not say what it takes."""
LIFETIME_S = 600.0
_LIMITS = {"i=11714": "items", "i=11705": "reads", "i=11710": "browses"}
"""MaxMonitoredItemsPerCall, MaxNodesPerRead and MaxNodesPerBrowse of the server's OperationLimits (i=11704)."""
_SERVER_STATE, _STARTED = "i=2259", "i=2257"
_NOT_AVAILABLE = {0x807B_0000, 0x800B_0000, 0x8040_0000, 0x80B9_0000, 0x8008_0000}
"""BadMessageNotAvailable; BadServiceUnsupported and BadNotImplemented of servers that cannot republish; BadResponseTooLarge and
BadEncodingLimitsExceeded of one that made a message it cannot send."""
_NO_SUBSCRIPTION = 0x8028_0000

T = TypeVar("T")
Secure = Callable[[SecureClient], Awaitable[None]]


class SubscriptionGone(NotConnected):
    """The session is there, its subscription is not: make a new one."""


class Session:
    """``url``, ``timeout`` of a request in s, ``secure``: sets policy and user before connecting, ``lifetime`` of the session in s.

    Use: `connect`, then `resume` or `subscribe`; `lost` tells the end; `close`.
    """

    def __init__(
        self, url: str, name: str, timeout: float, secure: Secure | None = None, lifetime: float = LIFETIME_S
    ) -> None:
        self._client = SecureClient(url, timeout=timeout)
        self._client.name = self._client.description = name
        self._client.application_uri = "urn:shinkei:gateway"
        self._client.session_timeout = int(lifetime * 1000)
        self._timeout, self._secure = timeout, secure
        self._renewal: asyncio.Task[None] | None = None
        self.structures = Structures([])
        """What values are decoded with; a source puts its own here, which knows what was learnt before."""
        self.namespaces: list[str] = []
        self.limits = dict.fromkeys(_LIMITS.values(), CALL_LIMIT)
        self._under_way = UnderWay()
        self.is_old = False
        """The session of `connect`'s argument is ours again."""
        self._is_stray = False
        """A session was made that nobody will take up again: servers have few, and keep each until its time is over."""
        self.is_gone = False
        """The subscription is of no use any more."""
        self.has_taken_over = False
        """A subscription was transferred to this session, and its message about that has not come."""
        self.started: float | None = None
        """When the server was started by its own clock, s since 1970; None when it does not say."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done with the reason when the connection is no more."""

    # ---- connecting ----------------------------------------------------------------------------------------------------
    async def connect(self, remembered: Remembered | None = None) -> None:
        """Take up ``remembered``'s session or make one; its token is emptied when the server refuses it. Raises `NotConnected`."""
        client = self._client
        try:
            async with asyncio.timeout(3 * self._timeout):
                if self._secure is not None:
                    await self._secure(client)
                await client.connect_socket()
                await client.send_hello()
                await client.open_secure_channel()
                if remembered is not None and remembered.token:
                    self.is_old = await old_session.take_up(client, remembered)
                if not self.is_old:
                    await client.create_session()
                    self._is_stray = True
                    await old_session.activate(client)
                await self.refresh_namespaces()
                await self._read_limits()
        except (OSError, TimeoutError, UaError) as error:
            await self.close(keep=True)
            raise NotConnected(why(error)) from error
        client.uaclient._add_state_listener(self._state_changed)
        self._renewal = asyncio.create_task(self._renew())

    def remember(self, into: Remembered) -> None:
        """Write down what `connect` needs to take this session up again."""
        old_session.write_down(self._client, into)
        self._is_stray = False
        into.started = self.started

    async def _read_limits(self) -> None:
        *limits, start = await self.read([ua.NodeId.from_string(n) for n in (*_LIMITS, _STARTED)])
        started = start.Value.Value if start.Value is not None else None
        self.started = started.timestamp() if isinstance(started, datetime) else None
        for kind, found in zip(_LIMITS.values(), limits, strict=True):
            limit = found.Value.Value if found.Value is not None else None
            if isinstance(limit, int) and limit > 0:  # 0 or nothing: the server does not say
                self.limits[kind] = self._under_way.most[kind] = limit

    async def refresh_namespaces(self) -> None:
        """Read the namespaces (again: a server may load them late). Raises `NotConnected`."""
        self.namespaces = await self.ask(self._client.get_namespace_array())
        self.structures.namespaces = self.namespaces

    @property
    def scope(self) -> Scope:
        """What values of this server are decoded with."""
        return Scope(self.namespaces, self.structures)

    def resolve(self, node: str) -> ua.NodeId:
        """The node id of ``nsu=…;…`` at this server now; raises KeyError when it has no such namespace."""
        uri, rest = "", node
        if node.startswith("nsu="):
            uri, _, rest = node.removeprefix("nsu=").partition(";")
        index = 0
        if uri:
            if uri not in self.namespaces:
                raise KeyError(uri)
            index = self.namespaces.index(uri)
        found: ua.NodeId = ua.NodeId.from_string(f"ns={index};{rest}")
        return found

    @property
    def timeout(self) -> float:
        """The session's, s, as revised by the server."""
        return self._client.session_timeout / 1000

    # ---- subscription ----------------------------------------------------------------------------------------------------
    async def subscribe(self, publishing: float, keepalive: float) -> tuple[int, float, float]:
        """Make a subscription; nothing is sent before the first publish request: its id, publishing interval and keep-alive (s) as revised."""
        count = max(1, round(keepalive / publishing))
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publishing * 1000, RequestedMaxKeepAliveCount=count,
            RequestedLifetimeCount=max(3 * count, round(LIFETIME_S / publishing)), MaxNotificationsPerPublish=0,
            PublishingEnabled=True, Priority=0,
        )  # fmt: skip
        made = (await self.call(request, ua.CreateSubscriptionResponse)).Parameters
        interval = made.RevisedPublishingInterval / 1000
        return made.SubscriptionId, interval, interval * made.RevisedMaxKeepAliveCount

    async def transfer(self, subscription: int) -> list[int] | None:
        """Make another session's subscription ours, without initial values: the messages it still has, or None when the server refuses."""
        params = ua.TransferSubscriptionsParameters(SubscriptionIds=[ua.UInt32(subscription)], SendInitialValues=False)
        try:
            (result,) = await self._client.uaclient.session.transfer_subscriptions(params)
        except UaStatusCodeError:
            return None
        except (OSError, TimeoutError, UaError) as error:
            raise NotConnected(why(error)) from error
        self.has_taken_over = bool(result.StatusCode.is_good())
        return list(result.AvailableSequenceNumbers or []) if self.has_taken_over else None  # a null array: none

    async def forget(self, subscription: int) -> None:
        """Delete a subscription; what the server says to it does not matter."""
        request = ua.DeleteSubscriptionsRequest()
        request.Parameters.SubscriptionIds = [subscription]
        with contextlib.suppress(UaStatusCodeError):
            await self._request(request)

    def send_publish(self, subscription: int, acks: list[int]) -> asyncio.Future[Any]:
        """See `publish_loop.Wire`. The library's own publish parses the answer, and forgets it when it cannot (asyncua 2.1)."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(SubscriptionId=subscription, SequenceNumber=number) for number in acks
        ]
        try:
            return self._protocol()._send_request(request, timeout=0)
        except (OSError, UaError) as error:
            raise NotConnected(why(error)) from error

    def published(self, answer: asyncio.Future[Any]) -> Published:
        """See `publish_loop.Wire`."""
        try:
            return decode_publish_response(bytes(answer.result()), self.structures)
        except (OSError, TimeoutError, UaError, asyncio.CancelledError) as error:
            raise NotConnected(why(error)) from error

    async def republish(self, subscription: int, sequence: int) -> Message | None:
        """See `publish_loop.Wire`. Raises `SubscriptionGone`."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = subscription
        request.Parameters.RetransmitSequenceNumber = sequence
        try:
            data = await self._request(request)
        except UaStatusCodeError as error:
            if error.code in _NOT_AVAILABLE:
                return None
            gone = SubscriptionGone if error.code == _NO_SUBSCRIPTION else NotConnected
            raise gone(f"message {sequence} of subscription {subscription}: {why(error)}") from error
        _, message = decode_republish_response(bytes(data), self.structures)
        return message if message.sequence == sequence else None

    # ---- other services ---------------------------------------------------------------------------------------------------
    async def read(self, nodes: list[ua.NodeId]) -> list[ua.DataValue]:
        """The nodes' values with both times, in calls of what the server takes. Raises `NotConnected`."""
        return await in_parts([(node, AttributeIds.Value) for node in nodes], self.limits, "reads", self.read_each)

    async def samples(self, nodes: list[ua.NodeId]) -> list[Sample]:
        """The nodes' values as notifications have them, times to the tick: a repeat is known by its time. Raises `NotConnected`."""
        return await in_parts(nodes, self.limits, "reads", self._some_samples)

    async def _some_samples(self, part: Sequence[ua.NodeId]) -> list[Sample]:
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in part]
        try:
            result, values, bad = decode_read_response(await self.answer(request), self.structures)
        except BadInput as error:
            raise NotConnected(f"a read of {len(part)} values: {error}") from error
        if len(values) != len(part):
            raise NotConnected(f"a read of {len(part)} values was answered with {len(values)}, status 0x{result:08X}")
        errors = {one.place: one.error for one in bad}
        return [Sample(*value[1:], errors.get(place)) for place, value in enumerate(values)]

    async def read_each(self, wanted: Sequence[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        """An attribute of each node, with the source's time where it has one. Raises `NotConnected`."""
        params = ua.ReadParameters(MaxAge=0, TimestampsToReturn=ua.TimestampsToReturn.Both)
        params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in wanted]
        found: list[ua.DataValue] = await self.ask(self._client.uaclient.read(params), "reads", len(wanted))
        return found

    async def browse(self, wanted: list[ua.BrowseDescription], most: int) -> list[ua.BrowseResult]:
        """References of nodes, ``most`` each in one answer (Part 4 §5.8.2). Raises `NotConnected` (its cause has the code)."""
        params = ua.BrowseParameters(
            View=whole_address_space(), RequestedMaxReferencesPerNode=most, NodesToBrowse=wanted
        )
        found: list[ua.BrowseResult] = await self.ask(self._client.uaclient.browse(params), "browses", len(wanted))
        return found

    async def browse_next(self, points: list[bytes], *, release: bool = False) -> list[ua.BrowseResult]:
        """Go on from continuation points, or give them back (Part 4 §5.8.3). Raises `NotConnected`."""
        params = ua.BrowseNextParameters(ReleaseContinuationPoints=release, ContinuationPoints=points)
        found: list[ua.BrowseResult] = await self.ask(self._client.uaclient.browse_next(params), "browses", len(points))
        return found

    async def history(
        self, node: ua.NodeId, begin: datetime, end: datetime, most: int, point: bytes | None
    ) -> ua.HistoryReadResult:
        """Raw values kept of a node from ``begin`` to ``end`` (Part 11 §6.5.3), ``most`` in one answer. Raises `NotConnected`."""
        details = ua.ReadRawModifiedDetails(
            IsReadModified=False, StartTime=begin, EndTime=end, NumValuesPerNode=most, ReturnBounds=False
        )
        wanted = ua.HistoryReadValueId(NodeId=node, ContinuationPoint=point)
        params = ua.HistoryReadParameters(
            HistoryReadDetails=details, TimestampsToReturn=ua.TimestampsToReturn.Both, ReleaseContinuationPoints=False, NodesToRead=[wanted]
        )  # fmt: skip
        (found,) = await self.ask(self._client.uaclient.history_read(params))
        return found

    async def write(self, node: ua.NodeId, value: ua.Variant) -> int:
        """Write a node's value, once: the server's status code (Part 4 §5.10.4). Raises `NotConnected`: then nobody knows whether it was."""
        data = ua.DataValue(value, StatusCode=None)  # many servers refuse to have status or time written
        wanted = ua.WriteValue(NodeId=node, AttributeId=AttributeIds.Value, Value=data)
        (status,) = await self.ask(self._client.uaclient.write(ua.WriteParameters(NodesToWrite=[wanted])))
        return int(status.value)

    async def is_alive(self) -> bool:
        """Whether the server answers a read now."""
        try:
            await self.read([ua.NodeId.from_string(_SERVER_STATE)])
        except NotConnected:
            return False
        return True

    async def answer(self, request: Any) -> bytes:
        """The bytes of the response to any request of the library. Raises `NotConnected`."""
        return bytes(await self.ask(self._request(request), *nodes_of(request)))

    async def call(self, request: Any, response: type[T]) -> T:
        """The same, read by the library."""
        found: T = struct_from_binary(response, await self.ask(self._request(request), *nodes_of(request)))
        return found

    async def ask(self, request: Coroutine[Any, Any, T], kind: str = "", nodes: int = 0) -> T:
        """The answer, to a request about so many ``nodes``: see `UnderWay`. Raises `NotConnected` with the server's reason."""
        try:
            async with self._under_way.call(kind, nodes):
                return await request
        except (OSError, TimeoutError, UaError) as error:
            raise NotConnected(why(error)) from error
        finally:
            request.close()  # one that was given up before its turn

    def fail(self, reason: str, *, gone: bool = False) -> None:
        """See `publish_loop.Wire`."""
        self.is_gone |= gone
        if not self.lost.done():
            self.lost.set_result(reason)

    async def close(self, *, keep: bool = False) -> None:
        """End the channel, and unless ``keep`` the session with its subscriptions (one that nobody knows always); never raises, at most one time-out long."""
        self.fail("closed")
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
        with contextlib.suppress(OSError, TimeoutError, UaError):
            async with asyncio.timeout(self._timeout):
                if not keep or self._is_stray:
                    await self._client.close_session()
        with contextlib.suppress(OSError, TimeoutError, UaError):
            async with asyncio.timeout(1.0):
                await self._client.close_secure_channel()
        self._client.disconnect_socket()

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _protocol(self) -> UASocketProtocol:
        protocol = self._client.uaclient.protocol
        if protocol is None:
            raise ConnectionError("the connection is closed")
        return protocol

    async def _request(self, request: Any) -> Buffer:
        return await self._protocol().send_request(request)

    def _state_changed(self, state: UaClientState) -> None:
        if state is UaClientState.DISCONNECTED:
            self.fail("the connection was closed")

    async def _renew(self) -> None:
        """Renew the channel's token at three quarters of its life (Part 4 §5.5.2)."""
        while True:
            await asyncio.sleep(self._client.secure_channel_timeout * 0.75 / 1000)
            try:
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
            except (OSError, TimeoutError, UaError) as error:
                self.fail(f"the secure channel could not be renewed: {why(error)}")
                return
