"""The gateway's decoder of OPC UA responses against the library's encoder, and against bytes that nobody would send."""

from __future__ import annotations

import base64
import math
import random
import resource
import struct
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from shinkei_events.envelope import rfc3339
from shinkei_events.errors import BadInput
from shinkei_gateway.opcua.decode import Published, decode_publish_response
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.quality import BAD_DECODING
from tests.support.opcua_responses import PUBLISHED_NS, data_change, item, response
from tests.support.seed import seed_of_run
from tests.support.sizes import Sizes

V = ua.VariantType
URI = "urn:press"
STRUCTURES = Structures(["http://opcfoundation.org/UA/", URI])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PREFIX = {0: "", 1: f"nsu={URI};", 2: "ns=2;"}


def ns(moment: datetime) -> int:
    delta = moment - EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def node_text(node: ua.NodeId) -> str:
    identifier = base64.b64encode(node.Identifier).decode() if isinstance(node.Identifier, bytes) else node.Identifier
    return (
        PREFIX[node.NamespaceIndex]
        + {0: "i", 1: "i", 2: "i", 3: "s", 4: "g", 5: "b"}[node.NodeIdType.value]
        + f"={identifier}"
    )


def same(value: Any) -> Any:
    return value


def as_float(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


words = st.text(max_size=12)
times = st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)).map(lambda found: found.replace(tzinfo=UTC))
nodes = st.one_of(
    st.builds(lambda i: ua.NodeId(i, 0), st.integers(0, 2**32 - 1)),
    st.builds(ua.NodeId, st.one_of(st.integers(0, 2**32 - 1), words.filter(bool), st.uuids(), st.binary(max_size=8)), st.integers(1, 2)),
)  # fmt: skip
KINDS: dict[ua.VariantType, tuple[st.SearchStrategy[Any], Callable[[Any], Any]]] = {
    V.Boolean: (st.booleans(), same),
    V.SByte: (st.integers(-(2**7), 2**7 - 1), same), V.Byte: (st.integers(0, 2**8 - 1), same),
    V.Int16: (st.integers(-(2**15), 2**15 - 1), same), V.UInt16: (st.integers(0, 2**16 - 1), same),
    V.Int32: (st.integers(-(2**31), 2**31 - 1), same), V.UInt32: (st.integers(0, 2**32 - 1), same),
    V.Int64: (st.integers(-(2**63), 2**63 - 1), same), V.UInt64: (st.integers(0, 2**64 - 1), same),
    V.Float: (st.floats(width=32), as_float), V.Double: (st.floats(), same),
    V.String: (words, same), V.DateTime: (times, lambda v: rfc3339(ns(v))), V.Guid: (st.uuids(), str),
    V.ByteString: (st.binary(max_size=12), b64),
    V.NodeId: (nodes, node_text), V.ExpandedNodeId: (nodes, node_text),
    V.StatusCode: (st.integers(0, 2**32 - 1).map(ua.StatusCode), lambda v: v.value),
    V.QualifiedName: (st.builds(ua.QualifiedName, words, st.integers(0, 2)), lambda v: PREFIX[v.NamespaceIndex] + v.Name),
    V.LocalizedText: (st.builds(ua.LocalizedText, words, st.sampled_from([None, "en", "ja"])), lambda v: v.Text),
    V.DataValue: (st.integers(0, 9).map(lambda i: ua.DataValue(ua.Variant(i, V.Int32))), lambda v: {"value": v.Value.Value, "status": 0}),
}  # fmt: skip
"""Of each type: values, and what they are in the language. XmlElement and DiagnosticInfo, which the library encodes against the standard, are unit tests."""


@st.composite
def one_value(draw: st.DrawFn) -> tuple[ua.VariantType, Any, Any, list[int] | None]:
    """(type, value, what it should be, dimensions)."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    strategy, expected = KINDS[kind]
    shape = draw(st.sampled_from(["scalar", "array", "matrix", "cube"]))
    if shape == "scalar":
        value = draw(strategy)
        return kind, value, expected(value), None
    sizes = {"array": 1, "matrix": 2, "cube": 3}[shape]
    dimensions = draw(st.lists(st.integers(1, 3), min_size=sizes, max_size=sizes))
    flat = draw(st.lists(strategy, min_size=math.prod(dimensions), max_size=math.prod(dimensions)))
    wanted: list[Any] = [expected(v) for v in flat]
    for length in reversed(dimensions[1:]):
        wanted = [wanted[at : at + length] for at in range(0, len(wanted), length)]
    return kind, flat, wanted, dimensions if sizes > 1 else None


def alike(one: Any, other: Any) -> bool:
    """Equal, with NaN equal to NaN, and True not equal to 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), one_value(), st.sampled_from([None, 0, 0x40920000, 0x80020480]), st.none() | times, st.none() | times), max_size=8))  # fmt: skip
def test_all_types_and_shapes_are_as_encoded(rows: list[Any]) -> None:
    items = [item(h, v, k, status, src, srv, dims) for h, (k, v, _, dims), status, src, srv in rows]
    found = decode_publish_response(response(data_change(items)), STRUCTURES)
    assert (found.subscription, found.sequence, found.publish_time) == (3, 7, PUBLISHED_NS)
    assert (found.available, found.more, found.results, found.service_result) == ([5, 6, 7], False, [0], 0)
    assert found.bad == []
    assert len(found.values) == len(rows)
    for (handle, (_, _, wanted, _), status, src, srv), got in zip(rows, found.values, strict=True):
        assert alike(got[1], wanted), (got[1], wanted)
        assert got[0] == handle
        assert got[2] == (status or 0)
        assert got[3] == (ns(src) if src else None)
        assert got[4] == (ns(srv) if srv else None)


