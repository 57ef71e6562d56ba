"""PublishResponse of OPC UA (Part 4 §5.14.5, Part 6 §5.2) as plain tuples: the hot path of the gateway. Pure.

Numbers that are encoded alike go through `runs`, everything else value by value through `binary`. One value that cannot be read costs itself alone. Called by the
publish loop with the bytes of a response; does not talk to anybody.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from shinkei_events.errors import BadInput
from shinkei_events.model.frame import Value
from shinkei_gateway.big_value import LIMIT_BYTES
from shinkei_gateway.opcua import binary
from shinkei_gateway.opcua.binary import Scope, guarded, nanoseconds
from shinkei_gateway.opcua.item_columns import WORTH_IT, Item, ItemColumns
from shinkei_gateway.opcua.runs import RUNS, TAILS, VALUE
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.quality import BAD_DECODING

SERVICE_FAULT, READ_RESPONSE, PUBLISH_RESPONSE, REPUBLISH_RESPONSE = "i=397", "i=634", "i=829", "i=835"
DATA_CHANGE, STATUS_CHANGE, EVENTS = "i=811", "i=820", "i=916"
"""Ids of the binary encodings (Part 6 §A, NodeIds.csv)."""
MAX_NOTIFICATIONS = 1_000
"""Of one message, each with any number of values: a claim beyond it is not believed."""


class UnreadableResponse(BadInput):
    """Not even the response around the values can be read. ``raw``: its bytes."""

    def __init__(self, text: str, raw: bytes) -> None:
        self.raw = raw
        super().__init__(text)


class Undecoded(NamedTuple):
    """Bytes that could not be read. ``place``: index in `Published.values` (-1: none, part of an event or a whole notification).

    ``type_id``: of the value or notification; ``missing``: how many values more were said to be in ``raw`` whose places are not known.
    """

    place: int
    handle: int
    raw: bytes
    type_id: str
    error: str
    missing: int = 0


class Published(NamedTuple):
    """One response. ``values``: see `Item`, in the order sent, a value that could not be read is None with BadDecodingError.

    ``sequence``, ``publish_time`` (ns UTC) of the message; ``available``: what the server could send again; ``results``: status codes of the
    acknowledgements; ``status_change``: the status the subscription ended with; ``events``: (handle, fields);
    ``hollow``: there are notifications, and none of them says anything. A fault of the
    service has ``service_result`` alone.
    """

    subscription: int
    sequence: int
    publish_time: int | None
    available: list[int]
    more: bool
    results: list[int]
    service_result: int
    values: Sequence[Item]
    bad: list[Undecoded]
    status_change: int | None
    events: list[tuple[int, list[Value]]]
    hollow: bool = False


class Message(NamedTuple):
    """One NotificationMessage; fields as in `Published`. ``more``: also where it is not known, as of a message sent again."""

    sequence: int
    publish_time: int | None
    values: Sequence[Item]
    bad: list[Undecoded]
    status_change: int | None
    events: list[tuple[int, list[Value]]]
    more: bool = True


_NO_MESSAGE = Message(0, None, [], [], None, [])


def decode_publish_response(body: bytes, structures: Structures) -> Published:
    """``body``: the response from its type id on. Raises `UnreadableResponse` when not even the response around the values can be read.

    Cost a value with status and both times, µs CPU (1000 a response, AMD EPYC, Python 3.11; the library's decoder 10 in the same
    run): runs of numbers 0.46, texts 1.8, a different type after every value 1.7.
    """
    scope = Scope(structures.namespaces, structures)
    with _whole("publish response", body):
        type_id, result, at = response_header(scope, body)
        if type_id == SERVICE_FAULT or (result and at == len(body)):
            return Published(0, 0, None, [], False, [], result, [], [], None, [])
        if type_id != PUBLISH_RESPONSE:
            raise BadInput(f"a response of type {type_id} where a PublishResponse ({PUBLISH_RESPONSE}) is due")
        subscription = _U32.unpack_from(body, at)[0]
        available, at = binary.array(scope, 7, body, at + 4)
        more, at = body[at] != 0, at + 1
        notified = _MESSAGE.unpack_from(body, at)[2] > 0
        message, at = _message(scope, body, at)
        results, at = binary.array(scope, 19, body, at)
        _skip_diagnostics(scope, body, at)
    m = message
    hollow = notified and not (m.values or m.bad or m.events or m.status_change is not None)
    return Published(
        subscription, message.sequence, message.publish_time, available or [], more, results or [], result,
        m.values, m.bad, m.status_change, m.events, hollow,
    )  # fmt: skip


def decode_republish_response(body: bytes, structures: Structures) -> tuple[int, Message]:
    """Service result and message of a RepublishResponse. Raises as `decode_publish_response` does."""
    scope = Scope(structures.namespaces, structures)
    with _whole("republish response", body):
        type_id, result, at = response_header(scope, body)
        if type_id == SERVICE_FAULT or (result and at == len(body)):
            return result, _NO_MESSAGE
        if type_id != REPUBLISH_RESPONSE:
            raise BadInput(f"a response of type {type_id} where a RepublishResponse ({REPUBLISH_RESPONSE}) is due")
        return result, _message(scope, body, at)[0]


def decode_read_response(body: bytes, structures: Structures) -> tuple[int, list[Item], list[Undecoded]]:
    """Service result, values and what could not be read of a ReadResponse (Part 4 §5.11.2). The place of a value is its handle.

    The same values with the same times as a notification has, to the tick. Raises `BadInput` as `decode_publish_response` does.
    """
    scope = Scope(structures.namespaces, structures)
    values: list[Item] = []
    bad: list[Undecoded] = []
    with guarded("read response"):
        type_id, result, at = response_header(scope, body)
        if type_id == SERVICE_FAULT or (result and at == len(body)):
            return result, values, bad
        if type_id != READ_RESPONSE:
            raise BadInput(f"a response of type {type_id} where a ReadResponse ({READ_RESPONSE}) is due")
        n, at = binary.count(body, at)
        for place in range(n):
            at = _data_value(scope, place, body, at, values, bad)
        _skip_diagnostics(scope, body, at)
    return result, values, bad


@contextmanager
def _whole(what: str, body: bytes) -> Iterator[None]:
    """Of a response that is lost with its messages at least the bytes are kept."""
    try:
        with guarded(what):
            yield
    except BadInput as error:
        raise UnreadableResponse(str(error), body) from error


def response_header(scope: Scope, body: bytes) -> tuple[str, int, int]:
    """Type id and service result; a ResponseHeader (Part 4 §7.33) is not worth more."""
    type_id, at = binary.expanded_node_id(scope, body, 0)
    result = _U32.unpack_from(body, at + 12)[0]
    _, at = binary.diagnostic_info(scope, body, at + 16)
    _, at = binary.array(scope._replace(lenient=True), 12, body, at)
    _, at = binary.extension_object(scope._replace(lenient=True), body, at)
    return type_id, result, at


def _skip_diagnostics(scope: Scope, data: bytes, at: int) -> int:
    n, at = binary.count(data, at)
    for _ in range(n):
        _, at = binary.diagnostic_info(scope, data, at)
    return at


def _message(scope: Scope, data: bytes, at: int) -> tuple[Message, int]:
    sequence, ticks, n = _MESSAGE.unpack_from(data, at)
    at += _MESSAGE.size
    if n > MAX_NOTIFICATIONS:
        raise BadInput(f"{n} notifications in one message; there are three kinds of them")
    values: list[Item] = []
    bad: list[Undecoded] = []
    events: list[tuple[int, list[Value]]] = []
    status_change, columns = None, None
    for _ in range(n):
        type_id, at = binary.expanded_node_id(scope, data, at)
        encoding, at = data[at], at + 1
        body, at = binary.raw(data, at) if encoding else (b"", at)
        body = body or b""
        if encoding == 1 and type_id == DATA_CHANGE and n == 1 and (columns := _all_alike(body)) is not None:
            continue
        if encoding == 1 and type_id == DATA_CHANGE:
            _data_change(scope, body, values, bad)
        elif encoding == 1 and type_id == STATUS_CHANGE and len(body) >= 4:
            status_change = _U32.unpack_from(body)[0]
        elif encoding == 1 and type_id == EVENTS:
            _event_list(scope, body, events, bad)
        else:
            bad.append(
                Undecoded(-1, 0, body, type_id, f"a notification of type {type_id}, encoding {encoding}, is not known")
            )
    return Message(sequence, nanoseconds(ticks), columns or values, bad, status_change, events), at


# ---- values ----------------------------------------------------------------------------------------------------------------
def _all_alike(data: bytes) -> ItemColumns | None:
    """The values of a DataChangeNotification of nothing but many numbers of one type and mask; None for any other."""
    run = RUNS.get(data[8:10])
    if run is None:
        return None
    found = binary.count(data, 0)[0]
    stop = 4 + found * run.size
    if found < WORTH_IT or stop + 4 > len(data) or _I32.unpack_from(data, stop)[0] > 0:
        return None
    return run.columns(data[4:stop]) if run.length(data, 4, found) == found else None


def _data_change(scope: Scope, data: bytes, values: list[Item], bad: list[Undecoded]) -> None:
    """A DataChangeNotification (Part 4 §7.25.2). Never raises: what cannot be read is in ``bad``."""
    left, at, window, end, before = 0, 0, 1, len(data), b""
    try:
        left, at = binary.count(data, 0)
        while left > 0:
            kind = data[at + 4 : at + 6]
            window, before = window if kind == before else 1, kind
            run = RUNS.get(kind)
            if run is None:
                at = _one(scope, data, at, values, bad)
                left -= 1
                continue
            found = min(left, window, (end - at) // run.size)
            if not found:
                raise BadInput(f"{run.size} bytes are due and {end - at} are left")
            if found > 1:
                found = run.length(data, at, found)
            stop = at + found * run.size
            values += run.items(data[at:stop])
            at, left = stop, left - found
            window = window * 8  # values are sent by node: the more were alike, the more will be
        _skip_diagnostics(scope, data, at)
    except (BadInput, struct.error, IndexError) as error:
        handle = _U32.unpack_from(data, at)[0] if end - at >= 4 else 0
        place = -1
        if left > 0 and end - at >= 4:
            place = len(values)
            values.append((handle, None, BAD_DECODING, None, None))
            left -= 1
        reason = f"the rest of the notification cannot be read from byte {at} of {end}: {error}"
        bad.append(Undecoded(place, handle, data[at:], DATA_CHANGE, reason, min(max(left, 0), end - at)))


def _one(scope: Scope, data: bytes, at: int, values: list[Item], bad: list[Undecoded]) -> int:
    """One MonitoredItemNotification of any form. Raises when its end is not known."""
    return _data_value(scope, _U32.unpack_from(data, at)[0], data, at + 4, values, bad)


def _data_value(scope: Scope, handle: int, data: bytes, at: int, values: list[Item], bad: list[Undecoded]) -> int:
    """A DataValue (Part 6 §5.2.2.17) as the next of ``values``. Raises when its end is not known."""
    mask = data[at]
    start = at = at + 1
    value: Value = None
    failed = ""
    if mask & VALUE:
        try:
            value, at = binary.variant(scope, data, at)
        except (BadInput, struct.error, IndexError) as error:
            failed = str(error) or type(error).__name__
            _, at = binary.variant(scope._replace(lenient=True), data, start)
        if at - start > LIMIT_BYTES and not failed:
            value = scope.bodies.big(value, data[start:at])
    end = at
    tail, read = TAILS[mask & 0x3E]
    status, source, server = read(tail.unpack_from(data, at))
    if failed:
        bad.append(Undecoded(len(values), handle, data[start:end], _type_of(data, start), failed))
        status = BAD_DECODING
    values.append((handle, value, status, source, server))
    return at + tail.size


def _type_of(data: bytes, at: int) -> str:
    """The id of a variant's type; of a structure the type of its encoding."""
    kind = data[at] & 0x3F
    if kind == 22 and not data[at] & 0x80:
        return binary.expanded_node_id(_BARE, data, at + 1)[0]
    return f"i={kind}"


