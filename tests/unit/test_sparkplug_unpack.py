"""Payloads that an edge library has packed: read as what is in them; what cannot be inflated, or is a bomb, is refused."""

from __future__ import annotations

import gzip
import zlib

import pytest

from shinkei_events.errors import BadField
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.unpack import MOST_BYTES, PACKED, unpacked
from tests.support.sparkplug_node import metric, payload

PLAIN = payload([metric(1.5, name="a"), metric("水", "String", name="b")], 7)


def packed(body: bytes, algorithm: str | None = None) -> bytes:
    found = Payload(uuid=PACKED, body=body)
    if algorithm is not None:
        found.metrics.add(**metric(algorithm, "String", name="algorithm"))
    return bytes(found.SerializeToString())


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN,
        packed(zlib.compress(PLAIN)),
        packed(zlib.compress(PLAIN), "DEFLATE"),
        packed(gzip.compress(PLAIN), "GZIP"),
        packed(gzip.compress(PLAIN), "gzip"),
    ],
)
def test_a_packed_payload_is_what_is_in_it(raw: bytes) -> None:
    assert unpacked(raw).SerializeToString() == PLAIN


def test_another_uuid_is_only_a_name() -> None:
    named = Payload(uuid="a8f2", body=b"x", seq=3)
    assert unpacked(named.SerializeToString()).seq == 3


@pytest.mark.parametrize(
    "raw",
    [
        packed(b"not packed"),
        packed(b""),
        packed(zlib.compress(PLAIN)[:-3]),
        packed(zlib.compress(b"\xff\xff")),
        packed(zlib.compress(PLAIN), "BROTLI"),
        packed(zlib.compress(bytes(MOST_BYTES + 1))),
    ],
)
def test_what_cannot_be_unpacked_is_refused(raw: bytes) -> None:
    with pytest.raises(BadField):
        unpacked(raw)
