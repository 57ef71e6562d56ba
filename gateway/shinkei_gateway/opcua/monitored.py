"""The monitored items of one subscription: asked for within the server's limits, what it made of each wish, what it refuses and why.

Calls go one after the other: an S7-1500 counts its limit of items over all calls that are outstanding. Called by `source`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaStatusCodeError

from shinkei_events.errors import NotConnected
from shinkei_gateway.opcua.parts import NOT_DONE, in_parts
from shinkei_gateway.opcua.plan import EVENTS_HANDLE, Item
from shinkei_gateway.opcua.remembered import Remembered, Revised
from shinkei_gateway.opcua.session import Session

NO_NAMESPACE = "the server has no such namespace"
_NO_RANGE = {0x808E_0000: "BadDeadbandFilterInvalid", 0x8044_0000: "BadMonitoredItemFilterUnsupported",
             0x8043_0000: "BadMonitoredItemFilterInvalid", 0x8045_0000: "BadFilterNotAllowed"}  # fmt: skip
_TRIGGERS = {
    "status": ua.DataChangeTrigger.Status,
    "status_value": ua.DataChangeTrigger.StatusValue,
    "status_value_timestamp": ua.DataChangeTrigger.StatusValueTimestamp,
}
_DEADBANDS = {"none": ua.DeadbandType.None_, "absolute": ua.DeadbandType.Absolute, "percent": ua.DeadbandType.Percent}


class Monitored:
    """``items``: their places are the client handles. ``revised`` and ``refused`` are by client handle."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self.revised: dict[int, Revised] = {}
        self.refused: dict[int, str] = {}

    def begin(self) -> None:
        """A new subscription: nothing is monitored."""
        self.revised, self.refused = {}, {}

    def take_up(self, remembered: Remembered) -> None:
        """An old subscription: what was monitored still is."""
        self.revised, self.refused = dict(remembered.items), dict(remembered.refused)

    async def watch(self, session: Session, subscription: int, handles: Iterable[int]) -> list[int]:
        """Monitor the nodes of ``handles``; gives those that are watched now. Raises `NotConnected`.

        A server need not know data change filters (Part 7, Embedded DataChange Subscription): what it refuses for one that only has a trigger
        is asked for without, and told when value or status change (Part 4 §7.22.2).
        """
        wanted: list[tuple[int, ua.NodeId]] = []
        for handle in handles:
            try:
                wanted.append((handle, session.resolve(self._items[handle].node)))
            except KeyError:
                self.refused[handle] = NO_NAMESPACE

        plain: list[tuple[int, ua.NodeId]] = []

        async def create(part: Sequence[tuple[int, ua.NodeId]]) -> list[int]:
            return await self._create(session, subscription, part, plain)

        async def create_plain(part: Sequence[tuple[int, ua.NodeId]]) -> list[int]:
            return await self._create(session, subscription, part, None)

        # Only what was refused before anything was done is asked for again: an item made twice would tell everything twice.
        watched = await in_parts(wanted, session.limits, "items", create, codes=NOT_DONE)
        return watched + await in_parts(plain, session.limits, "items", create_plain, codes=NOT_DONE)

    async def _create(
        self, session: Session, subscription: int, part: Sequence[tuple[int, ua.NodeId]],
        plain: list[tuple[int, ua.NodeId]] | None,
    ) -> list[int]:  # fmt: skip
        """``plain`` gets those to ask for without a filter; None: they are asked for so."""
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=subscription, TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=[_wish(handle, node, self._items[handle], has_filter=plain is not None) for handle, node in part],
        )  # fmt: skip
        results = (await session.call(request, ua.CreateMonitoredItemsResponse)).Results
        watched = []
        for (handle, node), result in zip(part, results, strict=True):
            item = self._items[handle]
            if result.StatusCode.is_good():
                sampling = result.RevisedSamplingInterval / 1000
                has_trigger = plain is not None or item.trigger == "status_value"
                self.revised[handle] = Revised(result.MonitoredItemId, sampling, result.RevisedQueueSize, has_trigger)
                self.refused.pop(handle, None)
                watched.append(handle)
            else:
                self.refused[handle] = _reason(result.StatusCode, item)
                if plain is not None and item.deadband == "none" and result.StatusCode.value & 0xFFFF_0000 in _NO_RANGE:
                    plain.append((handle, node))
        return watched

    async def release(self, session: Session, subscription: int, handles: list[int], reason: str) -> None:
        """These nodes are not there any more: their items are deleted, and the nodes are tried again like refused ones."""
        ids = [self.revised.pop(handle).item for handle in handles if handle in self.revised]
        self.refused |= dict.fromkeys(handles, reason)

        async def delete(part: Sequence[int]) -> list[None]:
            request = ua.DeleteMonitoredItemsRequest()
            request.Parameters = ua.DeleteMonitoredItemsParameters(
                SubscriptionId=subscription, MonitoredItemIds=list(part)
            )
            await session.call(request, ua.DeleteMonitoredItemsResponse)
            return []

        await in_parts(ids, session.limits, "items", delete)

    async def watch_model(self, session: Session, subscription: int) -> bool:
        """Be told when nodes come and go (GeneralModelChangeEvent, Part 3 §9.32); False when the server does not offer it."""
        filter_ = ua.EventFilter(
            SelectClauses=[_event_field("EventType")], WhereClause=_of_type(ObjectIds.GeneralModelChangeEventType)
        )
        params = ua.MonitoringParameters(
            ClientHandle=EVENTS_HANDLE, SamplingInterval=0.0, Filter=filter_, QueueSize=10, DiscardOldest=True
        )
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=subscription, TimestampsToReturn=ua.TimestampsToReturn.Neither,
            ItemsToCreate=[ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(NodeId=ua.NodeId(ua.Int32(ObjectIds.Server)), AttributeId=AttributeIds.EventNotifier),
                MonitoringMode=ua.MonitoringMode.Reporting, RequestedParameters=params)],
        )  # fmt: skip
        try:
            results = (await session.call(request, ua.CreateMonitoredItemsResponse)).Results
        except NotConnected as error:
            if isinstance(error.__cause__, UaStatusCodeError):  # the whole call refused: values come without events too
                return False
            raise
        return any(result.StatusCode.is_good() for result in results or [])

    # ---- what is promised ------------------------------------------------------------------------------------------------
    def covers(self) -> float:
        """How long a cut the server's queues bridge for every node, s; inf when nothing is watched."""
        return min((covered(found) for found in list(self.revised.values())), default=math.inf)

    def short_of(self, outage: float) -> dict[str, float]:
        """Nodes whose queue bridges less than ``outage`` s, with what it bridges."""
        return {
            self._items[handle].node: covered(found)
            for handle, found in self.revised.items()
            if covered(found) < outage
        }

    def without_trigger(self) -> int:
        """Nodes of which the server takes no trigger: equal values with new times are not told."""
        return sum(not one.has_trigger for one in list(self.revised.values()))

    def some_refused(self) -> str:
        """A few of the nodes that are refused, and why."""
        some = sorted(self.refused.items())[:5]
        return ", ".join(f"{self._items[handle].node} ({reason})" for handle, reason in some)

    def health(self, outage: float) -> dict[str, Any]:
        """For /health, also from another thread. ``outage``: s that were promised."""
        revised = list(self.revised.values())
        return {
            "sampling_s": max((one.sampling for one in revised), default=0.0), "queue": min((one.queue for one in revised), default=0),
            "covers_s": self.covers() if revised else 0.0, "promised_s": float(outage),
            "without_trigger": self.without_trigger(), "short": dict(list(self.short_of(outage).items())[:20]),
            "refused": {self._items[handle].node: reason for handle, reason in list(self.refused.items())},
        }  # fmt: skip


