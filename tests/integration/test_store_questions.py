"""The store's answers on small data whose right answer can be worked out by hand: states, signals, parts, counts, OEE, gaps, progress."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.support.store import (
    EPOCH,
    T0,
    Databases,
    S,
    add_event,
    add_master,
    add_operation,
    add_state,
    add_stream,
    migrated,
    one,
    owner_of,
)  # fmt: skip

SERVERS = ["embedded_server", pytest.param("postgres_server", marks=pytest.mark.needs("postgres"))]
HOUR = 3600
BAD = 0x80000000


@pytest.fixture(params=SERVERS)
def db(request: pytest.FixtureRequest) -> Iterator[Connection[Any]]:
    server: Databases = request.getfixturevalue(request.param)
    with owner_of(migrated(server)) as conn:
        yield conn


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(T0 / S, UTC) + timedelta(seconds=seconds)


def after(time: datetime) -> float:
    return (time - at(0)).total_seconds()


# ---- states ------------------------------------------------------------------------------------------------------------
def states(db: Connection[Any], begin: float, end: float) -> list[tuple[Any, ...]]:
    rows = db.execute(
        "select t0, t1, state, reason from machine_states('OP10', %s, %s)", (at(begin), at(end))
    ).fetchall()
    return [(after(t0), after(t1), state, reason) for t0, t1, state, reason in rows]


def test_states_are_cut_to_the_span_and_nothing_known_is_no_data(db: Connection[Any]) -> None:
    stream = add_stream(db, "OP10")
    for when, state, reason in (
        (200.0, "HELD", "jam"),
        (100.0, "EXECUTE", None),
        (260.5, "EXECUTE", None),
    ):  # any order of arrival
        add_state(db, stream, "OP10", when, state, reason)
    assert states(db, 0, 300) == [
        (0, 100, "NO_DATA", None),
        (100, 200, "EXECUTE", None),
        (200, 260.5, "HELD", "jam"),
        (260.5, 300, "EXECUTE", None),
    ]
    assert states(db, 150, 220) == [(150, 200, "EXECUTE", None), (200, 220, "HELD", "jam")]
    assert states(db, 100, 200) == [(100, 200, "EXECUTE", None)]
    assert states(db, 300, 400) == [(300, 400, "EXECUTE", None)]
    assert states(db, 0, 50) == [(0, 50, "NO_DATA", None)]


def test_a_state_that_lasted_no_time_is_left_out(db: Connection[Any]) -> None:
    stream = add_stream(db, "OP10")
    add_state(db, stream, "OP10", 10, "IDLE", number=1)
    add_state(db, stream, "OP10", 20, "STOPPING", number=2)
    add_state(db, stream, "OP10", 20, "STOPPED", number=3)
    assert states(db, 10, 30) == [(10, 20, "IDLE", None), (20, 30, "STOPPED", None)]


# ---- signals -----------------------------------------------------------------------------------------------------------
def add_readings(db: Connection[Any], count: int, every: float = 1.0, bad: tuple[int, ...] = ()) -> int:
    """Readings 0, 1, 2 … of OP10/torque, and their roll-ups as the recorder adds them up."""
    signal = one(db, "insert into signal (machine, name) values ('OP10', 'torque') returning id")
    with db.cursor() as cursor:
        cursor.executemany(
            "insert into reading (signal_id, ts, status, stream_id, number, t_ns, value) values (%s, %s, %s, 1, %s, %s, %s)",
            [
                (signal, at(n * every), BAD if n in bad else 0, n + 1, T0 + int(n * every * S), float(n))
                for n in range(count)
            ],
        )
    for level in (60, 900, 3600):
        db.execute(
            """insert into rollup select signal_id, %s, date_bin(%s * interval '1 s', ts, 'epoch'), count(*), coalesce(sum(value) filter (where status = 0), 0), 0,
               min(value) filter (where status = 0), max(value) filter (where status = 0), count(*) filter (where status > 0) from reading group by 1, 3""",
            (level, level),
        )
    return int(signal)


def ask(db: Connection[Any], begin: float, end: float, points: int, signal: str = "torque") -> list[tuple[Any, ...]]:
    return db.execute(
        "select * from read_signal('OP10', %s, %s, %s, %s)", (signal, at(begin), at(end), points)
    ).fetchall()


def test_few_readings_come_as_they_are_and_bad_ones_have_no_value(db: Connection[Any]) -> None:
    add_readings(db, 10, bad=(3,))
    rows = ask(db, 2, 6, 100)
    assert [(after(r[0]), r[1], r[4], r[5], r[6]) for r in rows] == [
        (2, 2.0, 1, 0, "rows"),
        (3, None, 1, 1, "rows"),
        (4, 4.0, 1, 0, "rows"),
        (5, 5.0, 1, 0, "rows"),
    ]


def test_many_readings_come_in_bins_that_leave_none_out(db: Connection[Any]) -> None:
    add_readings(db, 100, bad=(7,))
    rows = ask(db, 0, 100, 10)
    assert [(after(r[0]), r[2], r[3], r[4], r[5]) for r in rows][:2] == [(0, 0.0, 9.0, 10, 1), (10, 10.0, 19.0, 10, 0)]
    assert rows[0][1] == pytest.approx((sum(range(10)) - 7) / 9)
    assert sum(r[4] for r in rows) == 100


def test_a_long_span_is_answered_from_roll_ups(db: Connection[Any]) -> None:
    add_readings(db, 400, every=30.0)  # 200 minutes
    rows = ask(db, 0, 12_000, 100)
    assert {r[6] for r in rows} == {"rollup"}
    assert sum(r[4] for r in rows) == 400
    assert len(rows) <= 103
    assert (min(r[2] for r in rows), max(r[3] for r in rows)) == (0.0, 399.0)
    assert {r[6] for r in ask(db, 0, 12_000, 2)} == {"rollup"}
    assert sum(r[4] for r in ask(db, 0, 12_000, 2)) == 400


def test_a_gap_comes_with_the_signal_it_concerns(db: Connection[Any]) -> None:
    add_readings(db, 20)
    gap = "insert into gap (id, of_stream, machine, kind, cause, t_from, t_to, channels, possible) values (%s, %s, 'OP10', 'signals', %s, %s, %s, %s, %s)"
    db.execute(gap, ("g1", f"{EPOCH}/OP10/signals", "session_lost", T0 - 5 * S, T0 + 3 * S, [], False))
    db.execute(gap, ("g2", f"{EPOCH}/OP10/signals", "overflow", T0 + 10 * S, T0 + 11 * S, ["pressure"], True))
    db.execute(gap, ("g3", f"{EPOCH}/OP10/signals", "session_lost", T0 + 15 * S + 1, T0 + 16 * S, ["torque"], False))
    assert [after(r[0]) for r in ask(db, 14, 18, 100)] == [14, 15, 15, 16, 17], "where it happened"
    rows = [r for r in ask(db, 0, 12, 100) if r[6] == "gap"]
    assert [(after(r[0]), r[1], after(r[7]), r[8]) for r in rows] == [(0, None, 3, "session_lost")]
    assert [(r[6], r[8]) for r in ask(db, 0, 20, 100, "pressure")] == [
        ("gap", "session_lost"),
        ("gap", "overflow (possible)"),
    ], "also of a signal never read"
    assert [r[6] for r in ask(db, 12, 20, 100, "pressure")] == []


def test_where_only_frames_are_kept_they_are_named(db: Connection[Any]) -> None:
    stream = add_stream(db, "OP10", "signals")
    db.execute("insert into signal (machine, name) values ('OP10', 'torque')")
    db.execute("insert into frame values (%s, 1, 2, %s, %s, now(), 0, '')", (stream, T0, T0 + S))
    assert [(r[6], r[8]) for r in ask(db, 0, 10, 100)] == [("frames", "1 frames")]
    assert ask(db, 100, 110, 100) == []


# ---- gaps, progress ----------------------------------------------------------------------------------------------------
def test_missing_numbers_lie_between_their_neighbours_on_record(db: Connection[Any]) -> None:
    signals, production = add_stream(db, "OP10", "signals", next_number=21), add_stream(db, "OP10", next_number=9)
    for first, count, begin, end in ((1, 5, 0, 4), (11, 10, 30, 40)):
        db.execute(
            "insert into frame values (%s, %s, %s, %s, %s, now(), 0, '')",
            (signals, first, count, T0 + begin * S, T0 + end * S),
        )
    for number, time in ((1, 50), (4, 60), (8, 70)):
        add_event(db, production, "OP10", number, T0 + time * S)
    add = "insert into gap (id, of_stream, machine, kind, cause, begin_number, end_number) values (%s, %s, 'OP10', %s, 'spool_dropped', %s, %s)"
    for row in (
        ("a", "signals", 6, 11),
        ("a2", "signals", 8, 11),
        ("b", "production", 2, 4),
        ("c", "production", 5, 8),
    ):
        db.execute(add, (row[0], f"{EPOCH}/OP10/{row[1]}", *row[1:]))

    def between(begin: float, end: float) -> dict[str, tuple[float, float]]:
        rows = db.execute("select id, t_from, t_to from gaps_between('OP10', %s, %s)", (at(begin), at(end))).fetchall()
        return {id: ((t_from - T0) / S, (t_to - T0) / S) for id, t_from, t_to in rows}

    assert between(0, 100) == {"a": (4, 30), "a2": (4, 30), "b": (50, 60), "c": (60, 70)}
    assert between(5, 20) == {"a": (4, 30), "a2": (4, 30)}
    assert between(41, 49) == {}
    progress = {
        r[0]: r[1:]
        for r in db.execute("select kind, next_number, missing, stored, gaps from v_stream_progress").fetchall()
    }
    assert progress == {"signals": (21, 5, 15, 2), "production": (9, 5, 3, 2)}, (
        "numbers in two gap records are missing once"
    )
    assert one(db, "select numbered, stored, missing, gaps_in_time from v_reconcile where kind = 'signals'") == (
        20,
        15,
        5,
        0,
    )


def test_lag_is_counted_against_the_record(db: Connection[Any]) -> None:
    add_stream(db, "OP10", "signals", next_number=100)
    db.execute("insert into watermark values ('detect', %s, 60)", (f"{EPOCH}/OP10/signals",))
    assert db.execute("select consumer, next_number, recorded_next, behind from v_lag").fetchall() == [
        ("detect", 60, 100, 40)
    ]


# ---- parts, counts, OEE ------------------------------------------------------------------------------------------------
def parts(db: Connection[Any], begin: float, end: float) -> list[str]:
    return sorted(
        row[0]
        for row in db.execute("select serial from parts_in_span('OP10', %s, %s)", (at(begin), at(end))).fetchall()
    )


def test_parts_of_a_span_are_those_whose_operation_overlaps_it(db: Connection[Any]) -> None:
    for serial, begin, end in (
        ("before", 0, 9),
        ("touches", 0, 10),
        ("into", 5, 15),
        ("inside", 12, 14),
        ("out of", 19, 30),
        ("after", 21, 30),
        ("around", -5 * HOUR, 5 * HOUR),
    ):
        add_operation(db, "OP10", serial, begin, end)
    add_operation(db, "OP10", "screw lot", 12, 14, kind="lot", role="input")
    add_operation(db, "OP10", "tool", 12, 14, kind="tool")
    add_operation(db, "OP20", "elsewhere", 12, 14)
    add_operation(db, "OP10", "inside", 16, 18, "fail")  # worked on twice, listed once
    assert parts(db, 10, 20) == ["around", "inside", "into", "out of", "touches"]
    assert parts(db, 40, 50) == ["around"]


def test_the_same_parts_are_found_with_an_index(db: Connection[Any]) -> None:
    db.execute(
        """insert into event (eid, ts, unit, role, machine, op, result, started, raw_number)
           select gen_random_uuid(), %s + n * 10000000000::bigint, n, 'output', 'OP' || n %% 8, 'process', 'pass', %s + n * 10000000000::bigint - 5000000000, n
           from generate_series(1, 40000) n""",
        (T0, T0),
    )
    db.execute("analyze event")
    plan = str(
        one(
            db,
            "explain (format json) select * from event e where e.machine = 'OP1' and e.ts >= %s and e.ts <= %s and e.started <= %s",
            T0,
            T0 + HOUR * S,
            T0 + HOUR * S,
        )
    )
    assert "event_machine" in plan
    assert "Seq Scan" not in plan


def oee(db: Connection[Any], begin: float, end: float) -> dict[str, Any]:
    with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute("select * from fn_oee('OP10', %s, %s)", (at(begin), at(end))).fetchone()
    assert row is not None
    return row


@pytest.fixture
def line(db: Connection[Any]) -> Connection[Any]:
    """An hour of OP10: 40 min run, 12 min jammed, 8 min planned change-over; 220 parts of A (10 s each ideally), 11 of them bad."""
    add_master(db, "machine", "OP10", {"path": "demo/pumps/line1/OP10"})
    add_master(db, "reason", "setup", {"category": "planned"})
    add_master(db, "reason", "jam", {"category": "availability"})
    add_master(db, "ideal_cycle", "OP10/A", {"machine": "OP10", "product": "A", "seconds": 10.0})
    stream = add_stream(db, "OP10")
    for when, state, reason in (
        (0, "EXECUTE", None),
        (2400, "HELD", "jam"),
        (3120, "STOPPED", "setup"),
        (3600, "EXECUTE", None),
    ):
        add_state(db, stream, "OP10", when, state, reason)
    for n in range(220):
        add_operation(
            db, "OP10", f"P{n}", n * 10.0, n * 10.0 + 9, "fail" if n % 20 == 0 else "unknown" if n % 20 == 1 else "pass"
        )
    return db


def test_oee_is_availability_times_effectiveness_times_quality(line: Connection[Any]) -> None:
    found = oee(line, 0, 3600)
    assert (found["planned_s"], found["production_s"], found["down_s"], found["unknown_s"]) == (3120, 2400, 720, 0)
    assert (found["produced"], found["good"]) == (220, 209)
    assert found["availability"] == pytest.approx(2400 / 3120)
    assert found["effectiveness"] == pytest.approx(2200 / 2400)
    assert found["quality"] == pytest.approx(0.95)
    assert found["oee"] == pytest.approx(2400 / 3120 * 2200 / 2400 * 0.95)
    assert one(line, "select * from fn_counts('OP10', %s, %s)", at(0), at(3600)) == (209, 11, 220)


def test_time_of_which_nothing_is_known_counts_neither_way(line: Connection[Any]) -> None:
    found = oee(line, -600, 7200)
    assert found["unknown_s"] == 600 + 3600, "before the first state, and after the last thing that was heard"
    assert found["availability"] == pytest.approx(2400 / 3120)


def test_a_product_without_an_ideal_cycle_leaves_oee_unknown_not_wrong(line: Connection[Any]) -> None:
    add_operation(line, "OP10", "other", 2300, 2310, product="B")
    found = oee(line, 0, 3600)
    assert (found["effectiveness"], found["oee"]) == (None, None)
    assert found["quality"] == pytest.approx(210 / 221)


def test_an_operation_of_many_units_is_one_cycle(line: Connection[Any]) -> None:
    line.execute(
        "update event set eid = (select eid from event order by ts limit 1) where ts <= %s and ts > (select min(ts) from event)",
        [T0 + 30 * S],
    )
    assert one(line, "select total from fn_counts('OP10', %s, %s)", at(0), at(3600)) == 218


def test_nothing_known_is_no_figure(db: Connection[Any]) -> None:
    found = oee(db, 0, 3600)
    assert (found["planned_s"], found["unknown_s"], found["produced"]) == (0, 3600, 0)
    assert {found[name] for name in ("availability", "effectiveness", "quality", "oee")} == {None}


def shift(db: Connection[Any], name: str, starts: str, ends: str, **more: Any) -> None:
    add_master(db, "shift", name, {"line": "line1", "starts": starts, "ends": ends, **more})


def test_time_outside_shifts_is_not_planned_and_a_break_counts_once(line: Connection[Any]) -> None:
    # 22:13:20 UTC is the start of the test's time: the shift ends 30 min later; a break of 48 min in 8 h is 3 min of these 30
    shift(line, "late", "14:43:20", "22:43:20", break_minutes=48)
    found = oee(line, 0, 3600)
    assert found["production_s"] == 1800
    assert found["planned_s"] == 1800, "the machine ran through the break"
    shift_over = oee(line, 1800, 3600)
    assert (shift_over["planned_s"], shift_over["production_s"], shift_over["availability"]) == (0, 0, None)


def test_the_longer_of_break_and_planned_stop_is_taken_off(line: Connection[Any]) -> None:
    shift(line, "all", "22:13:20", "23:13:20", break_minutes=15)
    assert oee(line, 0, 3600)["planned_s"] == 3600 - 900, "15 min break, 8 of them used by the change-over"


def test_shifts_cross_midnight_and_have_a_zone_and_weekdays(db: Connection[Any]) -> None:
    shift(db, "night", "22:00", "06:00", zone="Asia/Tokyo", weekdays=[1, 2, 3, 4, 5])

    def shift_at(text: str, line: str | None = None) -> tuple[Any, ...] | None:
        return db.execute(
            "select name, begins, ends from fn_shift(%s, %s)", (line, datetime.fromisoformat(text))
        ).fetchone()

    night = (
        "night",
        datetime.fromisoformat("2023-11-14T22:00+09:00"),
        datetime.fromisoformat("2023-11-15T06:00+09:00"),
    )
    assert shift_at("2023-11-14T23:00+09:00") == night
    assert shift_at("2023-11-15T05:59:59+09:00", "demo/pumps/line1") == night
    assert shift_at("2023-11-15T06:00+09:00") is None
    assert shift_at("2023-11-15T05:00+09:00", "demo/pumps/line2") is None
    assert shift_at("2023-11-18T05:00+09:00") is not None, "Friday's night ends on Saturday"
    assert shift_at("2023-11-18T23:00+09:00") is None


# ---- master data -------------------------------------------------------------------------------------------------------
def test_a_version_holds_from_its_time_and_a_retired_one_not_at_all(db: Connection[Any]) -> None:
    later = 4_000_000_000 * S
    add_master(db, "machine", "OP10", {"path": "demo/pumps/line1/OP10"})
    add_master(db, "machine", "OP10", {"path": "demo/pumps/line9/OP10"}, 2, later)
    add_master(db, "machine", "OP20", {"path": "demo/pumps/line1/OP20"})
    add_master(db, "machine", "OP20", {"path": "demo/pumps/line1/OP20"}, 2, T0, retired=True)
    assert db.execute("select machine, line from v_machine").fetchall() == [("OP10", "demo/pumps/line1")]
    assert db.execute("select version from master_at(%s) where name = 'OP10'", [later]).fetchall() == [(2,)]
    add_master(
        db, "characteristic", "A/OP60/leak", {"product": "A", "operation": "OP60", "characteristic": "leak", "usl": 2.5}
    )
    add_master(
        db,
        "characteristic",
        "A/OP60/leak",
        {"product": "A", "operation": "OP60", "characteristic": "leak", "usl": 2.0},
        2,
        T0,
    )
    rows = db.execute("select version, valid_from, valid_to, usl from v_characteristic order by version").fetchall()
    assert rows == [(1, 0, T0, 2.5), (2, T0, None, 2.0)]
