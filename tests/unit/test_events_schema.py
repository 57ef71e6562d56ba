"""The released schemas are what the structs say, and the language only grows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from shinkei_events.model.frame import Frame
from shinkei_events.registry import EVENT_TYPES, EventType, type_of
from shinkei_events.schema import asyncapi, breaking, schema_of
from shinkei_events.topics import TOPICS
from tests.support.examples import EXAMPLES

RELEASED = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("entry", EVENT_TYPES, ids=lambda e: e.ce_type)
def test_schema_is_released_and_additive(entry: EventType) -> None:
    released = json.loads((RELEASED / f"{entry.ce_type}.json").read_text())
    now = json.loads(msgspec.json.encode(schema_of(entry)))
    assert breaking(released, now) == []
    assert released == now, "docs/schemas is behind: python -m shinkei_events.schema docs/schemas"


def test_asyncapi_names_every_topic_and_type() -> None:
    document = json.loads((RELEASED / "asyncapi.json").read_text())
    assert document == json.loads(msgspec.json.encode(asyncapi()))
    assert set(document["channels"]) == {topic.name for topic in TOPICS}
    assert set(document["components"]["messages"]) == {entry.ce_type for entry in EVENT_TYPES}


@pytest.mark.parametrize("event", [e for e in EXAMPLES if not isinstance(e, Frame)], ids=lambda e: type(e).__name__)
def test_examples_validate(event: msgspec.Struct) -> None:
    jsonschema.validate(
        json.loads(msgspec.json.encode(event)), json.loads(msgspec.json.encode(schema_of(type_of(event))))
    )


def changed(edit: Any) -> list[str]:
    released = json.loads((RELEASED / "shinkei.operation.v1.json").read_text())
    now = copy.deepcopy(released)
    edit(now["$defs"]["Operation"])
    return breaking(released, now)


def test_what_breaks_readers_is_found() -> None:
    assert changed(lambda s: s["properties"].pop("station"))
    assert changed(lambda s: s["properties"].update(started={"type": "string"}))
    assert changed(lambda s: s["required"].append("order"))
    assert changed(lambda s: s["required"].remove("kind"))
    assert changed(lambda s: s["properties"]["kind"]["enum"].remove("ship"))
    assert not changed(lambda s: s["properties"].update(extra={"type": "string", "default": ""}))
