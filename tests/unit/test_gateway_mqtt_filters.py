"""Topic filters against each other: a message that two subscriptions match is sent twice by many brokers."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from shinkei_events.errors import BadConfig
from shinkei_events.settings import strict
from shinkei_gateway.mqtt.filters import covers, matches, minimal, overlapping
from shinkei_gateway.mqtt.limits import promises
from shinkei_gateway.mqtt.payload import Mapping
from shinkei_gateway.mqtt.settings import MqttSource, check_mqtt

LEVELS = ["a", "b", "$s"]
TOPICS = [list(each) for size in (1, 2, 3) for each in itertools.product(LEVELS, repeat=size)]
FILTERS = [
    [*each, *tail]
    for size in (0, 1, 2)
    for each in itertools.product([*LEVELS, "+"], repeat=size)
    for tail in ([], ["#"])
    if [*each, *tail]
]


def test_covering_and_overlapping_are_what_matching_says() -> None:
    matched = {"/".join(parts): {tuple(topic) for topic in TOPICS if matches(parts, topic)} for parts in FILTERS}
    for one, other in itertools.permutations(matched, 2):
        is_covered = matched[other] <= matched[one]
        assert not covers(one.split("/"), other.split("/")) or is_covered, (one, other)
        assert bool(overlapping([one, other])) == bool(matched[one] & matched[other]), (one, other)


def test_what_another_filter_covers_is_not_subscribed_to() -> None:
    assert minimal(["plant/+/signal/+", "plant/M1/#", "plant/#", "plant/#", "other"]) == ["plant/#", "other"]
    assert minimal(["a/#", "a", "+", "$SYS/#", "#"]) == ["$SYS/#", "#"]


@pytest.mark.parametrize(
    ("filter", "machine", "signal", "key"),
    [
        ("plant/+/+", "{x}", "{2}", "machine"), ("plant/+/+", "{1}", "{3}", "signal"), ("plant/+/+", "{1", "{2}", "machine"),
        ("plant/#", "{1}", "{2}.{}", "signal"), ("plant/#", "{1}", "{7}", None), ("+/x", "{0}", "{1}.y", None),
    ],
)  # fmt: skip
def test_a_template_of_a_level_that_no_topic_has_is_refused_before_all_goes_to_quarantine(
    filter: str, machine: str, signal: str, key: str | None
) -> None:
    topics = [{"filter": filter, "as": "signal", "machine": machine, "signal": signal}]
    source = strict({"type": "mqtt", "url": "mqtt://h:1", "client_id": "c", "topics": topics}, MqttSource, "x")
    if key is None:
        check_mqtt(source, "x")
        return
    with pytest.raises(BadConfig, match=rf"topics\[0\]\.{key}.*levels of"):
        check_mqtt(source, "x")


def test_an_overlap_that_is_left_is_said_and_its_topics_are_known() -> None:
    raw = {"as": "signal", "machine": "{1}", "signal": "x"}
    topics = [{"filter": name} | raw for name in ("plant/M1/#", "plant/+/state", "plant/M1/state")]
    source = strict({"type": "mqtt", "url": "mqtt://h:1", "client_id": "c", "topics": topics}, MqttSource, "x")
    (said,) = promises(source)
    assert "plant/M1/# and plant/+/state overlap" in said
    assert promises(msgspec.structs.replace(source, topics=source.topics[:1])) == []
    mapping = Mapping("s", source.topics, [])
    assert mapping.filters == ["plant/M1/#", "plant/+/state"]
    assert [mapping.is_doubled(f"plant/{name}/state") for name in ("M1", "M2")] == [True, False]