# ---- events ----------------------------------------------------------------------------------------------------------------
def _event_list(scope: Scope, data: bytes, events: list[tuple[int, list[Value]]], bad: list[Undecoded]) -> None:
    """An EventNotificationList (Part 4 §7.25.3). Never raises."""
    left, at = 0, 0
    try:
        left, at = binary.count(data, 0)
        while left > 0:
            handle = _U32.unpack_from(data, at)[0]
            n, stop = binary.count(data, at + 4)
            fields: list[Value] = []
            for _ in range(n):
                stop = _field(scope, data, stop, handle, fields, bad)
            events.append((handle, fields))
            at, left = stop, left - 1
    except (BadInput, struct.error, IndexError) as error:
        reason = f"the rest of the events cannot be read from byte {at} of {len(data)}: {error}"
        bad.append(Undecoded(-1, 0, data[at:], EVENTS, reason, min(max(left, 0), len(data) - at)))


def _field(scope: Scope, data: bytes, at: int, handle: int, fields: list[Value], bad: list[Undecoded]) -> int:
    try:
        value, stop = binary.variant(scope, data, at)
    except (BadInput, struct.error, IndexError) as error:
        _, stop = binary.variant(scope._replace(lenient=True), data, at)
        bad.append(Undecoded(-1, handle, data[at:stop], _type_of(data, at), str(error) or type(error).__name__))
        value = None
    fields.append(value)
    return stop


_BARE = Scope([], Structures([]), lenient=True)
_U32, _I32 = struct.Struct("<I"), struct.Struct("<i")
_MESSAGE = struct.Struct("<Iqi")
