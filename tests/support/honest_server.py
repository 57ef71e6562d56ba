"""asyncua's server made to keep to the standard where it does not (asyncua 2.1), for tests only: `make_honest` once, then any server is.

Republish of an unknown message is an error, and a message is kept until it is acknowledged (Part 4 §5.14.6); a transferred subscription answers
the publish requests of its new session (§5.14.7); a deleted node ends its item and not the subscription; a queue that overflowed says so (§5.13.1.5); a response has at most
`Ways.most` notifications and says that more follow; a write copies nothing. `Ways` are what servers in the field do differently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService, MonitoredItemValues
from asyncua.server.subscription_service import SubscriptionService
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import uatcp_to_binary

OVERFLOW = 0x0480
_ACTIVATE = ua.NodeId(ua.ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary)


@dataclass
class Ways:
    """``reactivate``: an old session may be taken up on a new channel; ``transfer``: a subscription may move to another session.

    ``most``: notifications a response; ``requests``: publish requests a session; ``kept``: messages kept for republishing.
    """

    reactivate: bool = True
    transfer: bool = True
    most: int = 1000
    requests: int = 100
    kept: int = 100
    answers_the_old: bool = True
    """Else nothing is said to the token of an old session."""
    names_its_endpoints: bool = True
    """Else their URLs are Null in what it says of a new session."""
    opens_unsecured: bool = True
    """Else a channel without security is refused, so that nobody may ask for the endpoints."""
    tells_the_new_session: bool = False
    """That a subscription was transferred is told to the session that has it now."""


WAYS = Ways()
"""Those of all servers in this process."""
_original: dict[str, Any] = {}


def make_honest() -> None:
    """Patch the library's classes, once a process; `WAYS` are the usual ones again."""
    global WAYS
    WAYS.__init__()  # type: ignore[misc]
    if _original:
        return
    for owner, name, patch in (
        (MonitoredItemValues, "set_current_datavalue", _set_current),
        (MonitoredItemService, "_make_monitored_item_common", _make_item),
        (MonitoredItemService, "datachange_callback", _datachange),
        (InternalSubscription, "_enqueue_event", _enqueue),
        (InternalSubscription, "_pop_triggered_datachanges", _pop_datachanges),
        (InternalSubscription, "_pop_publish_result", _pop_result),
        (InternalSubscription, "publish_results", _publish_results),
        (InternalSubscription, "republish", _republish),
        (SubscriptionService, "republish", _service_republish),
        (SubscriptionService, "transfer_subscriptions", _transfer),
        (SubscriptionService, "publish", _service_publish),
        (InternalServer, "lookup_external_session", _lookup),
        (UaProcessor, "_process_message", _process),
        (UaProcessor, "open_secure_channel", _open),
        (InternalSession, "create_session", _create_session),
        (UaProcessor, "publish_request_limit", lambda _self, _subscriptions: WAYS.requests),
    ):
        _original[name] = getattr(owner, name)
        setattr(owner, name, patch)


def _set_current(self: Any, value: ua.DataValue) -> None:
    self.old_dvalue, self.current_dvalue = self.current_dvalue, value  # every write makes a new one


def _make_item(self: Any, params: ua.MonitoredItemCreateRequest) -> Any:
    result, item = _original["_make_monitored_item_common"](self, params)
    item.discard_oldest = params.RequestedParameters.DiscardOldest
    return result, item


def _datachange(self: Any, handle: int, value: ua.DataValue, error: Any = None) -> Any:
    if not error:
        return _original["datachange_callback"](self, handle, value)
    mid = self._monitored_datachange[handle]  # a deleted node; the library forgets to await what is called for it
    gone = ua.DataValue(ua.Variant(None), error, datetime.now(UTC).replace(tzinfo=None))
    told = ua.MonitoredItemNotification(self._monitored_items[mid].client_handle, gone)
    self.isub._triggered_datachanges.setdefault(mid, []).append(told)
    return None


async def _enqueue(self: Any, mid: int, event: Any, size: int, queue: dict[int, list[Any]]) -> None:
    waiting = queue.get(mid)
    if waiting is None or not size or len(waiting) < size:
        await _original["_enqueue_event"](self, mid, event, 0, queue)
        return
    item = self.monitored_item_srv._monitored_items.get(mid)
    if item is None or item.discard_oldest:
        waiting.pop(0)
        waiting.append(event)
        if size > 1:  # a queue of one value always holds the newest: nothing to say (Part 4 §5.13.1.5)
            waiting[0] = _overflowed(waiting[0])
    else:
        waiting[-1] = _overflowed(event)


