"""CloudEvents 1.0 in Kafka's binary mode: attributes are ``ce_*`` headers, the payload stays as it is.

`seal` makes key, headers and payload of an event; `open_record` reads them back. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from shinkei_events.codec import decode, encode
from shinkei_events.errors import BadField
from shinkei_events.identity import event_id
from shinkei_events.model.frame import Frame, FrameHead
from shinkei_events.model.numbered import Numbered
from shinkei_events.registry import FRAME, type_of

Headers = list[tuple[str, bytes]]


class Sealed(NamedTuple):
    """What a producer needs."""

    topic: str
    key: bytes
    headers: Headers
    value: bytes


class Opened(NamedTuple):
    """What a record holds."""

    id: str
    source: str
    type: str
    event: Any


def rfc3339(time_ns: int) -> str:
    """``2026-11-23T20:41:00.123456789Z`` of ns UTC.

    >>> rfc3339(1_700_000_000_000_000_001)
    '2023-11-14T22:13:20.000000001Z'
    """
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{nanos:09d}Z"


def headers_of(ce_type: str, id: str, source: str, subject: str, time_ns: int, content_type: str) -> Headers:
    """The headers of one record."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", ce_type.encode()),
        ("ce_id", id.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", rfc3339(time_ns).encode()),
        ("ce_dataschema", f"urn:shinkei:schema:{ce_type}".encode()),
        ("content-type", content_type.encode()),
    ]


def seal(
    event: msgspec.Struct, source: str, *, key: str | None = None, topic: str | None = None, id: str | None = None
) -> Sealed:
    """Key, headers and payload of ``event``; ``key`` and ``id`` are worked out from it when not given.

    ``source``: who says it, e.g. ``gateway/gw-01/0`` or ``detect/1``. Raises `UnknownType`.
    """
    entry = type_of(event)
    if isinstance(event, Frame):
        key, time, id = key or event.machine, event.t0, id or event_id(event.stream, event.first)
    elif isinstance(event, Numbered):
        key, time, id = key or event.machine, event.time, id or event_id(event.stream, event.number)
    else:
        time = next(
            (
                t
                for t in (getattr(event, n, None) for n in ("time", "minute", "valid_from", "deadline"))
                if t is not None
            ),
            0,
        )
        key = key or _first(event, ("key", "machine", "subject", "shipment", "order", "group", "gateway", "name"))
        id = id or _id_of(event)
    headers = headers_of(
        entry.ce_type, id, source, key, time, entry.topic.content_type if entry.struct is Frame else "application/json"
    )
    return Sealed(topic or entry.topic.name, key.encode(), headers, encode(event))


def seal_encoded(frame: FrameHead, payload: bytes, source: str, *, topic: str) -> Sealed:
    """`seal` of a frame that is bytes already: they stay as they are."""
    key, id = frame.stream.machine, event_id(frame.stream, frame.first)
    headers = headers_of(FRAME.ce_type, id, source, key, frame.t0, FRAME.topic.content_type)
    return Sealed(topic, key.encode(), headers, payload)


def _first(event: msgspec.Struct, names: Iterable[str]) -> str:
    for name in names:
        value = getattr(event, name, None)
        if isinstance(value, str) and value:
            return value
    raise BadField("$", type(event).__name__, "an event without a key needs one given")


def _id_of(event: msgspec.Struct) -> str:
    own = getattr(event, "id", None)
    revision = getattr(event, "revision", None)
    if isinstance(own, str) and own:
        return f"{own}/{revision}" if isinstance(revision, int) else own
    name = _first(event, ("order", "shipment", "name", "machine", "recorder"))
    return f"{name}/{getattr(event, 'version', getattr(event, 'time', getattr(event, 'minute', 0)))}"


def header(headers: Headers | None, name: str) -> str:
    """A header as text; raises `BadField` when it is missing or not UTF-8."""
    for key, value in headers or ():
        if key == name:
            try:
                return value.decode()
            except (UnicodeDecodeError, AttributeError) as error:
                raise BadField(f"header {name}", value, "UTF-8 text") from error
    raise BadField(f"header {name}", None, "CloudEvents headers in binary mode")


def open_record(headers: Headers | None, value: bytes | None) -> Opened:
    """The event of a record; raises a `BadInput` when it is not one of ours."""
    if value is None:
        raise BadField("$", None, "a payload (this is a tombstone)")
    ce_type = header(headers, "ce_type")
    return Opened(header(headers, "ce_id"), header(headers, "ce_source"), ce_type, decode(ce_type, value))
