"""Payloads of every format, times of every zone, several signals in one payload; and ten thousand broken payloads of each format."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from shinkei_events.errors import BadField, BadInput
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.mqtt import cbor
from shinkei_gateway.mqtt.formats import decoder
from shinkei_gateway.mqtt.payload import Mapping
from shinkei_gateway.mqtt.settings import TopicMap
from shinkei_gateway.mqtt.times import nanoseconds

T = 1_700_000_000_000_000_000


def take(payload: bytes, **topic: Any) -> list[tuple[str, Any, int]]:
    how = strict({"filter": "t/+", "as": "signal", "machine": "M"} | topic, TopicMap, "x")
    found = Mapping("src", [how], []).take("t/x", payload, T)
    return [(item.channel, item.value, item.time) for item in found if isinstance(item, Reading)]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("00", 0), ("1903e7", 999), ("3863", -100), ("1bffffffffffffffff", 2**64 - 1), ("c249010000000000000000", 2**64), ("f90001", 5.960464477539063e-08),
        ("fb3ff199999999999a", 1.1), ("f4", False), ("f6", None), ("43010203", "AQID"), ("62c3bc", "ü"), ("83010203", [1, 2, 3]),
        ("a201020304", {"1": 2, "3": 4}), ("a26161016162820203", {"a": 1, "b": [2, 3]}), ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("5f42010243030405ff", "AQIDBAU="), ("7f657374726561646d696e67ff", "streaming"), ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("c11a514b67b0", 1363896240), ("fa7f800000", float("inf")),
    ],
)  # fmt: skip
def test_cbor_of_the_standard_s_examples(raw: str, value: Any) -> None:
    assert cbor.decoded(bytes.fromhex(raw)) == value


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "18",
        "1c",
        "ff",
        "8201",
        "a101",
        "5f6161ff",
        "62c328",
        "9bffffffffffffffff",
        "f8ff",
        "0000",
        "bf01ff",
        "81ff",
        "81" * 40 + "00",
    ],
)
def test_broken_cbor_is_refused(raw: str) -> None:
    with pytest.raises(BadField):
        cbor.decoded(bytes.fromhex(raw))


@pytest.mark.parametrize("where", ["a1{n}01", "a26176016174{n}", "a3617601617401" + "6173{n}", "81{n}"])
def test_a_number_of_ten_thousand_digits_is_refused_wherever_it_stands(where: str) -> None:
    """Python refuses to write such a number, with an error that would have ended the connection again and again."""
    payload = bytes.fromhex(where.replace("{n}", "c2591000" + "ff" * 0x1000))
    with pytest.raises(BadInput):
        take(payload, format="cbor", signal="n", value="/v", time="/t", status="/s")


def test_text_is_a_number_only_by_json_s_grammar() -> None:
    texts = [b"3.5", b" 7\n", b"-1e3", b"007", b"+5", b"TRUE", b"nan", b"SN 42"]
    assert [decoder("text")(each) for each in texts] == [3.5, 7, -1000.0, "007", "+5", True, "nan", "SN 42"]


def test_several_signals_of_one_payload() -> None:
    said = {"t": T - 7, "kw": 2.5, "bar": 6, "name": "x", "ok": True}
    packed = msgspec.msgpack.encode(said)
    both = {"/kw": "power", "/bar": "pressure", "/gone": "gone"}
    assert take(packed, format="msgpack", time="/t", values=both) == [("power", 2.5, T - 7), ("pressure", 6, T - 7)]
    assert take(packed, format="msgpack", time="/t", members="numbers") == [("kw", 2.5, T - 7), ("bar", 6, T - 7)]
    deep = json.dumps({"tags": {"a": 1, "b": "two"}}).encode()
    assert take(deep, value="/tags", members="all", signal="{1}.{member}") == [("x.a", 1, T), ("x.b", "two", T)]
    with pytest.raises(BadField, match="at least one of"):
        take(b"{}", values={"/kw": "power"})


def test_times_with_zones() -> None:
    tokyo, berlin = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")
    assert nanoseconds("2023-11-15T07:13:20", "iso", zone=tokyo) == T
    assert nanoseconds("2023-11-14T22:13:20.123456789Z", "iso", zone=tokyo) == T + 123_456_789
    assert nanoseconds(1_700_000_000, "s") == nanoseconds(1_700_000_000_000, "ms") == T
    with pytest.raises(BadField, match="twice"):
        nanoseconds("2023-10-29T02:30:00", "iso", zone=berlin)
    with pytest.raises(BadField, match="skipped"):
        nanoseconds("2023-03-26T02:30:00", "iso", zone=berlin)
    assert nanoseconds("2023-10-29T02:30:00+02:00", "iso", zone=berlin) == 1_698_539_400 * 10**9


def test_what_nests_too_deep_is_refused() -> None:
    for format, raw in (
        ("json", b"[" * 60 + b"]" * 60),
        ("msgpack", b"\x91" * 60 + b"\x01"),
        ("cbor", b"\x81" * 60 + b"\x01"),
    ):
        with pytest.raises(BadField, match="deep"):
            take(raw, format=format, signal="s")


@pytest.mark.parametrize("format", ["json", "text", "cbor", "msgpack"])
def test_ten_thousand_broken_payloads_are_taken_or_refused(format: str, rng: random.Random) -> None:
    said = {"ts": T, "v": 12.5, "s": 0, "more": {"a": [1, 2, "x"], "b": None}, "iso": "2023-11-14T22:13:20Z"}
    as_cbor = (
        bytes.fromhex("a5")
        + b"\x62ts\x1b"
        + T.to_bytes(8, "big")
        + b"\x61v\xf9\x4a\x40\x61s\x00\x64more\xa1\x61a\x82\x01\x02\x63iso\x60"
    )
    good = {
        "json": json.dumps(said).encode(),
        "text": b"12.5",
        "cbor": as_cbor,
        "msgpack": msgspec.msgpack.encode(said),
    }[format]
    hows = [
        strict({"filter": "#", "as": kind, "machine": "M", "format": format} | more, TopicMap, "x")
        for kind, more in (
            ("signal", {"signal": "s", "time": "/ts", "value": "/v", "status": "/s"}), ("signal", {"members": "all"}),
            ("signal", {"signal": "s", "time": "/iso", "time_unit": "iso", "zone": "Asia/Tokyo"}), ("state", {}), ("operation", {}),
        )
    ]  # fmt: skip
    mappings = [Mapping("src", [how], []) for how in hows]
    for at in range(10_000):
        raw = bytearray(good if rng.random() < 0.8 else rng.randbytes(rng.randrange(80)))
        for _ in range(rng.randrange(5)):
            if raw:
                raw[rng.randrange(len(raw))] = rng.randrange(256)
        raw = raw[: rng.randrange(len(raw) + 1)] if rng.random() < 0.2 else raw
        with contextlib.suppress(BadInput):
            found = mappings[at % 5].take("t", bytes(raw), T)
            assert all(isinstance(item, Reading | Draft) for item in found)
