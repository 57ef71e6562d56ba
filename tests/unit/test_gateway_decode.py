"""The decoder of OPC UA responses on bytes written by hand, as the standard says (Part 6 §5.2) and as no encoder at hand makes them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from shinkei_events.errors import BadInput
from shinkei_gateway.opcua.decode import (
    Published,
    decode_publish_response,
    decode_read_response,
    decode_republish_response,
)
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.quality import BAD_DECODING
from tests.support.opcua_responses import PUBLISHED_NS, data_change, item, response

STRUCTURES = Structures(["http://opcfoundation.org/UA/", "urn:press"])
TICKS = 116_444_736_000_000_000 + PUBLISHED_NS // 100
V = ua.VariantType
HEADER = struct.pack("<BBHqIIBiBBB", 1, 0, 829, TICKS, 1, 0, 0, -1, 0, 0, 0)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<i", len(data)) + data


def message(notification: bytes, count: int = 1) -> bytes:
    """A whole response around encoded notifications."""
    head = struct.pack("<Ii?Iqi", 3, -1, False, 7, TICKS, count)
    return HEADER + head + notification + struct.pack("<ii", -1, -1)


def extension(type_id: int, body: bytes, encoding: int = 1) -> bytes:
    return struct.pack("<BBHB", 1, 0, type_id, encoding) + text(body)


def values(*encoded: bytes, count: int | None = None, diagnostics: bytes = b"\xff\xff\xff\xff") -> Published:
    """Decoded (handle, mask, …) as given."""
    body = struct.pack("<i", len(encoded) if count is None else count) + b"".join(encoded) + diagnostics
    return decode_publish_response(message(extension(811, body)), STRUCTURES)


def variant(encoded: bytes, handle: int = 1) -> bytes:
    return struct.pack("<IB", handle, 1) + encoded


def test_all_parts_of_a_data_value_in_the_order_of_the_standard() -> None:
    whole = struct.pack("<IBBdIqHqH", 4, 0x3F, 11, 1.5, 0x40920000, TICKS + 3, 1234, TICKS, 9_999)
    found = values(whole, struct.pack("<IBI", 5, 2, 0x800A0000), struct.pack("<IB", 6, 0))
    assert found.bad == []
    assert found.values == [
        (4, 1.5, 0x40920000, PUBLISHED_NS + 300 + 12, PUBLISHED_NS + 99),
        (5, None, 0x800A0000, None, None),
        (6, None, 0, None, None),
    ]


@pytest.mark.parametrize("ticks", [0, -1, -(2**63), 2**63 - 1, 1, 116_444_736_000_000_000 + 2**63 // 100 + 1])
def test_a_time_that_is_none_or_beyond_64_bits_of_nanoseconds(ticks: int) -> None:
    found = values(struct.pack("<IBBdqq", 1, 13, 11, 1.0, ticks, TICKS), struct.pack("<IBBiq", 1, 5, 6, 1, ticks))
    assert [v[3:] for v in found.values] == [(None, PUBLISHED_NS), (None, None)]


def test_every_tick_is_kept() -> None:
    found = values(struct.pack("<IBBdqq", 1, 13, 11, 1.0, TICKS + 1, TICKS + 2))
    assert found.values[0][3:] == (PUBLISHED_NS + 100, PUBLISHED_NS + 200)


@pytest.mark.parametrize(
    ("encoded", "wanted"),
    [
        (b"\x10" + text("<a/>"), "<a/>"),
        (b"\x00", None),
        (b"\x8b\xff\xff\xff\xff", None),
        (b"\x8b\x00\x00\x00\x00", []),
        (b"\x0c\xff\xff\xff\xff", None),
        (b"\x1f" + text(b"\x01"), "AQ=="),
        (b"\x11\x03\x01\x00" + text("Press"), "nsu=urn:press;s=Press"),
        (b"\x12\xc3\x00\x00" + text("Press") + text("urn:other") + b"\x02\x00\x00\x00", "svr=2;nsu=urn:other;s=Press"),
        (b"\x15\x02" + text("運転"), "運転"),
        (b"\x0d" + struct.pack("<q", TICKS + 1), "2026-11-24T06:00:00.250000100Z"),
        (b"\x0d" + struct.pack("<q", 0), "1601-01-01T00:00:00.000000000Z"),
        (b"\x0d" + struct.pack("<q", 2**63 - 1), "9999-12-31T23:59:59.999999900Z"),
        (b"\x19\x71" + struct.pack("<i", 7) + text("why") + struct.pack("<IB", 0x800A0000, 0), {"symbolic_id": 7, "additional": "why", "status": 0x800A0000, "inner": {}}),
        (b"\x16\x01\x01\x07\x00\x01" + text(b"\x01\x02"), {"type_id": "nsu=urn:press;i=7", "body": "AQI="}),
        (b"\x16\x01\x01\x07\x00\x02" + text("<a/>"), {"type_id": "nsu=urn:press;i=7", "xml": "<a/>"}),
        (b"\x16\x00\x00\x00", None),
        (b"\xc6" + struct.pack("<iiiiii", 2, 5, 6, 2, 1, 2), [[5, 6]]),
        (b"\x98" + struct.pack("<i", 2) + b"\x06\x01\x00\x00\x00" + b"\x8c" + struct.pack("<i", 1) + text("x"), [1, ["x"]]),
    ],
)  # fmt: skip
def test_values_as_the_standard_encodes_them(encoded: bytes, wanted: Any) -> None:
    found = values(variant(encoded), variant(b"\x06\x09\x00\x00\x00", 2))
    assert found.bad == []
    assert found.values == [(1, wanted, 0, None, None), (2, 9, 0, None, None)]


@pytest.mark.parametrize(
    ("encoded", "type_id", "why"),
    [
        (b"\x0c" + text(b"\xff\xfe"), "i=12", "not UTF-8"),
        (b"\x8c" + struct.pack("<i", 2) + text("a") + text(b"\xff"), "i=12", "not UTF-8"),
        (b"\xc6" + struct.pack("<iiiiii", 2, 5, 6, 2, 2, 2), "i=6", "multiply"),
        (b"\xc6" + struct.pack("<iii", 1, 5, 9) + struct.pack("<9i", *[1] * 9), "i=6", "dimensions"),
    ],
)
def test_a_value_that_cannot_be_read_costs_itself_alone(encoded: bytes, type_id: str, why: str) -> None:
    good = [item(i, float(i), V.Double) for i in range(1000)]
    body = bytearray(struct_to_binary(data_change(good)))
    body[4 + 500 * 34 : 4 + 501 * 34] = struct.pack("<IB", 77, 0x0D) + encoded + struct.pack("<qq", TICKS, TICKS)
    found = decode_publish_response(message(extension(811, bytes(body))), STRUCTURES)
    assert [v[1] for v in found.values] == [float(i) if i != 500 else None for i in range(1000)]
    assert found.values[500] == (77, None, BAD_DECODING, PUBLISHED_NS, PUBLISHED_NS)
    (bad,) = found.bad
    assert bad[:4] == (500, 77, encoded, type_id)
    assert why in bad.error
    assert bad.missing == 0


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x28\x01",  # a type that does not exist
        b"\x0c" + struct.pack("<i", 2**31 - 1) + b"x",  # a length that lies
        b"\x8b" + struct.pack("<i", 2**31 - 1),
        b"\x80" + struct.pack("<i", 2**31 - 1),  # nothing, very often
        b"\x98" + struct.pack("<i", 2**31 - 1) + b"\x00" * 40,
        b"\x11\x09",  # no encoding of a node id
        b"\x16\x00\x00\x07",  # nor of an extension object
        b"\x18\x00",
        b"\x4b" + b"\x00" * 8,
        (b"\x98" + struct.pack("<i", 1)) * 200 + b"\x00",  # variants in variants
        b"\x19" + b"\x40" * 200 + b"\x00",
        b"\x17\x01" * 200 + b"\x00",
    ],
)
def test_where_the_place_is_lost_the_rest_of_the_notification_is_kept_as_bytes(encoded: bytes) -> None:
    before, after = variant(b"\x06\x09\x00\x00\x00"), variant(b"\x06\x08\x00\x00\x00")
    found = values(before, variant(encoded, 77), after, after)
    assert found.values == [(1, 9, 0, None, None), (77, None, BAD_DECODING, None, None)]
    (bad,) = found.bad
    assert bad.place == 1
    assert bad.handle == 77
    assert bad.missing == 2
    assert bad.raw == variant(encoded, 77) + after + after + b"\xff\xff\xff\xff"
    assert "byte 14" in bad.error


def test_a_count_that_lies_gives_what_is_there() -> None:
    found = values(variant(b"\x06\x09\x00\x00\x00"), count=2**31 - 1)
    assert found.values[0] == (1, 9, 0, None, None)
    assert len(found.values) == 2
    assert found.bad[0].missing <= 4
    assert values(count=-5).values == []


def test_other_notifications_of_the_message_go_on() -> None:
    odd = extension(4711, b"\x01\x02")
    good = extension(811, struct.pack("<i", 1) + variant(b"\x06\x09\x00\x00\x00") + b"\xff\xff\xff\xff")
    found = decode_publish_response(message(odd + good + extension(811, b"<a/>", 2), count=3), STRUCTURES)
    assert [v[1] for v in found.values] == [9]
    assert [(bad.place, bad.raw, bad.type_id) for bad in found.bad] == [
        (-1, b"\x01\x02", "i=4711"),
        (-1, b"<a/>", "i=811"),
    ]


def test_diagnostics_of_values_are_passed_over() -> None:
    diagnostics = struct.pack("<iBiB", 2, 1, 4, 0)
    assert values(variant(b"\x06\x09\x00\x00\x00"), diagnostics=diagnostics).bad == []


def test_the_end_of_a_subscription_and_events() -> None:
    ended = extension(820, struct.pack("<IB", 0x800A0000, 0))
    fields = struct.pack("<ii", 5, 3) + b"\x06\x09\x00\x00\x00" + b"\x0c" + text(b"\xff") + b"\x0c" + text("Door")
    found = decode_publish_response(message(ended + extension(916, struct.pack("<i", 1) + fields), 2), STRUCTURES)
    assert found.status_change == 0x800A0000
    assert found.events == [(5, [9, None, "Door"])]
    assert [(bad.place, bad.handle, bad.raw) for bad in found.bad] == [(-1, 5, b"\x0c\x01\x00\x00\x00\xff")]
    cut = decode_publish_response(message(extension(916, struct.pack("<i", 2) + fields)), STRUCTURES)
    assert cut.events == [(5, [9, None, "Door"])]
    assert cut.bad[1].missing == 0


def test_a_fault_of_the_service() -> None:
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(0x80780000)
    encoded: bytes = struct_to_binary(fault)
    found = decode_publish_response(encoded, STRUCTURES)
    assert found.service_result == 0x80780000
    assert found.values == []
    assert found.available == []
    assert decode_republish_response(encoded, STRUCTURES)[0] == 0x80780000


def test_a_republished_message() -> None:
    sent = ua.RepublishResponse()
    sent.NotificationMessage.SequenceNumber = 9
    sent.NotificationMessage.NotificationData = [data_change([item(1, 2.5, V.Double)])]
    result, found = decode_republish_response(struct_to_binary(sent), STRUCTURES)
    assert result == 0
    assert found.sequence == 9
    assert found.values == [(1, 2.5, 0, PUBLISHED_NS, PUBLISHED_NS)]


def test_what_is_no_publish_response_is_refused() -> None:
    with pytest.raises(BadInput, match="i=835"):
        decode_publish_response(struct_to_binary(ua.RepublishResponse()), STRUCTURES)
    with pytest.raises(BadInput, match="notifications in one message"):
        decode_publish_response(message(b"", 2**31 - 1), STRUCTURES)
    with pytest.raises(BadInput, match="cut short"):
        decode_publish_response(response()[:-1], STRUCTURES)


def test_a_structure_that_nobody_knows_keeps_its_bytes() -> None:
    found = values(variant(b"\x16\x03\x01\x00" + text("Recipe") + b"\x01" + text(b"\x00\x01")))
    assert found.values[0][1] == {"type_id": "nsu=urn:press;s=Recipe", "body": base64.b64encode(b"\x00\x01").decode()}


def test_values_read_have_the_times_of_notifications_to_the_tick() -> None:
    value = struct.pack("<BBdIqq", 15, 11, 2.5, 0, TICKS + 3, TICKS + 7)
    bad = b"\x05\x0c" + text(b"\xff") + struct.pack("<q", TICKS)
    body = (
        struct.pack("<BBH", 1, 0, 634)
        + HEADER[4:]
        + struct.pack("<i", 3)
        + value
        + bad
        + b"\x02"
        + struct.pack("<I", 0x80340000)
    )
    result, found, undecoded = decode_read_response(body + struct.pack("<i", -1), STRUCTURES)
    assert result == 0
    assert found[0] == (0, 2.5, 0, PUBLISHED_NS + 300, PUBLISHED_NS + 700)
    assert found[0][1:] == values(struct.pack("<I", 0) + value).values[0][1:]
    assert found[1:] == [(1, None, BAD_DECODING, PUBLISHED_NS, None), (2, None, 0x80340000, None, None)]
    assert [one.place for one in undecoded] == [1]