def covered(found: Revised) -> float:
    """Seconds that a full queue holds. Sampling 0 is as fast as the server can; 1 ms is taken for it."""
    return found.queue * max(found.sampling, 0.001)


def _wish(handle: int, node: ua.NodeId, item: Item, *, has_filter: bool) -> ua.MonitoredItemCreateRequest:
    filter_ = ua.DataChangeFilter(
        Trigger=_TRIGGERS[item.trigger], DeadbandType=ua.UInt32(_DEADBANDS[item.deadband]), DeadbandValue=item.band
    )
    params = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=item.sampling * 1000, Filter=filter_ if has_filter else None, QueueSize=item.queue,
        DiscardOldest=item.discard == "oldest",
    )  # fmt: skip
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting, RequestedParameters=params,
    )  # fmt: skip


def _reason(status: ua.StatusCode, item: Item) -> str:
    name = str(status.name)
    if item.deadband == "percent" and status.value & 0xFFFF_0000 in _NO_RANGE:
        return f"{name}: a deadband of {item.band:g}% is a part of the node's EURange; give the node one or an absolute deadband"
    if item.deadband != "none" and status.value & 0xFFFF_0000 in _NO_RANGE:
        return f"{name}: the node's type or the server knows no deadband ({item.band:g}); leave it out"
    return name


def _event_field(name: str) -> Any:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(ua.Int32(ObjectIds.BaseEventType)), BrowsePath=[ua.QualifiedName(name, 0)],
        AttributeId=AttributeIds.Value,
    )  # fmt: skip


def _of_type(type_id: int) -> Any:
    operand = ua.LiteralOperand(Value=ua.Variant(ua.NodeId(ua.Int32(type_id)), ua.VariantType.NodeId))
    element = ua.ContentFilterElement(FilterOperator=ua.FilterOperator.OfType, FilterOperands=[operand])
    return ua.ContentFilter(Elements=[element])
