"""The projection on a real server: idempotent, independent of order and batches, the same when it is made again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from psycopg import Connection

from shinkei_trace import fold, ingest, rebuild, slots
from shinkei_trace.facts import OperationFact, SetupFact, UnitKey, fact_of
from tests.support.lineage import box, lot, operation, part, record, schema, serial, setup, some_operations


@pytest.fixture
def trace(embedded_postgres: str) -> Any:
    conn = part(schema(embedded_postgres), "trace")
    yield conn
    conn.close()


@pytest.fixture
def recorder(trace: Connection[Any], embedded_postgres: str) -> Any:
    conn = part(embedded_postgres, "store")
    yield conn
    conn.close()


def catch_up(conn: Connection[Any], batch: int = 1000) -> int:
    while (done := ingest.project(conn, batch)).events:
        pass
    return done.number


def edges(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        """select a.kind, a.serial, b.kind, b.serial, e.t_from, e.t_to, e.ev, e.kind, e.qty, e.certainty
           from edge e join unit a on a.id = e.src join unit b on b.id = e.dst where e.rec_to is null"""
    ).fetchall()
    return sorted(((UnitKey(*r[:2]), UnitKey(*r[2:4]), *r[4:6], r[6].hex, *r[7:]) for r in rows), key=repr)


def clear(trace: Connection[Any], recorder: Connection[Any]) -> None:
    """An empty record and lineage, for another order of arrival."""
    with trace.transaction():
        trace.execute("truncate unit, event, edge, setup, top_closure, seen, conflict, finding")
        trace.execute("update trace_position set number = 0")
    with recorder.transaction():
        recorder.execute("set local role none")
        recorder.execute("truncate event_raw")
        recorder.execute("update event_raw_end set number = 0")


def test_packing_and_unpacking_late(trace: Connection[Any], recorder: Connection[Any]) -> None:
    packed = operation("pack", 10, [serial("A"), serial("B")], [box("X")])
    unpacked = operation("unpack", 20, [box("X")], [serial("A")])
    record(recorder, [packed])
    catch_up(trace)
    record(recorder, [operation("pack", 30, [box("X")], [box("P")]), unpacked])
    catch_up(trace)
    now = {(row[0].id, row[1].id): row[3] for row in edges(trace)}
    assert now == {("A", "X"): unpacked.ended, ("B", "X"): None, ("X", "P"): None}
    believed = trace.execute("select count(*) from edge where rec_to is not null").fetchone()
    assert believed == (1,)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_any_batches_give_the_same(trace: Connection[Any], recorder: Connection[Any], seed: int) -> None:
    rng = random.Random(seed)
    events = some_operations(rng)
    facts = [fact for number, event in enumerate(events, 1) if (fact := fact_of(number, event)) is not None]
    reference = [tuple(edge) for edge in fold.fold(fact for fact in facts if isinstance(fact, OperationFact))]
    intervals = sorted(slots.fold_slot(fact for fact in facts if isinstance(fact, SetupFact)), key=repr)
    hashes = None
    for attempt in range(4):
        arrived = list(events)
        if attempt:
            rng.shuffle(arrived)
            arrived += rng.sample(arrived, 5)  # repeats
        numbers = record(recorder, arrived)
        assert numbers[-1] == len(arrived)
        while ingest.project(trace, rng.choice([1, 2, 7, 100]) if attempt > 1 else 1000).events:
            pass
        assert edges(trace) == reference
        rows = trace.execute(
            "select s.machine, s.slot, u.kind, u.serial, s.t_from, s.t_to, s.ev, s.certainty from setup s join unit u on u.id = s.unit where rec_to is null"
        ).fetchall()
        assert (
            sorted((slots.Interval(*r[:2], UnitKey(*r[2:4]), *r[4:6], r[6].hex, r[7]) for r in rows), key=repr)
            == intervals
        )
        assert closure(trace) == wanted_closure(reference)
        now = rebuild.state_hash(trace)
        trace.rollback()
        hashes = hashes or now
        assert now == hashes
        before = rebuild.state_hash(trace, recorded=True)
        rebuild.rebuild(trace, batch=rng.choice([3, 1000]))
        assert rebuild.state_hash(trace, recorded=True) == before
        trace.rollback()
        clear(trace, recorder)


def closure(conn: Connection[Any]) -> dict[tuple[UnitKey, UnitKey], float]:
    rows = conn.execute(
        """select a.kind, a.serial, g.kind, g.serial, c.certainty
           from top_closure c join unit a on a.id = c.ancestor join unit g on g.id = c.finished_good"""
    ).fetchall()
    return {(UnitKey(*row[:2]), UnitKey(*row[2:4])): row[4] for row in rows}


def wanted_closure(rows: list[tuple[Any, ...]]) -> dict[tuple[UnitKey, UnitKey], float]:
    """By the definition: packed or shipped parts that went into nothing, and everything below them."""
    used = {src for src, _, _, _, _, kind, *_ in rows if kind in ("consumed", "relabelled")}
    goods = {
        src for src, _, _, _, _, kind, *_ in rows if kind in ("packed", "shipped") and src.type in ("serial", "lot")
    } - used
    best = {(good, good): 1.0 for good in goods}
    for _ in range(len(rows)):
        for src, dst, _, _, _, kind, _, sure in rows:
            for good in goods if kind in ("consumed", "relabelled", "removed") else ():
                reached = round(best.get((dst, good), 0.0) * sure, 6)
                if src != good and reached > best.get((src, good), 0.0):
                    best[src, good] = reached
    return {pair: sure for pair, sure in best.items() if pair[0] != pair[1]}


def test_a_repeat_is_one_and_a_conflict_is_shown(trace: Connection[Any], recorder: Connection[Any]) -> None:
    first = operation("assemble", 5, [serial("A"), lot("L")], [serial("P")], id="x")
    again = operation("assemble", 5, [serial("A"), lot("L")], [serial("P")], id="x")
    other = operation("assemble", 5, [serial("A"), lot("M")], [serial("P")], id="x")
    record(recorder, [first, again, other])
    done = ingest.project(trace)
    assert (done.facts, done.repeats, done.conflicts) == (1, 1, 1)
    assert {(row[0].id, row[1].id) for row in edges(trace)} == {("A", "P"), ("L", "P")}
    assert trace.execute("select raw_number, first_number from conflict").fetchall() == [(3, 1)]


def test_a_batch_that_is_not_committed_leaves_nothing(
    trace: Connection[Any], recorder: Connection[Any], embedded_postgres: str
) -> None:
    record(recorder, [operation("assemble", 5, [serial("A")], [serial("P")]), setup("mounted", 1, "T1")])
    with part(embedded_postgres, "trace") as killed:
        killed.execute("select number from trace_position for update")
        ingest.project_after(killed, 0, 100)
        killed.rollback()  # what the server does when the connection of a killed process ends
    catch_up(trace)
    once = rebuild.state_hash(trace, recorded=True)
    trace.rollback()
    assert ingest.project(trace).events == 0
    assert rebuild.state_hash(trace, recorded=True) == once
    assert len(edges(trace)) == 1


def test_finished_goods_follow_corrections(trace: Connection[Any], recorder: Connection[Any]) -> None:
    wrong = operation("assemble", 10, [serial("BODY"), lot("BAD")], [serial("PUMP")], id="w")
    record(
        recorder,
        [
            operation("process", 5, [lot("MELT")], [serial("BODY")]),
            wrong,
            operation("pack", 20, [serial("PUMP")], [box("BOX")]),
        ],
    )
    catch_up(trace)
    assert goods(trace, "MELT") == goods(trace, "BAD") == {"PUMP": 1.0}
    record(
        recorder,
        [
            operation(
                "assemble",
                10,
                [serial("BODY"), lot("GOOD", certainty=0.5)],
                [serial("PUMP")],
                corrects=wrong.operation_id,
            )
        ],
    )
    catch_up(trace)
    assert goods(trace, "BAD") == {}
    assert goods(trace, "GOOD") == {"PUMP": 0.5}
    record(recorder, [operation("assemble", 30, [serial("PUMP")], [serial("CAR")])])
    catch_up(trace)
    assert goods(trace, "MELT") == {}


def goods(conn: Connection[Any], ancestor: str) -> dict[str, float]:
    rows = conn.execute(
        "select g.serial, c.certainty from top_closure c join unit a on a.id = c.ancestor join unit g on g.id = c.finished_good where a.serial = %s",
        (ancestor,),
    ).fetchall()
    return dict(rows)


def test_an_event_that_cannot_be_read_is_found_and_does_not_stop_its_neighbours(
    trace: Connection[Any], recorder: Connection[Any]
) -> None:
    record(
        recorder,
        [
            operation("process", 1, [serial("A")]),
            operation("process", 2, [serial("B")]),
            operation("process", 3, [serial("C")]),
        ],
    )
    with recorder.transaction():
        recorder.execute("set local role none")
        recorder.execute("update event_raw set body = '{' where number = 2")
    assert catch_up(trace) == 3
    assert trace.execute("select raw_number, kind from finding").fetchall() == [(2, "unreadable")]
    assert trace.execute("select serial from unit order by serial").fetchall() == [("A",), ("C",)]


def test_made_again_it_stops_where_it_stood(trace: Connection[Any], recorder: Connection[Any]) -> None:
    record(recorder, [operation("process", 1, [lot("L")], [serial("A")])])
    catch_up(trace)
    record(recorder, [operation("process", 2, [lot("L")], [serial("B")])])  # recorded, not projected yet
    made = rebuild.rebuild(trace, batch=1, compare=True)
    assert (made.number, made.same) == (1, True)
    with trace.transaction():
        trace.execute("update edge set qty = 7")  # somebody's hand
    assert not rebuild.rebuild(trace, compare=True).same
    catch_up(trace)
    assert len(edges(trace)) == 2
