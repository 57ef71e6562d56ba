"""What an OPC UA server sent about one node, in the language's terms. The only module that looks into the library's values.

A value that cannot be carried raises `BadInput` for itself alone. Source times have the library's resolution of 1 µs.
"""

from __future__ import annotations

import base64
import dataclasses
import uuid
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from asyncua import ua

from shinkei_events.envelope import rfc3339
from shinkei_events.errors import BadField
from shinkei_events.model.frame import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sample(NamedTuple):
    """One value of one node. ``error``: why the value could not be carried (``value`` is its text then)."""

    value: Value
    status: int
    source_time: int | None
    server_time: int | None
    error: str | None = None


def nanoseconds(moment: datetime | None) -> int | None:
    """ns UTC; None stays None (naive datetimes of the library are UTC)."""
    if moment is None:
        return None
    delta = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def sample_of(data: ua.DataValue) -> Sample:
    """The sample in a DataValue; never raises for what a server may send."""
    status = data.StatusCode.value if data.StatusCode is not None else 0
    source, server = nanoseconds(data.SourceTimestamp), nanoseconds(data.ServerTimestamp)
    variant = data.Value
    if variant is None or variant.Value is None:
        return Sample(None, status, source, server)
    try:
        value = plain(variant.Value)
        if variant.Dimensions and len(variant.Dimensions) > 1 and isinstance(value, list):
            value = _shaped(value, list(variant.Dimensions))
    except BadField as error:
        return Sample(repr(variant.Value)[:65_536], status, source, server, str(error))
    return Sample(value, status, source, server)


def plain(value: Any) -> Value:
    """A library value as the language has it: numbers, text, lists, objects. Raises `BadField` for what it has no word for."""
    if value is None or type(value) in (bool, int, float, str):
        return value  # type: ignore[no-any-return]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, bool | int | float | str):
        return type(value).__mro__[-2](value) if type(value).__mro__[-2] in (int, float, str) else str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return rfc3339(nanoseconds(value) or 0)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, ua.NodeId):
        return value.to_string()
    if isinstance(value, ua.QualifiedName):
        return value.to_string()
    if isinstance(value, ua.StatusCode):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not isinstance(value, ua.ExtensionObject):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise BadField("$.value", type(value).__name__, "a scalar, text, array or known structure")


def _shaped(flat: list[Any], dimensions: list[int]) -> list[Any]:
    """``flat`` in row-major order as nested lists."""
    size = 1
    for length in dimensions:
        size *= length
    if size != len(flat) or 0 in dimensions:
        return flat
    for length in reversed(dimensions[1:]):
        flat = [flat[at : at + length] for at in range(0, len(flat), length)]
    return flat
