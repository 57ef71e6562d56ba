"""What the detector says of a machine: one anomaly per episode, gated by context, honest about what it does not know."""

from __future__ import annotations

from shinkei_detect.machine import MachineDetector
from shinkei_detect.replay import replay
from shinkei_detect.settings import DetectSettings
from shinkei_events.identity import anomaly_id
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Context
from tests.support.signal_frames import RUNNING, SECOND, START, STREAM, Machine, Row, shift

SETTINGS = DetectSettings()
LOADS = (0.0, 0.4, -0.4, 0.2, 1.0, -0.2, 0.3, -1.0, 0.0, -0.3)
"""Loads of 40 s each, now and then a high or low one: all signals follow."""


def said(machine: Machine, settings: DetectSettings = SETTINGS, finding: str = "anomaly") -> list[AnomalyChanged]:
    return [event for event in replay(machine.frames, settings) if event.finding == finding]


def phases(events: list[AnomalyChanged]) -> list[str]:
    return [event.phase for event in events]


def test_a_calm_machine_is_left_in_peace() -> None:
    assert said(Machine().run(4000)) == []


def test_a_shift_is_one_anomaly_from_its_beginning_to_its_end() -> None:
    events = said(Machine().run(600).run(200, shift(torque=8.0)).run(300))
    assert len({event.id for event in events}) == 1
    assert events[0].phase == "opened"
    assert events[-1].phase == "closed"
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    opened, closed = events[0], events[-1]
    began, ended = START + 600 * SECOND, START + 800 * SECOND
    assert began <= opened.began <= opened.time <= began + 15 * SECOND
    assert closed.ended is not None
    assert abs(closed.ended - ended) <= 30 * SECOND
    assert 600 * 3 < opened.first <= opened.last <= 615 * 3 + 3
    assert closed.last < 900 * 3
    assert opened.rule == "level"
    assert opened.score >= opened.threshold > 4


def test_the_signal_that_moved_is_named_with_what_was_seen_and_expected() -> None:
    opened, *_, closed = said(Machine().run(600).run(200, shift(torque=8.0)).run(300))
    first = closed.signals[0]
    assert opened.signals[0].observed is not None
    assert opened.signals[0].observed > 26.5  # what the chart shows, not the mean that follows it slowly
    assert first.signal == "torque"
    assert first.part == "level"
    assert first.share > 0.9
    assert first.observed is not None
    assert first.reference is not None
    assert abs(first.reference - 20) < 0.5
    assert first.observed > 26
    assert abs(sum(one.share for one in closed.signals) - 1) < 1e-9
    assert first.since is not None
    assert first.since >= START + 600 * SECOND


