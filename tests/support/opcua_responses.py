"""PublishResponses as bytes, made by the OPC UA library's encoder: what the gateway's own decoder is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

PUBLISHED = datetime(2026, 11, 24, 6, 0, 0, 250_000, UTC)
PUBLISHED_NS = 1_795_500_000_250_000_000


def item(handle: int, value: Any, kind: ua.VariantType, status: int | None = 0, source: datetime | None = PUBLISHED,
         server: datetime | None = PUBLISHED, dimensions: list[int] | None = None) -> ua.MonitoredItemNotification:  # fmt: skip
    """One value of a monitored item."""
    variant = ua.Variant(value, kind, Dimensions=dimensions)
    data = ua.DataValue(
        variant, ua.StatusCode(status) if status is not None else None, SourceTimestamp=source, ServerTimestamp=server
    )
    return ua.MonitoredItemNotification(ClientHandle=handle, Value=data)


def response(*notifications: Any, sequence: int = 7, more: bool = False, results: Sequence[int] = (0,)) -> bytes:
    """A response of subscription 3 with these notifications."""
    made = ua.PublishResponse()
    made.ResponseHeader.StringTable = ["urn:x", "a text"]
    made.Parameters = ua.PublishResult(
        SubscriptionId=3, AvailableSequenceNumbers=[5, 6, sequence], MoreNotifications=more,
        Results=[ua.StatusCode(code) for code in results],
        NotificationMessage=ua.NotificationMessage(
            SequenceNumber=sequence, PublishTime=PUBLISHED, NotificationData=list(notifications)
        ),
    )  # fmt: skip
    encoded: bytes = struct_to_binary(made)
    return encoded


def data_change(items: Sequence[ua.MonitoredItemNotification]) -> ua.DataChangeNotification:
    """The values of one message."""
    return ua.DataChangeNotification(MonitoredItems=list(items))