@given(st.lists(st.tuples(st.sampled_from([V.Double, V.Int32, V.Boolean, V.String]), st.integers(1, 40), st.sampled_from([None, 0])), max_size=8))  # fmt: skip
def test_runs_of_any_length_keep_every_value_in_its_place(runs: list[Any]) -> None:
    rows = [(kind, status) for kind, n, status in runs for _ in range(n)]
    values = [
        {V.Double: float(i), V.Int32: i, V.Boolean: bool(i % 2), V.String: str(i)}[kind]
        for i, (kind, _) in enumerate(rows)
    ]
    items = [item(i, value, kind, status) for i, (value, (kind, status)) in enumerate(zip(values, rows, strict=True))]
    found = decode_publish_response(response(data_change(items)), STRUCTURES)
    assert [alike(got[1], want) for got, want in zip(found.values, values, strict=True)] == [True] * len(values)
    assert [got[0] for got in found.values] == list(range(len(values)))


# ---- bytes that nobody would send --------------------------------------------------------------------------------------------
def templates() -> list[bytes]:
    """Good responses of every kind, to be spoiled."""
    chosen = random.Random(1)
    examples: list[Any] = [
        (V.Double, 1.5), (V.Int32, [1, 2, 3]), (V.String, "Förderband"), (V.String, ["a", None, ""]), (V.LocalizedText, ua.LocalizedText("運転", "ja")),
        (V.NodeId, ua.NodeId("Press", 1)), (V.Guid, uuid.UUID(int=7)), (V.ByteString, b"\x00\x01"), (V.DateTime, EPOCH + timedelta(days=9)),
        (V.Variant, [ua.Variant(1, V.Int32), ua.Variant([ua.Variant("x")], V.Variant)]), (V.ExtensionObject, ua.EUInformation(UnitId=4408652)),
        (V.ExtensionObject, [ua.Range(0.0, 9.0), ua.Argument(Name="a")]), (V.DataValue, ua.DataValue(ua.Variant(1.0))), (V.QualifiedName, ua.QualifiedName("q", 1)),
    ]  # fmt: skip
    items = [item(i, value, kind) for i, (kind, value) in enumerate(examples)]
    runs = [item(i, chosen.random(), V.Double) for i in range(30)]
    events = ua.EventNotificationList(
        Events=[ua.EventFieldList(ClientHandle=1, EventFields=[ua.Variant(v, k) for k, v in examples])]
    )
    return [
        response(data_change(items)), response(data_change(runs)), response(events), response(data_change(runs), events, data_change(items)),
        response(ua.StatusChangeNotification(Status=ua.StatusCode(0x800A0000))), response(),
    ]  # fmt: skip


def spoiled(data: bytes, chosen: random.Random) -> bytes:
    """``data`` cut, with bytes changed, with lengths that lie, or with parts doubled and left out."""
    found = bytearray(data)
    for _ in range(chosen.choice((1, 1, 1, 2, 5, 20))):
        at = chosen.randrange(len(found)) if found else 0
        match chosen.randrange(6):
            case 0:
                del found[at:]
            case 1 if found:
                found[at] = chosen.randrange(256)
            case 2 if found:
                found[at] ^= 1 << chosen.randrange(8)
            case 3:
                found[at : at + 4] = struct.pack(
                    "<i", chosen.choice((-1, 0, 1, 255, 2**16, 2**24, 2**31 - 1, -(2**31)))
                )
            case 4:
                del found[at : at + chosen.randrange(1, 9)]
            case _:
                found[at:at] = found[at : at + chosen.randrange(1, 40)]
    return bytes(found)


def check(body: bytes, found: Published) -> None:
    """What holds for every answer of the decoder."""
    assert len(found.values) <= len(body)
    assert len(found.bad) <= len(body)
    for bad in found.bad:
        assert bad.error
        assert bad.raw in body
        if bad.place >= 0:
            assert found.values[bad.place][:3] == (bad.handle, None, BAD_DECODING)
    for *_, source, server in found.values:
        assert all(time is None or -(2**63) <= time < 2**63 for time in (source, server))


def test_spoiled_responses_raise_bad_input_or_decode() -> None:
    chosen = random.Random(seed_of_run())
    n = Sizes.from_environment().of("spoiled OPC UA responses", sample=10_000, full=200_000)
    good = templates()
    slowest, read, refused = 0.0, 0, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(n):
        body = spoiled(chosen.choice(good), chosen)
        began = time.process_time()
        try:
            check(body, decode_publish_response(body, STRUCTURES))
            read += 1
        except BadInput:
            refused += 1
        slowest = max(slowest, time.process_time() - began)
    assert min(read, refused) > n // 10, "the spoiling is of both kinds"
    assert slowest < 5.0, "some bytes take longer than they are worth"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KiB: a length was believed"


def test_every_cut_of_a_response_is_told() -> None:
    for body in templates():
        for length in range(len(body)):
            with pytest.raises(BadInput):
                decode_publish_response(body[:length], STRUCTURES)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for body in (data, b"\x01\x00\x3d\x03" + data):
        try:
            check(body, decode_publish_response(body, STRUCTURES))
        except BadInput:
            continue
