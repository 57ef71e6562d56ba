"""Golden payloads: what was ever written can be read, and reads the same."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from shinkei_events.codec import decode, encode
from shinkei_events.envelope import open_record, seal
from shinkei_events.registry import EVENT_TYPES, type_of
from tests.support.examples import EXAMPLES

GOLDEN = Path(__file__).parents[1] / "cases" / "golden"


def file_of(index: int, event: msgspec.Struct) -> Path:
    return GOLDEN / f"{index:02d}-{type_of(event).ce_type}.bin"


@pytest.mark.parametrize("index", range(len(EXAMPLES)))
def test_golden_payload(index: int) -> None:
    event = EXAMPLES[index]
    path = file_of(index, event)
    if os.environ.get("SHINKEI_WRITE_GOLDEN"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(event))
    assert decode(type_of(event).ce_type, path.read_bytes()) == event
    assert encode(event) == path.read_bytes()


def test_every_type_has_an_example() -> None:
    assert {type_of(event).ce_type for event in EXAMPLES} == {entry.ce_type for entry in EVENT_TYPES}


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: type(e).__name__)
def test_envelope_is_cloudevents_binary_mode(event: msgspec.Struct) -> None:
    sealed = seal(event, "gateway/gw-01/0")
    headers = dict(sealed.headers)
    assert headers["ce_specversion"] == b"1.0"
    assert sealed.key
    opened = open_record(sealed.headers, sealed.value)
    assert opened.event == event
    assert opened.source == "gateway/gw-01/0"
    assert sealed.topic == type_of(event).topic.name
