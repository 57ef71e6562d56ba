"""Two shards that would hear the same topics about the same machine are found without a connection."""

from __future__ import annotations

from typing import Any

import pytest

from shinkei_events.settings import strict
from shinkei_gateway.settings import GatewaySettings
from shinkei_gateway.shared_topics import meet, shared_topics


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ("a/b", "a/b", "a/b"), ("a/+", "a/b", "a/b"), ("a/+", "+/b", "a/b"), ("a/#", "a/b/c", "a/b/c"), ("#", "a/+", "a/+"),
        ("a/#", "a", "a"), ("a/#", "+/+/c", "a/+/c"), ("a/b", "a/c", None), ("a/+", "a", None), ("a/b/#", "a/c/#", None), ("a/b", "a/b/c", None),
    ],
)  # fmt: skip
def test_topics_that_two_filters_share(one: str, two: str, both: str | None) -> None:
    expected = None if both is None else both.split("/")
    assert meet(one, two) == expected
    assert meet(two, one) == expected


def mqtt(filter: str, machine: str, **more: Any) -> dict[str, Any]:
    topic = {"filter": filter, "as": "signal", "machine": machine, "signal": "x"}
    return {"type": "mqtt", "url": "mqtt://192.0.2.1:1883", "client_id": filter, "topics": [topic]} | more


def found(**sources: dict[str, Any]) -> dict[str, str]:
    return shared_topics(strict({"id": "gw", "sources": sources}, GatewaySettings, "gateway"))


def test_shards_that_would_write_one_machine_are_named() -> None:
    hall = mqtt("hall/+/temp", "{1}")
    assert found(hall=hall, again=mqtt("hall/#", "{1}", shard="b")) == {
        "again": "hall/+/temp comes to shard b and, by source hall, to shard 0: both would write that machine's streams; "
        "put the sources into one shard or part their topics"
    }
    assert list(found(hall=hall, press=mqtt("hall/press/+", "press", shard="b"))) == ["press"]
    cell = {"type": "sparkplug", "url": "mqtt://192.0.2.1:1883", "client_id": "s", "group_ids": ["g"]}
    assert list(found(cell=cell, more=cell | {"client_id": "t", "nodes": ["g/n"], "shard": "b"})) == ["more"]


def test_what_is_apart_is_left_alone() -> None:
    hall = mqtt("hall/+/temp", "{1}")
    assert found(hall=hall, again=mqtt("hall/#", "{1}")) == {}, "one shard"
    assert found(hall=hall, other=mqtt("yard/#", "{1}", shard="b")) == {}
    assert found(hall=hall, other=mqtt("hall/#", "{1}", shard="b", url="mqtt://192.0.2.2:1883")) == {}
    assert found(hall=hall, lift=mqtt("hall/press/+", "lift", shard="b")) == {}, "another machine of the same message"
