"""The pump line's own records through the lineage: a bad bearing lot traced forward is exactly what the line knows it hit."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from shinkei_events.identity import StreamId, operation_id
from shinkei_events.model.machine import SetupChanged
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.operation import Operation
from shinkei_plant.faults import Planned
from shinkei_plant.line import Line
from shinkei_plant.records import OperationDone, Record, SetupChange
from shinkei_plant.truth import Truth, TruthWriter
from shinkei_trace import ingest, rebuild
from shinkei_trace.query import backward, finished_goods, forward, resolve
from tests.support.lineage import EPOCH, part, record, schema

S = 1_000_000_000
ORIGIN = 1_795_468_800 * S


def played(minutes: int, *troubles: Planned, seed: int = 3) -> tuple[list[Numbered], dict[str, Truth], list[Record]]:
    truth = TruthWriter()
    line = Line(seed, ORIGIN, troubles=troubles, watch=truth)
    records = []
    for one in line.play(ORIGIN + minutes * 60 * S):
        truth.see(one)
        records.append(one)
    events = [event for number, one in enumerate(records, 1) if (event := told(number, one)) is not None]
    return events, truth.truths(), records


def told(number: int, one: Record) -> Numbered | None:
    """A record as the gateway would number it."""
    if not isinstance(one, OperationDone | SetupChange):
        return None
    own: dict[str, Any] = {
        "stream": StreamId(EPOCH, one.machine, "production"),
        "number": number,
        "signals": 0,
        "time": one.time,
        "received": one.time,
    }
    said = {name: getattr(one, name) for name in one.__struct_fields__ if name not in ("machine", "time", "counter")}
    if isinstance(one, OperationDone):
        return Operation(**own, operation_id=operation_id(one.machine, "cycle", one.ended, one.counter), **said)
    return SetupChanged(**own, **said)


@pytest.fixture
def database(embedded_postgres: str) -> Any:
    trace, store = part(schema(embedded_postgres), "trace"), part(embedded_postgres, "store")
    yield trace, store
    trace.close()
    store.close()


@pytest.mark.parametrize("order", ["as told", "shuffled"])
def test_a_bad_bearing_lot_is_found_in_exactly_its_parts(database: Any, order: str) -> None:
    trace, store = database
    events, truths, records = played(75, Planned("bad_bearing_lot", 240))
    if order == "shuffled":
        random.Random(7).shuffle(events)
    record(store, events)
    while ingest.project(trace, 700).events:
        pass
    truth = next(iter(truths.values()))
    assert truth.cause is not None
    (lot,) = resolve(trace, truth.cause)
    answer = forward(trace, lot)
    found = {node.unit: node for node in answer.nodes if node.depth and node.type != "shipment"}
    assert len(truth.hit) >= 90
    doubtful = {unit for unit, node in found.items() if node.certainty < 1.0}
    assert truth.affected <= found.keys()
    assert found.keys() - doubtful <= truth.affected, "what is sure to have the lot in it does have it"
    assert len(doubtful) < 80
    shipped = {node.unit for node in answer.nodes if node.type == "shipment"}
    pallets = {
        unit.id for one in records if isinstance(one, OperationDone) and one.kind == "ship" for unit in one.inputs
    }
    assert bool(shipped) == bool(pallets & truth.affected)
    goods = {good.serial for good, _ in finished_goods(trace, lot)}
    assert goods == {node.unit for node in answer.nodes if node.finished}
    pump = next(node.unit for node in answer.nodes if node.finished and node.certainty == 1.0)
    assert {node.unit for node in backward(trace, resolve(trace, pump)[0]).nodes} >= {truth.cause, pump}
    before = rebuild.state_hash(trace, recorded=True)
    rebuild.rebuild(trace)
    assert rebuild.state_hash(trace, recorded=True) == before


def test_a_worn_tool_is_found_in_exactly_its_parts(database: Any) -> None:
    trace, store = database
    events, truths, _ = played(45, Planned("tool_wear", 300))
    record(store, events)
    while ingest.project(trace).events:
        pass
    truth = next(iter(truths.values()))
    assert truth.cause is not None
    answer = forward(trace, resolve(trace, truth.cause)[0])
    direct = {node.unit for node in answer.nodes if node.relation == "mounted"}
    assert set(truth.hit) <= direct
    housings = [event for event in events if isinstance(event, Operation) and event.resources.tool == truth.cause]
    assert direct == {event.inputs[0].id for event in housings}


def test_every_event_survives_the_wire() -> None:
    events, _, _ = played(3)
    assert all(msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event for event in events)
