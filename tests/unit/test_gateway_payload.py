"""MQTT topics and payloads into facts, and what an MQTT source remembers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest

from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.operation import Operation
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.mqtt.broker_state import BrokerState, told
from shinkei_gateway.mqtt.connection import Limits, Message
from shinkei_gateway.mqtt.limits import broken, forgot, promises, shortfalls
from shinkei_gateway.mqtt.memory import Memory
from shinkei_gateway.mqtt.payload import Mapping, TooMany, matches, pointer
from shinkei_gateway.mqtt.settings import MqttSource, TopicMap
from shinkei_gateway.mqtt.times import nanoseconds

T = 1_700_000_000_000_000_000
TOPICS: list[dict[str, Any]] = [
    {
        "filter": "plant/+/signal/+",
        "as": "signal",
        "machine": "{1}",
        "signal": "{3}",
        "time": "/ts",
        "value": "/v",
        "status": "/s",
    },
    {"filter": "plant/+/state", "as": "state", "machine": "{1}"},
    {"filter": "plant/+/operation", "as": "operation", "machine": "{1}"},
    {"filter": "raw/#", "as": "signal", "machine": "RAW", "signal": "{1}"},
]


def mapping(*machines: str) -> Mapping:
    return Mapping("src", [strict(topic, TopicMap, "x") for topic in TOPICS], list(machines))


def take(topic: str, payload: Any, *machines: str) -> list[Reading | Draft]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return mapping(*machines).take(topic, raw, T)


def test_a_signal() -> None:
    assert take("plant/OP30/signal/flow", {"ts": T - 5, "v": 2.5}) == [Reading("OP30", "flow", T - 5, 2.5, 0, T)]
    assert take("plant/OP30/signal/flow", {"ts": T - 5, "v": None, "s": 0x80000000}) == [
        Reading("OP30", "flow", T - 5, None, 0x80000000, T)
    ]
    assert take("raw/level", 7) == [Reading("RAW", "level", T, 7, 0, T)]
    assert take("raw/level", {"a": [1]}) == [Reading("RAW", "level", T, {"a": [1]}, 0, T)]


def test_a_state_and_an_operation() -> None:
    (draft,) = take("plant/OP30/state", {"ts": T - 9, "state": "HELD", "reason": "filter_check"})
    assert isinstance(draft, Draft)
    assert (draft.type, draft.machine, draft.time, draft.fields["reason"]) == (
        MachineStateChanged,
        "OP30",
        T - 9,
        "filter_check",
    )
    said = {"kind": "process", "station": "OP30", "started": T - 9, "ended": T - 2, "counter": 4}
    (draft,) = take("plant/OP30/operation", said)
    (again,) = take("plant/OP30/operation", said)
    assert isinstance(draft, Draft)
    assert draft == again
    assert (draft.type, draft.time) == (Operation, T - 2)


@pytest.mark.parametrize(
    ("topic", "payload", "path"),
    [
        ("plant/OP30/signal/flow", b"{", "$"),
        ("plant/OP30/signal/flow", b"\xff\xfe", "$"),
        ("plant/OP30/signal/flow", {"v": 1.0}, "$/ts"),
        ("plant/OP30/signal/flow", {"ts": "now", "v": 1.0}, "$/ts"),
        ("plant/OP30/signal/flow", {"ts": T, "w": 1.0}, "$/v"),
        ("plant/OP30/signal/flow", {"ts": T, "v": 1.0, "s": -1}, "$/s"),
        ("plant/OP30/state", {"state": "DANCING"}, "$.state"),
        ("plant/OP30/operation", {"kind": "process"}, "$"),
        ("plant/OP99/state", {"state": "HELD"}, "topic"),
        ("plant/a b/state", {"state": "HELD"}, "topic"),
        ("elsewhere", {}, "topic"),
    ],
)
def test_what_is_wrong_is_named(topic: str, payload: Any, path: str) -> None:
    with pytest.raises(BadField) as error:
        take(topic, payload, "OP30")
    assert error.value.path == path


def test_whatever_comes_is_taken_or_refused() -> None:
    for raw in (
        b"",
        b"null",
        b"[]",
        b"1e999",
        b"[" * 2000,
        b'{"ts":1e400}',
        b"\x00",
        b'"\\ud800"',
        b'{"ts": 9999999999999999999999, "v": 1}',
    ):
        for topic in ("plant/A/signal/x", "plant/A/state", "plant/A/operation", "raw/x"):
            with contextlib.suppress(BadInput):
                mapping().take(topic, raw, T)


@pytest.mark.parametrize(
    ("pattern", "topic", "is_match"),
    [
        ("a/+/c", "a/b/c", True), ("a/+/c", "a/b/d", False), ("a/#", "a", True), ("a/#", "a/b/c", True), ("#", "a/b", True),
        ("#", "$SYS/x", False), ("+/x", "$SYS/x", False), ("a/+", "a/b/c", False), ("a/b", "a/b", True), ("+", "a", True),
    ],
)  # fmt: skip
def test_filters(pattern: str, topic: str, is_match: bool) -> None:
    assert matches(pattern.split("/"), topic.split("/")) is is_match


def test_pointers_and_times() -> None:
    assert pointer({"a/b": [{"m~n": 5}]}, "/a~1b/0/m~0n") == 5
    assert nanoseconds(1.5, "s") == 1_500_000_000
    assert nanoseconds(T, "ns") == T
    assert nanoseconds("2023-11-14T22:13:20.000001Z", "iso") == T + 1000
    with pytest.raises(BadField):
        nanoseconds("2023-11-14T22:13:20", "iso")


def message(payload: bytes, mid: int, *, again: bool = False, qos: int = 1, topic: str = "t") -> Message:
    return Message(topic, payload, qos, mid, again, T)


def test_a_redelivery_is_recognised_over_a_restart_and_an_equal_message_is_not_one() -> None:
    memory = Memory(4)
    assert memory.judge(message(b"1", 1)) == "new"
    assert memory.judge(message(b"1", 2)) == "new"
    again = Memory(4, memory.state())
    assert again.judge(message(b"1", 1, again=True)) == "same"
    assert again.judge(message(b"1", 9, again=True)) == "unsure"
    assert again.judge(message(b"1", 1, again=True, topic="u")) == "new"
    assert again.judge(message(b"2", 1, again=True)) == "new"
    for number in range(4):
        again.judge(message(b"x%d" % number, number))
    assert again.judge(message(b"1", 1, again=True)) == "new"


def test_qos_2_is_the_same_until_its_packet_identifier_is_released() -> None:
    memory = Memory(1)
    memory.judge(message(b"1", 7, qos=2))
    for number in range(5):
        memory.judge(message(b"x", 20 + number, qos=2))
    again = Memory(1, memory.state())
    assert again.judge(message(b"1", 7, qos=2, again=True)) == "same"
    again.released([7])
    assert again.judge(message(b"1", 7, qos=2, again=True)) == "new"


def test_a_redelivery_that_the_broker_does_not_name_one_is_marked() -> None:
    """Aedes 1.2 sends what was under way again without DUP."""
    memory = Memory(4)
    memory.judge(message(b"1", 1))
    memory.judge(message(b"2", 2, qos=2))
    again = Memory(4, memory.state())
    again.begins(is_present=True)
    assert again.judge(message(b"1", 1)) == "unsure"
    assert again.judge(message(b"2", 2, qos=2)) == "same"  # its packet identifier is not released yet
    assert [again.judge(message(b"1", 1)) for _ in range(2)] == ["new", "new"]  # as many as were under way
    third = Memory(4, memory.state())
    third.begins(is_present=True)
    assert third.judge(message(b"1", 9)) == "new"  # rumqttd 0.20 numbers it anew …
    assert third.may_know(message(b"1", 9), [Reading("A", "x", T - 1, 1.0, 0, T)])  # … but it says when it was
    assert not third.may_know(message(b"1", 9), [Reading("A", "x", T, 1.0, 0, T)])
    third.judge(message(b"7", 9))
    assert not third.may_know(message(b"7", 9), [Reading("A", "x", T - 1, 1.0, 0, T)])
    fourth = Memory(4, memory.state())
    fourth.begins(is_present=True)
    for mid, is_known in ((9, False), (10, True)):  # both copies on the new connection: from the queue, and live
        fourth.judge(message(b"8", mid))
        assert fourth.may_know(message(b"8", mid), [Reading("A", "x", T - 1, 1.0, 0, T)]) is is_known
    other = Memory(4, memory.state())
    other.begins(is_present=False)  # another session counts its packets anew
    assert [other.judge(message(b"1", 1)), other.judge(message(b"2", 2, qos=2))] == ["new", "new"]


def test_the_copy_for_a_second_subscription_is_marked() -> None:
    memory = Memory(4)
    judged = [
        memory.judge(message(payload, 1, qos=qos), is_doubled=True)
        for payload, qos in ((b"1", 1), (b"2", 0), (b"1", 1))
    ]
    assert judged == ["new", "new", "unsure"]  # rumqttd 0.20 sends all of one subscription, then all of the other
    assert memory.judge(message(b"2", 4, topic="u"), is_doubled=True) == "new"


def test_what_the_window_forgot_is_marked_when_it_comes_again_unless_it_is_newer() -> None:
    memory = Memory(2)
    retained = Message("t", b"1", 1, 9, True, T + 9, True)
    old, new = [Reading("A", "x", T, 1.0, 0, T + 9)], [Reading("A", "x", T + 5, 1.0, 0, T + 9)]
    memory.took([Reading("A", "x", T + 1, 1.0, 0, T + 1)])
    memory.judge(message(b"1", 1))
    assert not memory.may_know(message(b"3", 1, again=True), old)  # the window has everything
    memory.judge(message(b"2", 2))
    assert memory.may_know(message(b"3", 1, again=True), old)
    assert not memory.may_know(message(b"3", 1, again=True), new)
    assert not memory.may_know(message(b"3", 1), old)
    assert not memory.may_know(retained, old)  # the first subscription of all
    memory.filters = ["t"]
    memory.begins(is_present=False)
    assert memory.may_know(retained, old)


def test_every_machine_heard_of_gets_the_gaps() -> None:
    memory = Memory(4)
    memory.took([Reading("A", "x", T, 1.0, 0, T), Reading("B", "x", T + 5, 1.0, 0, T)])
    gaps = memory.gaps("mqtt_session_lost", T + 9, "", possible=False)
    assert [(g.machine, g.fields["of"], g.fields["t_from"], g.fields["t_to"]) for g in gaps] == [
        ("A", "signals", T, T + 9), ("A", "production", T, T + 9), ("B", "signals", T + 5, T + 9), ("B", "production", T + 5, T + 9),
    ]  # fmt: skip


def test_a_state_is_told_again_unless_the_machine_told_a_newer_one() -> None:
    memory = Memory(4)
    for machine in ("A", "B"):
        memory.took([Draft(machine, T, T, MachineStateChanged, {"state": "EXECUTE", "product": "P", "by": "machine"})])
    assert [(d.machine, d.fields["state"]) for d in memory.away(T + 9)] == [("A", "NO_DATA"), ("B", "NO_DATA")]
    assert memory.away(T + 10) == []
    memory = Memory(4, memory.state())
    memory.took([Draft("A", T + 20, T + 20, MachineStateChanged, {"state": "HELD"})])
    assert [(d.machine, d.fields["state"], d.time) for d in memory.back(T + 21)] == [("B", "EXECUTE", T + 21)]


def test_what_a_broker_cannot_keep_is_said() -> None:
    source = strict({"type": "mqtt", "url": "mqtt://h:1", "client_id": "c", "topics": TOPICS}, MqttSource, "x")
    promised = msgspec.structs.replace(source, queue="unlimited", qos=2)
    assert (shortfalls(source, Limits()), promises(source)) == ([], [])
    assert shortfalls(source, Limits(session_expiry=0xFFFF_FFFF, maximum_qos=2)) == []
    assert "after 60 s" in shortfalls(source, Limits(session_expiry=60))[0]
    assert shortfalls(source, Limits(session_expiry=60), kept=False) == []
    assert [words.split()[0] for words in shortfalls(promised, Limits(session_expiry=10**6, maximum_qos=1))] == [
        "the",
        "the",
    ]
    assert "QoS 0" in promises(msgspec.structs.replace(promised, qos=0))[0]
    assert "window" in promises(msgspec.structs.replace(source, window=10))[0]


def test_what_devices_did_while_the_gateway_was_down_is_no_data() -> None:
    memory = Memory(4)
    memory.took([Draft("M1", 100, 100, MachineStateChanged, {"state": "EXECUTE"})])
    again = Memory(4, memory.state())
    (lost,) = again.away(9_000, since=5_000)
    assert (lost.machine, lost.time, lost.fields["state"]) == ("M1", 5_000, "NO_DATA")
    assert again.away(9_500) == []
    (back,) = again.back(9_600)
    assert (back.time, back.fields["state"]) == (9_600, "EXECUTE")


def kept(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, 0, 0, False, T, True)


def test_what_a_broker_publishes_of_itself_is_read_and_nonsense_is_not() -> None:
    says = [
        kept("$SYS/broker/version", b"mosquitto version 2.0.11"),
        kept("$SYS/broker/uptime", b"70 seconds"),
        kept("$SYS/broker/publish/messages/dropped", b"12"),
        kept("$SYS/broker/clients/expired", b"1"),
        kept("$SYS/broker/other", b"5"),
    ]
    state = told(BrokerState(), says)
    assert state == BrokerState("mosquitto version 2.0.11", 70, 12, 1)
    for nonsense in (b"", b"many", b"\xff\xfe", b"-1", b"1.5", b" "):
        assert told(state, [kept("$SYS/broker/publish/messages/dropped", nonsense)]).dropped is None
    assert not told(BrokerState(), []).is_known
    source = strict({"type": "mqtt", "url": "mqtt://h:1", "client_id": "c", "topics": TOPICS}, MqttSource, "x")
    assert broken(source, BrokerState()) == broken(source, state._replace(dropped=0, expired=0)) == []
    dropped, ended = broken(source, state)
    assert "dropped 12 messages in the 70 s since its start" in dropped
    assert "ended 1 sessions" in ended
    assert forgot(state, 60.0) == forgot(state, None) == forgot(BrokerState(), 99.0) == []
    assert "had not kept our session" in forgot(state, 71.0)[0]


def test_topics_make_no_machine_beyond_the_bound_and_garbage_makes_none_at_all() -> None:
    templates = [
        {"filter": "plant/+/signal/+", "as": "signal", "machine": "{1}", "signal": "{3}", "time": "/ts", "value": "/v"},
        {"filter": "fixed", "as": "signal", "machine": "FIXED", "signal": "s"},
    ]
    found = Mapping("src", [strict(topic, TopicMap, "x") for topic in templates], [], most=2, heard=["OLD"])
    good = b'{"ts": 1, "v": 2}'
    for at in range(50):
        with pytest.raises(BadField):
            found.take(f"plant/G{at}/signal/a", b"nonsense", T)
        assert found.machine(f"plant/G{at}/signal/a") is None
    assert found.take("plant/NEW/signal/a", good, T)
    assert found.machine("plant/NEW/signal/a") == "NEW"
    for topic in ("plant/MORE/signal/a", "plant/G1/signal/a"):
        for _ in range(2):
            with pytest.raises(TooMany, match="max_machines = 2"):
                found.take(topic, good, T)
        assert found.machine(topic) is None
    for topic in ("plant/OLD/signal/b", "plant/NEW/signal/b", "plant/NEW/signal/a"):
        assert found.take(topic, good, T)
    assert found.take("fixed", b"1", T)
    assert found.machine("fixed") == "FIXED"
    listed = Mapping("src", [strict(templates[0], TopicMap, "x")], ["A", "B", "C"], most=1)
    for machine in "ABC":
        assert listed.take(f"plant/{machine}/signal/a", good, T)


@pytest.mark.parametrize(
    ("format", "as_", "removes"),
    [("json", "signal", True), ("cbor", "signal", True), ("msgpack", "signal", True), ("text", "signal", False), ("text", "state", True)],
)  # fmt: skip
def test_no_bytes_remove_a_retained_message_and_are_a_value_as_text_only(format: str, as_: str, removes: bool) -> None:
    topic = {"filter": "t/+", "as": as_, "machine": "M", "signal": "s", "format": format}
    found = Mapping("src", [strict(topic, TopicMap, "x")], [])
    assert found.is_removal("t/a", b"") is removes
    assert not found.is_removal("t/a", b" ")
    assert not found.is_removal("unknown", b"")
    if not removes:
        (reading,) = found.take("t/a", b"", T)
        assert isinstance(reading, Reading)
        assert reading.value == ""
