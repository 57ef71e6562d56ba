"""A finished cycle as an operation: what nodes of their own say of parts, resources and result, beside a text or without one."""

from __future__ import annotations

from typing import Any

import pytest

from shinkei_events.errors import BadConfig
from shinkei_events.model.operation import Operation, Resources, Unit
from shinkei_events.settings import strict
from shinkei_gateway.cycle import operation_of, read_operation
from shinkei_gateway.handshake import OPERATION, Cycle, Edge
from shinkei_gateway.opcua.cycles import Cycles, meaning_of
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.sample import Sample
from shinkei_gateway.opcua.settings import HandshakeNodes, OpcuaSource, check_opcua
from shinkei_gateway.said import Taken

NODES = {
    "name": "unload", "trigger": "i=1", "kind": "assemble", "results": {"1": "pass", "2": "fail"},
    "inputs": [{"node": "i=2", "item": "housing"}, {"node": "i=3", "type": "lot", "item": "bearing", "quantity": 2.0}],
    "outputs": [{"node": "i=4", "item": "pump"}], "resources": {"tool": "i=5", "operator_group": "i=6"}, "product": "i=7", "result": "i=8",
    "readings": {"depth": "i=9"},
}  # fmt: skip
VALUES = {
    "@in.0": 4711.0, "@in.1": ["L1", "L2"], "@out.0": "P1\x00", "@resource.tool": "T9", "@resource.operator_group": "early", "@product": "PUMP",
    "@result": 2, "depth": 1.5,
}  # fmt: skip


def made(values: dict[str, Any], unknown: list[str] | None = None, **more: Any) -> dict[str, Any]:
    nodes = strict(NODES | more, HandshakeNodes, "x")
    taken = {role: Taken(95, value, 0) for role, value in values.items()}
    return operation_of(
        "M", "unload", Cycle(Edge(100, 7), Edge(40, 6), taken, unknown or [], 0), 120, meaning_of(nodes)
    ).fields


def test_nodes_of_their_own_make_an_operation() -> None:
    fields = made(VALUES)
    assert (fields["kind"], fields["started"], fields["ended"], fields["unknown"]) == ("assemble", 40, 100, [])
    assert fields["inputs"] == [
        Unit("4711", "serial", "housing"), Unit("L1", "lot", "bearing", 2.0), Unit("L2", "lot", "bearing", 2.0)
    ]  # fmt: skip
    assert fields["outputs"] == [Unit("P1", "serial", "pump")]
    assert fields["resources"] == Resources(tool="T9", operator_group="early")
    assert (fields["product"], fields["result"]) == ("PUMP", "fail")
    assert [reading.name for reading in fields["readings"]] == ["depth"]


def test_what_did_not_come_or_is_bad_is_unknown_by_name() -> None:
    fields = made(
        {"@in.1": "L1", "@out.0": "", "@product": "PUMP"},
        ["@in.0", "@resource.tool", "@resource.operator_group", "@result", "depth"],
    )
    assert fields["unknown"] == ["inputs", "resources.tool", "resources.operator_group", "result", "readings.depth"]
    assert fields["outputs"] == [], "an empty text says that there is none"
    assert fields["result"] == "unknown"


@pytest.mark.parametrize(
    ("value", "result"),
    [(True, "pass"), (False, "fail"), ("OK", "pass"), ("rework", "rework"), ("1", "pass"), (9, "unknown")],
)
def test_results_are_mapped(value: Any, result: str) -> None:
    assert made({"@result": value})["result"] == result


def test_the_text_goes_before_the_nodes_and_they_fill_what_it_leaves_out() -> None:
    said = read_operation(
        '{"kind": "inspect", "station": "S", "started": 1, "ended": 100, "inputs": [{"id": "X", "type": "serial"}], "resources": {"tool": "T1"}}'
    )
    fields = made(VALUES | {OPERATION: said}, operation="i=20")
    assert (fields["kind"], fields["station"], fields["inputs"]) == ("inspect", "S", [Unit("X", "serial")])
    assert fields["resources"] == Resources(tool="T1", operator_group="early")
    assert (fields["outputs"], fields["result"]) == ([Unit("P1", "serial", "pump")], "fail")
    assert made({OPERATION: said, "@out.0": "P1"}, ["@in.0", "@result"], operation="i=20")["unknown"] == ["result"]


def source(**handshake: Any) -> OpcuaSource:
    raw = {
        "type": "opcua",
        "url": "opc.tcp://h:1",
        "machine": "M",
        "security": "none",
        "handshakes": [NODES | handshake],
    }
    return strict(raw, OpcuaSource, "x")


def test_the_same_edge_gives_the_same_operation_after_a_crash() -> None:
    settings = source()
    items = plan(settings)
    by_role = {item.name: item for item in items}
    trigger = by_role["unload"]

    def edge(cycles: Cycles, serial: str) -> list[Any]:
        for role, value in (VALUES | {"@in.0": serial}).items():
            cycles.value(by_role[role], Sample(value, 0, 95, None), 95)
        cycles.trigger(trigger, 7, 100, 0)
        return cycles.finish(120, 10**9)[0]

    before = Cycles("src", settings, items)
    before.trigger(trigger, 6, 40, 0)
    before.finish(50, 10**10)
    kept = before.state()
    (first,) = edge(before, "S1")
    after = Cycles("src", settings, items)
    after.restore(kept, 0)
    (again,) = edge(after, "S1")
    assert first.type is Operation
    assert first.fields == again.fields
    assert edge(after, "S1") == []


@pytest.mark.parametrize(
    "more", [{"readings": {"@in.0": "i=3"}}, {"product": "ns=2;i=1"}, {"inputs": [{"node": "nothing"}]}]
)
def test_wrong_nodes_are_named(more: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match="handshakes"):
        check_opcua(source(**more), "gateway.sources.s")
