"""What the lineage answers: backward, forward and history, with certainty, time, setup, gaps and ``as_of``."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from shinkei_events.model.operation import QualityReading
from shinkei_trace import ingest
from shinkei_trace.planner import one_view
from shinkei_trace.query import Answer, backward, finished_goods, forward, history, nearest, resolve
from tests.support.lineage import EPOCH, T0, S, box, lot, operation, part, record, schema, serial, setup


class Plant:
    """A database and the two parts that write to it."""

    def __init__(self, dsn: str) -> None:
        self.trace, self.store, self.screen = part(schema(dsn), "trace"), part(dsn, "store"), part(dsn, "ui")
        self.screen.autocommit = True  # every question is asked with the rights of the screens

    def tell(self, *events: Any) -> int:
        numbers = record(self.store, list(events))
        while ingest.project(self.trace).events:
            pass
        return numbers[-1]

    def forward(self, unit: str, as_of: int | None = None) -> Answer:
        (found,) = resolve(self.screen, unit)
        return forward(self.screen, found, as_of)

    def backward(self, unit: str, as_of: int | None = None) -> Answer:
        (found,) = resolve(self.screen, unit)
        return backward(self.screen, found, as_of)


@pytest.fixture
def plant(embedded_postgres: str) -> Any:
    made = Plant(embedded_postgres)
    yield made
    made.trace.close()
    made.store.close()
    made.screen.close()


def units(answer: Answer) -> dict[str, float]:
    return {node.unit: node.certainty for node in answer.nodes if node.depth}


def test_a_lot_to_the_shipments_and_back(plant: Plant) -> None:
    plant.tell(
        operation("receive", 0, outputs=[lot("BRG")]),
        operation("assemble", 10, [serial("H1"), lot("BRG")], [serial("P1")]),
        operation(
            "assemble", 12, [serial("H2"), lot("BRG", certainty=0.5), lot("BRG2", certainty=0.5)], [serial("P2")]
        ),
        operation("assemble", 14, [serial("H3"), lot("BRG2")], [serial("P3")]),
        operation("pack", 20, [serial("P1"), serial("P2"), serial("P3")], [box("B")]),
        operation("pack", 30, [box("B")], [box("PAL")]),
        operation("ship", 40, [box("PAL")], order="SH-1", to="Kitano"),
    )
    down = plant.forward("BRG")
    assert units(down) == {"P1": 1.0, "P2": 0.5, "B": 1.0, "PAL": 1.0, "SH-1": 1.0}
    assert next(node for node in down.nodes if node.unit == "SH-1").item == "Kitano"
    assert units(plant.backward("P2")) == {"H2": 1.0, "BRG": 0.5, "BRG2": 0.5}
    assert units(plant.backward("SH-1")).keys() == {"PAL", "B", "P1", "P2", "P3", "H1", "H2", "H3", "BRG", "BRG2"}
    (lot_found,) = resolve(plant.screen, "BRG")
    assert [(good.serial, sure) for good, sure in finished_goods(plant.screen, lot_found)] == [("P1", 1.0), ("P2", 0.5)]


def test_what_left_the_box_was_not_shipped(plant: Plant) -> None:
    plant.tell(
        operation("pack", 10, [serial("A"), serial("B")], [box("X")]),
        operation("unpack", 20, [box("X")], [serial("A")]),
        operation("ship", 30, [box("X")], order="SH-1"),
        operation("pack", 40, [serial("A")], [box("Y")]),
    )
    assert units(plant.forward("A")).keys() == {"X", "Y"}
    assert units(plant.forward("B")).keys() == {"X", "SH-1"}
    assert units(plant.backward("SH-1")).keys() == {"X", "B"}


def test_what_was_poured_in_later_is_not_in_what_was_drawn_before(plant: Plant) -> None:
    plant.tell(
        operation("merge", 10, [lot("M1")], [lot("SILO")]),
        operation("process", 20, [lot("SILO")], [serial("EARLY")]),
        operation("merge", 30, [lot("M2")], [lot("SILO")]),
        operation("process", 40, [lot("SILO")], [serial("LATE")]),
    )
    assert units(plant.forward("M2")).keys() == {"SILO", "LATE"}
    assert units(plant.forward("M1")).keys() == {"SILO", "EARLY", "LATE"}
    assert units(plant.backward("EARLY")).keys() == {"SILO", "M1"}


def test_as_of_tells_what_was_believed_then(plant: Plant) -> None:
    wrong = operation("assemble", 10, [serial("H"), lot("BAD")], [serial("P")])
    before = plant.tell(wrong)
    plant.tell(operation("assemble", 10, [serial("H"), lot("GOOD")], [serial("P")], corrects=wrong.operation_id))
    assert units(plant.backward("P")).keys() == {"H", "GOOD"}
    assert units(plant.backward("P", as_of=before)).keys() == {"H", "BAD"}
    steps = history(plant.screen, resolve(plant.screen, "P")[0])
    assert [bool(step.corrected_by) for step in steps] in ([True, False], [False, True])


def test_tools_and_unclear_reels_by_what_was_mounted(plant: Plant) -> None:
    doubt = {"certainty": 0.5, "not_before": T0 + 20 * S, "not_after": T0 + 30 * S}
    plant.tell(
        setup("mounted", 0, "T1"), setup("mounted", 0, "R1", slot="reel", unit_type="material"),
        operation("process", 10, [serial("A")]), operation("process", 25, [serial("B")]), operation("process", 40, [serial("C")]),
        setup("unmounted", 30, "R1", slot="reel", unit_type="material", **doubt), setup("mounted", 30, "R2", slot="reel", unit_type="material", **doubt),
        setup("mounted", 35, "T2"),
    )  # fmt: skip
    assert units(plant.forward("T1")) == {"A": 1.0, "B": 1.0}
    assert units(plant.forward("R1")) == {"A": 1.0, "B": 0.5}
    assert units(plant.forward("R2")) == {"B": 0.5, "C": 1.0}
    assert units(plant.backward("B")) == {"T1": 1.0, "R1": 0.5, "R2": 0.5}


def test_a_new_name_is_the_same_thing(plant: Plant) -> None:
    plant.tell(
        operation("assemble", 10, [lot("L")], [serial("OLD")]),
        operation("relabel", 20, [serial("OLD")], [serial("NEW")]),
        operation("pack", 30, [serial("NEW")], [box("B")]),
        operation("assemble", 40, [serial("OLD")], [serial("CAR")]),  # scanned by its old name
    )
    assert units(plant.forward("L")).keys() == {"OLD", "NEW", "B", "CAR"}
    assert units(plant.forward("NEW")).keys() == {"OLD", "B", "CAR"}
    assert units(plant.backward("CAR")).keys() == {"OLD", "L", "NEW"}


def test_a_circle_ends(plant: Plant) -> None:
    plant.tell(
        operation("process", 10, [lot("A")], [lot("B")]),
        operation("process", 11, [lot("B", certainty=0.5)], [lot("A")]),
    )
    assert units(plant.forward("A")) == {"B": 1.0}
    assert units(plant.backward("A")) == {"B": 0.5}


def test_gaps_that_matter_are_told(plant: Plant) -> None:
    machine(plant.store, "OP1", [])
    machine(plant.store, "OP2", ["OP1"])
    plant.tell(
        operation("process", 5, [serial("X")], station="OP2"), operation("process", 10, [serial("A")]), operation("process", 20, [serial("A")]),
        operation("process", 100, [serial("Z")]),
    )  # fmt: skip
    gap(plant.store, "before", "OP1", 1, 2)
    gap(plant.store, "within", "OP1", 12, 14)
    gap(plant.store, "after", "OP1", 30, 40)
    gap(plant.store, "next", "OP2", 50, 60)
    gap(plant.store, "long ago", "OP2", 2, 3)
    crossed = {one.id: one.why for one in plant.forward("A").gaps}
    assert crossed == {"before": "within", "within": "within", "after": "within", "next": "beyond"}
    assert {one.id for one in plant.backward("Z").gaps} >= {"after"}


def test_history_has_readings_with_the_limits_of_their_time(plant: Plant) -> None:
    with plant.store.transaction():
        for version, valid_from, usl in ((1, 0, 3.0), (2, T0 + 50 * S, 2.0)):
            body = f'{{"product": "P-1", "operation": "OP1", "characteristic": "leak", "unit": "ml", "lsl": 0.0, "usl": {usl}}}'
            plant.store.execute(
                "insert into master_data values ('characteristic', 'c', %s, %s, false, %s)", (version, valid_from, body)
            )
    plant.tell(
        setup("mounted", 0, "T1"),
        operation("inspect", 10, [serial("A")], readings=[QualityReading("leak", 2.5)], product="P-1", result="pass"),
        operation(
            "inspect",
            60,
            [serial("A")],
            readings=[QualityReading("leak", 2.5), QualityReading("curve", [1, 2])],
            product="P-1",
            result="fail",
        ),
    )
    first, second = history(plant.screen, resolve(plant.screen, "A")[0])
    assert (first.readings[0]["usl"], first.readings[0]["within"]) == (3.0, True)
    assert (second.readings[0]["usl"], second.readings[0]["within"], second.readings[1]["within"]) == (2.0, False, None)
    assert first.mounted == [{"slot": "tool", "type": "tool", "unit": "T1", "certainty": 1.0}]
    assert first.signals_stream == f"{EPOCH}/OP1/signals"


def test_an_unknown_unit_has_nearest_ones(plant: Plant) -> None:
    plant.tell(operation("process", 1, [serial("HS-0V7K-000012"), serial("HS-0V7K-000013")]), operation("pack", 2, [serial("100%")], [box("SAME")]),
               operation("process", 3, [serial("SAME")]))  # fmt: skip
    assert resolve(plant.screen, "HS-0V7K-00001") == []
    assert [one.serial for one in nearest(plant.screen, "HS-0V7K-00001x")] == ["HS-0V7K-000012", "HS-0V7K-000013"]
    assert [one.serial for one in nearest(plant.screen, "100%zz")] == ["100%"]
    assert {one.type for one in resolve(plant.screen, "SAME")} == {"serial", "container"}
    assert [one.type for one in resolve(plant.screen, "container:SAME")] == ["container"]


def test_one_start_is_planned_as_a_few_rows(plant: Plant) -> None:
    with plant.trace.transaction():
        plant.trace.execute(
            """insert into edge select n / 4, n, n, null, gen_random_uuid(), 'consumed', 1, 1, 1, null from generate_series(1, 40000) n"""
        )
    with plant.store.transaction():
        plant.store.execute("set local role none")
        plant.store.execute("analyze edge")
    plan = plant.trace.execute("explain (format json) select dst from edge where src = any(array[77])").fetchone()
    assert plan is not None
    assert plan[0][0]["Plan"]["Plan Rows"] < 1000


def machine(conn: Connection[Any], name: str, upstream: list[str]) -> None:
    import json

    with conn.transaction():
        body = json.dumps({"path": f"s/a/l/{name}", "upstream": upstream, "operation": name})
        conn.execute("insert into master_data values ('machine', %s, 1, 0, false, %s)", (name, body))


def gap(conn: Connection[Any], id: str, machine: str, begin: int, end: int) -> None:
    with conn.transaction():
        conn.execute(
            "insert into gap (id, of_stream, machine, kind, cause, t_from, t_to) values (%s, %s, %s, 'production', 'session_lost', %s, %s)",
            (id, f"{EPOCH}/{machine}/production", machine, T0 + begin * S, T0 + end * S),
        )


def test_an_answer_is_one_view_and_walks_indexes(plant: Plant) -> None:
    plant.tell(operation("process", 1, [lot("L")], [serial("A")]))
    with one_view(plant.screen):
        before = plant.screen.execute("select count(*) from edge").fetchone()
        plant.tell(operation("process", 2, [lot("L")], [serial("B")]))
        assert plant.screen.execute("select count(*) from edge").fetchone() == before
        plan = plant.screen.execute("explain select dst from edge where src = any(array[1, 2])").fetchall()
        assert not any("Seq Scan" in line for (line,) in plan)
        with one_view(plant.screen):  # a part of the same
            assert plant.screen.execute("select count(*) from edge").fetchone() == before
    assert plant.screen.execute("show enable_seqscan").fetchone() == ("on",)
