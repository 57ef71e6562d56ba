"""When a machine may be answered, and when never again."""

from __future__ import annotations

from typing import Any

import pytest

from shinkei_events.errors import BadInput
from shinkei_events.identity import operation_id
from shinkei_events.model.operation import Operation
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.handshake import Cycle, Edge
from shinkei_gateway.offered import Draft
from shinkei_gateway.opcua.answer import KEPT, Due, Now, Open, answer_of, fitting
from shinkei_gateway.opcua.settings import Answers, HandshakeNodes

S = 10**9
T = 1_700_000_000 * S
SETTINGS = strict(
    {"user": {"name": "answers", "password": "env:P"}, "nodes": [{"node": "s=Ack", "values": [1, 2]}], "within": "10s"},
    Answers,
    "answers",
)


def due(number: int = 1, value: Any = 1, node: str = "s=Ack", handshake: str = "cycle") -> Due:
    return Due(f"o{number}", handshake, T + number * S, node, value, T + number * S)


def now(after: float = 0.0, newest: int = 1, skew: int = 0) -> Now:
    return Now(T + S + int(after * S), skew, lambda _handshake: T + newest * S)


def outcomes(found: Open, at: Now) -> list[tuple[str, str]]:
    return [(ended.due.operation_id, ended.outcome) for ended in found.hopeless(at)]


def test_what_is_allowed_new_and_awaited_may_be_written_once_durable() -> None:
    found = Open(SETTINGS)
    assert found.add([due()]) == [due()]
    assert found.first(lambda _: False) is None
    assert found.first(lambda _: True) == due()
    assert found.judge(due(), now()) is None
    assert outcomes(found, now()) == []


@pytest.mark.parametrize(
    ("wanted", "at", "outcome"),
    [
        (due(value=3), now(), "not_allowed"),
        (due(value=True), now(), "not_allowed"),
        (due(value="1"), now(), "not_allowed"),
        (due(node="s=Speed"), now(), "not_allowed"),
        (due(), now(newest=2), "superseded"),
        (due(), now(newest=-3600), "superseded"),  # the clock was set back, then came the next edge
        (due(), now(after=10.1), "late"),
        (due()._replace(since=T + 60 * S), now(after=11.0), "late"),
        (due(), now(after=9.0, skew=-2 * S), None),
        (due(), now(after=9.0, skew=2 * S), "late"),
    ],
)
def test_what_must_not_be_written_is_told_why(wanted: Due, at: Now, outcome: str | None) -> None:
    found = Open(SETTINGS)
    found.add([wanted])
    assert outcomes(found, at) == ([] if outcome is None else [("o1", outcome)])


def test_without_a_list_nothing_may_be_written() -> None:
    found = Open(None, Open(SETTINGS).state() | {"due": [list(due())], "begun": [], "ended": {}})
    assert outcomes(found, now()) == [("o1", "not_allowed")]


def test_what_was_begun_is_never_begun_again() -> None:
    found = Open(SETTINGS)
    found.add([due()])
    found.begin(due())
    next_process = Open(SETTINGS, found.state())
    assert next_process.first(lambda _: True) is None
    assert outcomes(next_process, now()) == [("o1", "unproven")]


def test_an_operation_is_answered_once_also_when_it_is_told_again_after_a_restart() -> None:
    found = Open(SETTINGS)
    found.add([due()])
    assert found.add([due()]) == []
    found.end(due())
    next_process = Open(SETTINGS, found.state())
    assert next_process.add([due()]) == []
    assert next_process.add([due(2)]) == [due(2)]
    for number in range(3, KEPT + 10):
        next_process.add([due(number)])
        next_process.end(due(number))
    assert len(next_process.state()["ended"]) == KEPT


HANDSHAKE = {"name": "cycle", "trigger": "s=T", "operation": "s=O", "answer": {"node": "s=Ack", "good": 1, "bad": 2}}


@pytest.mark.parametrize(
    ("type_", "unknown", "value"), [(Operation, [], 1), (Operation, ["result"], 2), (Quarantined, [], 2)]
)
def test_good_is_a_whole_operation_and_nothing_less(type_: Any, unknown: list[str], value: int) -> None:
    handshake = strict(HANDSHAKE, HandshakeNodes, "h")
    cycle, item = Cycle(Edge(T, 7), None, {}, [], 0), Draft("M1", T, T, type_, {"unknown": unknown})
    found = answer_of(handshake, "M1", cycle, item, T + 5)
    assert found == Due(operation_id("M1", "cycle", T, 7), "cycle", T, "s=Ack", value, T + 5)


def test_where_no_bad_answer_is_named_none_is_given() -> None:
    handshake = strict(HANDSHAKE | {"answer": {"node": "s=Ack", "good": 1}}, HandshakeNodes, "h")
    cycle, item = Cycle(Edge(T, 7), None, {}, [], 0), Draft("M1", T, T, Quarantined, {})
    assert answer_of(handshake, "M1", cycle, item, T) is None


@pytest.mark.parametrize(
    ("value", "type_", "written"),
    [(True, 1, True), (1, 2, 1), (255, 3, 255), (-1, 4, -1), (2**32 - 1, 7, 2**32 - 1), (1, 11, 1.0), (0.5, 10, 0.5), ("ok", 12, "ok")],
)  # fmt: skip
def test_a_value_goes_in_the_nodes_own_type(value: Any, type_: int, written: Any) -> None:
    found = fitting(value, type_)
    assert (found, type(found)) == (written, type(written))


@pytest.mark.parametrize(
    ("value", "type_"), [(1, 1), (True, 6), (256, 3), (-1, 5), (1.0, 6), (1, 12), ("1", 6), (True, 11), (2**63, 8)]
)
def test_a_value_that_would_be_another_one_there_is_refused(value: Any, type_: int) -> None:
    with pytest.raises(BadInput, match="does not fit"):
        fitting(value, type_)
