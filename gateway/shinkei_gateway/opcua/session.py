"""One connection to an OPC UA server: channel, session, one subscription. Made fresh for every attempt, never repaired.

The library's own reconnect and watchdogs are not used. Its publish loop awaits our callback before it acknowledges: the callback
returns only when the values are durable, and never returns when they cannot be, so nothing is acknowledged too early.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from shinkei_events.errors import NotConnected

ITEMS_A_CALL = 500
LIFETIME_S = 600.0
_MAX_MONITORED_ITEMS_PER_CALL = "i=11714"
_MAX_NODES_PER_READ = "i=11705"
_SERVER_STATE = "i=2259"

T = TypeVar("T")
OnMessage = Callable[[ua.PublishResult], Awaitable[None]]


class Watched(NamedTuple):
    """A monitored item: the client handle, and what the server made of the wish."""

    handle: int
    sampling: float
    queue: int


class Session:
    """``url``, ``timeout`` of a request in s. Use: `connect`, `resolve`, `subscribe`, `watch`, `publish`; `lost` tells the end; `close`."""

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self._client = Client(url, timeout=timeout)
        self._client.name = self._client.description = name
        self._client.application_uri = "urn:shinkei:gateway"
        self._client.session_timeout = int(LIFETIME_S * 1000)
        self._timeout = timeout
        self._renewal: asyncio.Task[None] | None = None
        self._subscription = 0
        self._namespaces: list[str] = []
        self._limit = ITEMS_A_CALL
        self.keepalive = 0.0
        self.publishing = 0.0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done with the reason when the connection is no more."""

    async def connect(self) -> None:
        """Raises `NotConnected` with the server's reason."""
        client = self._client
        try:
            async with asyncio.timeout(3 * self._timeout):
                await client.connect_socket()
                await client.send_hello()
                await client.open_secure_channel()
                await client.create_session()
                await client.activate_session()
                self._namespaces = await client.get_namespace_array()
                self._limit = await self._items_a_call()
        except (OSError, TimeoutError, UaError) as error:
            await self.close()
            raise NotConnected(why(error)) from error
        client.uaclient._add_state_listener(self._state_changed)
        self._renewal = asyncio.create_task(self._renew())

    async def _items_a_call(self) -> int:
        values = await self._client.uaclient.read_attributes(
            [ua.NodeId.from_string(_MAX_MONITORED_ITEMS_PER_CALL), ua.NodeId.from_string(_MAX_NODES_PER_READ)],
            AttributeIds.Value,
        )
        limits = [
            v.Value.Value
            for v in values
            if v.Value is not None and isinstance(v.Value.Value, int) and v.Value.Value > 0
        ]
        return min([ITEMS_A_CALL, *limits])

    def resolve(self, node: str) -> ua.NodeId:
        """The node id of ``nsu=…;…`` at this server now; raises KeyError when it has no such namespace."""
        uri, rest = "", node
        if node.startswith("nsu="):
            uri, _, rest = node.removeprefix("nsu=").partition(";")
        index = 0
        if uri:
            if uri not in self._namespaces:
                raise KeyError(uri)
            index = self._namespaces.index(uri)
        found: ua.NodeId = ua.NodeId.from_string(f"ns={index};{rest}")
        return found

    async def refresh_namespaces(self) -> None:
        """Read the namespaces again (a server may load them late). Raises `NotConnected`."""
        self._namespaces = await self._ask(self._client.get_namespace_array())

    async def subscribe(self, publishing: float, keepalive: float, on_message: OnMessage) -> None:
        """One subscription with publishing off until `publish`. Seconds. Raises `NotConnected`."""
        count = max(1, round(keepalive / publishing))
        params = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publishing * 1000, RequestedMaxKeepAliveCount=count,
            RequestedLifetimeCount=max(3 * count, round(LIFETIME_S / publishing)), MaxNotificationsPerPublish=0,
            PublishingEnabled=False, Priority=0,
        )  # fmt: skip
        made = await self._ask(self._client.uaclient.session.create_subscription(params, on_message))
        self._subscription = made.SubscriptionId
        self.publishing = made.RevisedPublishingInterval / 1000
        self.keepalive = self.publishing * made.RevisedMaxKeepAliveCount

    async def watch(self, wanted: Sequence[tuple[int, ua.NodeId, float, int]]) -> tuple[list[Watched], dict[int, str]]:
        """Monitor (handle, node, sampling s, queue); gives what is watched and, by handle, why the others are not."""
        watched: list[Watched] = []
        refused: dict[int, str] = {}
        for at in range(0, len(wanted), self._limit):
            part = wanted[at : at + self._limit]
            params = ua.CreateMonitoredItemsParameters(
                SubscriptionId=self._subscription,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[_item(*one) for one in part],
            )
            results = await self._ask(self._client.uaclient.create_monitored_items(params))
            for (handle, *_), result in zip(part, results, strict=True):
                if result.StatusCode.is_good():
                    watched.append(Watched(handle, result.RevisedSamplingInterval / 1000, result.RevisedQueueSize))
                else:
                    refused[handle] = result.StatusCode.name
        return watched, refused

    async def publish(self) -> None:
        """Let the server send."""
        params = ua.SetPublishingModeParameters(PublishingEnabled=True, SubscriptionIds=[self._subscription])
        await self._ask(self._client.uaclient.set_publishing_mode(params))

    async def republish(self, sequence: int) -> ua.NotificationMessage | None:
        """The message ``sequence`` once more, or None when the server has it no more."""
        try:
            found: ua.NotificationMessage = await self._ask(
                self._client.uaclient.session.republish(self._subscription, sequence)
            )
        except NotConnected:
            return None
        return found if found.NotificationData and found.SequenceNumber == sequence else None

    async def read(self, nodes: list[ua.NodeId]) -> list[ua.DataValue]:
        """The nodes' values with both times. Raises `NotConnected`."""
        params = ua.ReadParameters(MaxAge=0, TimestampsToReturn=ua.TimestampsToReturn.Both)
        params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in nodes]
        found: list[ua.DataValue] = await self._ask(self._client.uaclient.read(params))
        return found

    async def read_each(self, wanted: Sequence[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        """An attribute of each node, with the source's time where it has one. Raises `NotConnected`."""
        params = ua.ReadParameters(MaxAge=0, TimestampsToReturn=ua.TimestampsToReturn.Both)
        params.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in wanted]
        found: list[ua.DataValue] = await self._ask(self._client.uaclient.read(params))
        return found

    @property
    def namespaces(self) -> list[str]:
        """The server's namespace array as last read."""
        return list(self._namespaces)

    async def browse(self, wanted: list[ua.BrowseDescription], most: int) -> list[ua.BrowseResult]:
        """References of nodes, ``most`` each in one answer (Part 4 §5.8.2). Raises `NotConnected` (its cause has the code)."""
        params = ua.BrowseParameters(RequestedMaxReferencesPerNode=most, NodesToBrowse=wanted)
        found: list[ua.BrowseResult] = await self._ask(self._client.uaclient.browse(params))
        return found

    async def browse_next(self, points: list[bytes], *, release: bool = False) -> list[ua.BrowseResult]:
        """Go on from continuation points, or give them back (Part 4 §5.8.3). Raises `NotConnected`."""
        params = ua.BrowseNextParameters(ReleaseContinuationPoints=release, ContinuationPoints=points)
        found: list[ua.BrowseResult] = await self._ask(self._client.uaclient.browse_next(params))
        return found

    async def is_alive(self) -> bool:
        """Whether the server answers a read now."""
        try:
            await self.read([ua.NodeId.from_string(_SERVER_STATE)])
        except NotConnected:
            return False
        return True

    def fail(self, reason: str) -> None:
        """The connection is of no use any more."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def close(self) -> None:
        """End session and channel as far as the server lets us; never raises, at most one time-out long."""
        self.fail("closed")
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
        with contextlib.suppress(OSError, TimeoutError, UaError):
            async with asyncio.timeout(self._timeout):
                await self._client.close_session()
        with contextlib.suppress(OSError, TimeoutError, UaError):
            async with asyncio.timeout(1.0):
                await self._client.close_secure_channel()
        self._client.disconnect_socket()

    async def _ask(self, request: Awaitable[T]) -> T:
        try:
            return await request
        except (OSError, TimeoutError, UaError) as error:
            raise NotConnected(why(error)) from error

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


def why(error: BaseException) -> str:
    """An error of the library in words."""
    if isinstance(error, UaStatusCodeError):
        return ua.StatusCode(error.code).name
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _item(handle: int, node: ua.NodeId, sampling: float, queue: int) -> ua.MonitoredItemCreateRequest:
    """StatusValueTimestamp: equal values with new times are values too."""
    filter_ = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp, DeadbandType=0, DeadbandValue=0.0)
    params = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=sampling * 1000, Filter=filter_, QueueSize=queue, DiscardOldest=True
    )
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting, RequestedParameters=params,
    )  # fmt: skip