def test_signals_that_part_are_a_joint_anomaly_though_each_is_within_its_wander() -> None:
    def values(n: int) -> Row:
        load, wiggle = LOADS[n // 40 % len(LOADS)], 0.05 * ((n * 7919 % 101) / 50 - 1)
        return {
            "torque": 20 + load + wiggle,
            "current": 5 + 0.5 * load + wiggle,
            "force": 9 + 2 * load,
            "vibration": 2 - load,
        }

    def parted(row: Row) -> Row:
        return row | {"force": 18.0 - float(row["force"]), "vibration": 4.0 - float(row["vibration"])}  # type: ignore[arg-type]

    assert said(Machine(values).run(2500)) == []
    events = said(Machine(values).run(2000).run(400, parted))
    assert events
    assert events[0].rule == "joint"
    assert {"force", "vibration"} <= {one.signal for one in events[0].signals}
    assert {one.part for one in events[0].signals} == {"joint"}


def test_the_id_depends_on_the_opening_reading_and_the_rule_alone() -> None:
    opened = said(Machine().run(600).run(100, shift(torque=8.0)))[0]
    assert opened.id == anomaly_id(STREAM, opened.last, opened.rule)


def test_a_second_signal_updates_the_same_anomaly() -> None:
    events = said(Machine().run(600).run(60, shift(torque=6.0)).run(60, shift(torque=6.0, coolant=9.0)).run(100))
    assert len({event.id for event in events}) == 1
    assert {one.signal for one in events[-1].signals} >= {"torque", "coolant"}


def test_trouble_that_comes_and_goes_is_one_anomaly() -> None:
    machine = Machine().run(600)
    for _ in range(4):
        machine.run(40, shift(torque=5.0)).run(35)
    events = said(machine.run(100))
    assert phases(events).count("opened") == phases(events).count("closed") == 1


def test_after_calm_the_next_trouble_is_another_anomaly() -> None:
    machine = Machine().run(600).run(60, shift(torque=8.0)).run(200).run(60, shift(torque=8.0)).run(100)
    events = said(machine)
    assert phases(events).count("opened") == phases(events).count("closed") == 2
    assert len({event.id for event in events}) == 2


def test_a_machine_that_does_not_run_is_neither_judged_nor_learned() -> None:
    idle = Context("IDLE", "PUMP-A", None, "T-1")
    stopped = Machine().run(600).under(idle).run(300, shift(torque=-20.0)).under(RUNNING).run(300)
    assert said(stopped) == []
    short, long = Machine().run(600).under(idle).run(1), Machine().run(600).under(idle).run(100, shift(torque=500.0))
    assert _learned(short) == _learned(long)


def test_an_open_anomaly_waits_while_the_machine_stands() -> None:
    idle = Context("HELD", "PUMP-A", None, "T-1")
    machine = (
        Machine()
        .run(600)
        .run(60, shift(torque=8.0))
        .under(idle)
        .run(300)
        .under(RUNNING)
        .run(60, shift(torque=8.0))
        .run(100)
    )
    events = said(machine)
    assert len({event.id for event in events}) == 1
    assert phases(events)[-1] == "closed"


def test_a_product_change_over_raises_nothing_and_is_armed_again_soon() -> None:
    other = Context("EXECUTE", "PUMP-B", None, "T-1")
    machine = Machine().run(600).under(other).run(60, shift(torque=12.0, coolant=-3.0))
    assert said(machine) == []
    events = said(machine.run(60, shift(torque=24.0, coolant=-3.0)))
    assert phases(events)[:1] == ["opened"]


def test_a_known_product_comes_back_to_its_own_model() -> None:
    other = Context("EXECUTE", "PUMP-B", None, "T-1")
    machine = (
        Machine()
        .run(600)
        .under(other)
        .run(300, shift(torque=12.0))
        .under(RUNNING)
        .run(100)
        .under(other)
        .run(100, shift(torque=12.0))
    )
    assert said(machine) == []
    events = said(
        Machine().run(600).under(other).run(300, shift(torque=12.0)).under(RUNNING).run(100, shift(torque=12.0))
    )
    assert phases(events)[:1] == [
        "opened"
    ]  # the old product with the other's torque is wrong, whatever was learned meanwhile


def test_another_context_ends_what_is_open() -> None:
    machine = Machine().run(600).run(60, shift(torque=8.0)).under(Context("EXECUTE", "PUMP-A", None, "T-2")).run(40)
    events = said(machine)
    assert phases(events)[-1] == "closed"
    assert events[-1].context.tool == "T-1"
    assert events[-1].ended is not None
    assert events[-1].ended <= START + 660 * SECOND


def test_an_unknown_state_is_a_context_of_its_own_and_is_judged() -> None:
    events = said(Machine().under(Context()).run(600).run(60, shift(torque=8.0)))
    assert phases(events)[:1] == ["opened"]


def test_a_gap_is_not_calm_and_nothing_is_continued_over_it() -> None:
    machine = Machine().run(600).run(60, shift(torque=8.0)).gap(600).run(20, shift(torque=8.0))
    events = said(machine)
    assert phases(events).count("opened") == 1
    assert "closed" not in phases(events)


def test_missing_numbers_are_a_gap_even_without_a_mark() -> None:
    machine = Machine().run(600)
    whole, holed = MachineDetector(STREAM, SETTINGS), MachineDetector(STREAM, SETTINGS)
    for frame in machine.frames:
        whole.use(frame)
    for frame in machine.frames[:300] + machine.frames[302:]:
        holed.use(frame)
    assert holed.next_number == whole.next_number
    assert holed._model is not None
    assert holed._model.level.levels["torque"].fast_n < 300


def test_a_new_level_is_accepted_after_a_set_time_and_said_so() -> None:
    settings = DetectSettings(relearn=300)
    events = said(Machine().run(600).run(700, shift(torque=8.0)), settings)
    assert events[-1].phase == "closed"
    assert events[-1].learned
    assert events[-1].time <= START + 940 * SECOND
    assert phases(events).count("opened") == 1


def test_a_stuck_sensor_is_a_finding_about_the_data_within_30_steps() -> None:
    held = Machine().run(600).run(60, lambda row: row | {"coolant": 24.5}).run(50)
    assert said(held) == []
    found = said(held, finding="data_quality")
    assert [(event.phase, event.rule, event.signals[0].signal) for event in found] == [
        ("opened", "stuck", "coolant"),
        ("closed", "stuck", "coolant"),
    ]
    assert found[0].time - (START + 600 * SECOND) <= 30 * SECOND
    assert found[0].began == START + 600 * SECOND + 20
    assert found[1].ended is not None


def test_what_a_stuck_sensor_said_is_not_its_level() -> None:
    other = Context("EXECUTE", "PUMP-A", None, "T-2")
    machine = Machine().run(600).under(other).run(200, lambda row: row | {"torque": 29.5}).run(300)
    assert [event.rule for event in said(machine, finding="data_quality")] == ["stuck", "stuck"]
    assert said(machine) == []
    assert phases(said(machine.run(60, shift(torque=8.0))))[:1] == ["opened"]


def test_a_sensor_that_is_sent_by_exception_is_stuck_when_it_is_silent() -> None:
    silent = Machine().run(600).run(60, lambda row: {name: value for name, value in row.items() if name != "coolant"})
    found = said(silent, finding="data_quality")
    assert [(event.phase, event.rule, event.signals[0].signal) for event in found] == [("opened", "stuck", "coolant")]


def test_bad_quality_is_a_finding_and_is_not_learned() -> None:
    machine = Machine().run(600).run(20, lambda row: row | {"torque": None}).run(60)
    found = said(machine, finding="data_quality")
    assert [(event.phase, event.rule) for event in found] == [("opened", "bad_quality"), ("closed", "bad_quality")]
    assert found[0].signals[0].observed == 0x80000000
    assert said(machine) == []


def test_a_clock_set_back_is_a_finding_and_counts_as_no_time() -> None:
    machine = Machine().run(600).pause(-3600).run(600)
    found = said(machine, finding="data_quality")
    assert [(event.phase, event.rule) for event in found] == [
        ("opened", "clock_set_back"),
        ("closed", "clock_set_back"),
    ]
    assert said(machine) == []
    assert phases(said(machine.run(60, shift(torque=8.0))))[:1] == ["opened"]


def test_a_machine_that_speaks_every_five_minutes_is_judged_too() -> None:
    machine = Machine().run(600, every=300 * SECOND)
    assert said(machine) == []
    events = said(machine.run(60, shift(torque=8.0), every=300 * SECOND).run(200, every=300 * SECOND))
    assert phases(events).count("opened") == phases(events).count("closed") == 1
    assert events[0].signals[0].signal == "torque"


def test_signals_not_watched_are_left_out() -> None:
    machine = Machine().run(600).run(100, shift(torque=8.0))
    assert list(replay(machine.frames, SETTINGS, frozenset({"torque"}))) == []


def test_late_readings_and_texts_and_not_a_number_decide_nothing() -> None:
    def odd(row: dict[str, object]) -> dict[str, object]:
        return row | {"label": "ok", "flag": True, "curve": [1.0, 2.0], "broken": float("inf")}

    assert list(replay(Machine().run(400, odd).frames, SETTINGS)) == []  # type: ignore[arg-type]


def test_memory_is_bounded_however_many_contexts_there_are() -> None:
    machine = Machine()
    for tool in range(40):
        machine.under(Context("EXECUTE", "PUMP-A", None, f"T-{tool}")).run(20)
    detector = MachineDetector(STREAM, DetectSettings(contexts=5))
    for frame in machine.frames:
        detector.use(frame)
    assert [key.tool for key in detector._shelf.known()] == [f"T-{tool}" for tool in range(35, 40)]


def _learned(machine: Machine) -> dict[str, tuple[float, float, int]]:
    detector = MachineDetector(STREAM, SETTINGS)
    for frame in machine.frames:
        detector.use(frame)
    assert detector._model is not None
    return {name: (level.ref, level.wander, level.ref_n) for name, level in detector._model.level.levels.items()}