def _overflowed(event: Any) -> Any:
    if not isinstance(event, ua.MonitoredItemNotification):
        return event
    status = ua.StatusCode(ua.UInt32(event.Value.StatusCode.value | OVERFLOW))
    return ua.MonitoredItemNotification(event.ClientHandle, replace(event.Value, StatusCode=status))


def _pop_datachanges(self: Any, result: ua.PublishResult) -> None:
    left, told, rest = WAYS.most, [], {}
    for mid, values in self._triggered_datachanges.items():
        told += values[:left]
        if len(values) > left:
            rest[mid] = values[left:]
        left = max(0, left - len(values))
    self._triggered_datachanges = rest
    if told:
        notification = ua.DataChangeNotification()
        notification.MonitoredItems = told
        result.NotificationMessage.NotificationData.append(notification)


def _pop_result(self: Any) -> ua.PublishResult:
    self._no_acks_limit = WAYS.kept
    result: ua.PublishResult = _original["_pop_publish_result"](self)
    result.MoreNotifications = bool(self._triggered_datachanges)
    return result


async def _publish_results(self: Any, request: Any = None) -> bool:
    done: bool = await _original["publish_results"](self, request)
    while done and self._publishing_enabled and self._triggered_datachanges and self.pub_request_callback:
        if not await _original["publish_results"](self):
            break
    return done


def _republish(self: Any, number: int) -> Any:
    found = self._not_acknowledged_results.get(number)
    if found is None:
        raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
    return found.NotificationMessage


def _service_republish(self: Any, params: ua.RepublishParameters) -> Any:
    found = self.subscriptions.get(params.SubscriptionId)
    if found is None:
        raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
    return found.republish(params.RetransmitSequenceNumber)


async def _transfer(self: Any, params: Any, session_id: ua.NodeId, callback: Any) -> list[ua.TransferResult]:
    if not WAYS.transfer:
        refused = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadUserAccessDenied))
        return [ua.TransferResult(StatusCode=refused) for _ in params.SubscriptionIds]
    results: list[ua.TransferResult] = await _original["transfer_subscriptions"](self, params, session_id, callback)
    for number, result in zip(params.SubscriptionIds, results, strict=True):
        if result.StatusCode.is_good():
            found = self.subscriptions[int(number)]
            found.pub_request_callback = callback.__self__.get_publish_request
            if not result.AvailableSequenceNumbers:
                result.AvailableSequenceNumbers = None  # type: ignore[assignment]  # a null array, as open62541 sends it
            if WAYS.tells_the_new_session:
                found._triggered_statuschanges.append(
                    ua.StatusCode(ua.UInt32(ua.StatusCodes.GoodSubscriptionTransferred))
                )
    return results


def _service_publish(self: Any, acks: Iterable[ua.SubscriptionAcknowledgement]) -> tuple[int, list[ua.StatusCode]]:
    acks = list(acks)
    known = [
        ack.SubscriptionId in self.subscriptions
        and ack.SequenceNumber in self.subscriptions[ack.SubscriptionId]._not_acknowledged_results
        for ack in acks
    ]
    count, results = _original["publish"](self, acks)
    unknown = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSequenceNumberUnknown))
    return count, [result if there else unknown for there, result in zip(known, results, strict=True)]


async def _process(self: Any, kind: ua.NodeId, *more: Any) -> bool:
    is_old = kind == _ACTIVATE and self.session is None
    return True if is_old and not WAYS.answers_the_old else await _original["_process_message"](self, kind, *more)


def _open(self: Any, algorithm: Any, *more: Any) -> None:
    if WAYS.opens_unsecured or not algorithm.SecurityPolicyURI.endswith("#None"):
        _original["open_secure_channel"](self, algorithm, *more)
        return
    refused = ua.ErrorMessage(ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSecurityPolicyRejected)), "")
    self._transport.write(uatcp_to_binary(ua.MessageType.Error, refused))
    self._transport.close()


async def _create_session(self: Any, *given: Any, **named: Any) -> ua.CreateSessionResult:
    made: ua.CreateSessionResult = await _original["create_session"](self, *given, **named)
    for endpoint in [] if WAYS.names_its_endpoints else made.ServerEndpoints:
        endpoint.EndpointUrl = None
    return made


def _lookup(self: Any, token: ua.NodeId) -> Any:
    return _original["lookup_external_session"](self, token) if WAYS.reactivate else None
