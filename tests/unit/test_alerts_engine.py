"""The alarm engine: every step of the life cycle, delays on source time, one alarm a condition."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shinkei_alerts import lifecycle, words
from shinkei_alerts.engine import Engine
from shinkei_alerts.lifecycle import Alarm, Step
from shinkei_events.model.alarm import Cause
from tests.support.alarms import FAULT, RULES, SILENT, T0, UNUSUAL, S, anomaly, aside, engine, seen, state


def told(made: Engine) -> list[tuple[str, float]]:
    return [(step.transition, (step.time - T0) / S) for step in made.changes().steps]


def only(made: Engine) -> Alarm:
    (alarm,) = made.alarms.values()
    return alarm


def test_a_fault_that_lasts_is_raised_when_its_delay_is_over_in_the_machines_own_time() -> None:
    made = engine()
    made.state(state("ABORTED", 10, reason="spindle"))
    made.passed("M1", T0 + 14 * S)
    assert not made.alarms
    made.passed("M1", T0 + 15 * S)
    assert told(made) == [("raised", 15.0)]
    assert only(made).active_since == T0 + 10 * S
    assert only(made).text == {"ja": "M1 異常停止: 主軸", "en": "M1 aborted: spindle"}
    assert only(made).line == "s/a/line1"


def test_a_fault_that_is_gone_before_its_delay_never_was() -> None:
    made = engine()
    made.state(state("ABORTED", 10))
    made.state(state("EXECUTE", 14))
    made.passed("M1", T0 + 100 * S)
    assert not made.alarms
    assert not made.timers


def test_active_again_before_it_returned_is_the_same_occurrence() -> None:
    made = engine()
    made.state(state("ABORTED", 0))
    made.state(state("EXECUTE", 20))
    made.state(state("ABORTED", 40))  # within the off-delay of 60 s
    made.passed("M1", T0 + 200 * S)
    assert told(made) == [("raised", 5.0)]
    made.state(state("EXECUTE", 203))  # a short one, within the off-delay: must not stay active for ever
    made.state(state("ABORTED", 210))
    made.state(state("EXECUTE", 211))
    made.passed("M1", T0 + 271 * S)
    assert told(made) == [("returned", 271.0)]
    assert only(made).state == "RTN_UNACK"


def test_another_reason_of_the_same_condition_is_not_a_new_beginning() -> None:
    made = engine()
    made.state(state("ABORTED", 0, reason="a"))
    made.state(state("ABORTED", 4, reason="b"))
    made.state(state("EXECUTE", 6))
    assert told(made) == [("raised", 5.0)]


def test_returned_and_seen_closes_whichever_comes_first() -> None:
    for order in itertools.permutations(["return", "ack"]):
        made = engine()
        made.anomaly(anomaly("opened", 0))
        alarm = only(made)
        for one in order:
            made.anomaly(anomaly("closed", 9, revision=2)) if one == "return" else made.decision(seen(alarm.id, 1, 10))
        assert [name for name, _ in told(made)][-1] == "closed"
        assert not made.alarms


def test_a_button_drawn_before_does_not_cover_what_came_after() -> None:
    made = engine()
    made.anomaly(anomaly("opened", 0))
    made.anomaly(anomaly("closed", 5, revision=2))
    made.anomaly(anomaly("opened", 9, id="a2", began=9))
    alarm = only(made)
    assert alarm.occurrence == 2
    made.decision(seen(alarm.id, 1, 10))
    assert only(made).state == "ACTIVE_UNACK"
    made.decision(seen(alarm.id, 2, 11))
    assert only(made).state == "ACTIVE_ACK"


def test_two_causes_hold_one_alarm_until_both_are_gone() -> None:
    made = engine()
    made.anomaly(anomaly("opened", 0, id="a"))
    made.anomaly(anomaly("opened", 1, id="b"))
    made.anomaly(anomaly("closed", 5, id="a", revision=2))
    assert told(made) == [("raised", 0.0)]
    assert [cause.id for cause in only(made).causes] == ["a", "b"]
    made.anomaly(anomaly("closed", 7, id="b", revision=2))
    assert told(made) == [("returned", 7.0)]


def test_an_anomaly_known_only_by_its_end_is_recorded_as_over() -> None:
    made = engine()
    made.anomaly(anomaly("closed", 5, revision=3))
    assert told(made) == [("raised", 0.0), ("returned", 5.0)]


def test_an_alarm_tells_the_figures_of_its_anomaly_as_it_grows() -> None:
    made = engine()
    made.anomaly(anomaly("opened", 0))
    told(made)
    grown = anomaly("updated", 5, revision=2)
    far = msgspec.structs.replace(grown.signals[0], observed=83.0)
    made.anomaly(msgspec.structs.replace(grown, signals=[far]))
    changes = made.changes()
    assert not changes.steps  # no transition: nobody is paged again
    assert changes.touched == {only(made).dedup_key}
    assert only(made).text["en"] == "unusual: torque 83 Nm (normally 40 Nm)"
    last = msgspec.structs.replace(anomaly("closed", 9, revision=3), signals=[far])
    made.anomaly(last)
    assert [step.alarm.text["en"] for step in made.changes().steps] == ["unusual: torque 83 Nm (normally 40 Nm)"]


def test_conditions_know_their_finding_and_their_machines() -> None:
    made = engine(msgspec.structs.replace(RULES, conditions={"u": msgspec.structs.replace(UNUSUAL, machines=["M2"])}))
    made.anomaly(anomaly("opened", 0))
    made.anomaly(anomaly("opened", 0, id="q", machine="M2", finding="data_quality"))
    assert not made.alarms
    made.anomaly(anomaly("opened", 0, id="c", machine="M2"))
    assert only(made).machine == "M2"


def test_no_data_is_a_condition_of_its_own() -> None:
    made = engine()
    made.state(state("NO_DATA", 0))
    assert only(made).condition == "silent"
    made.state(state("EXECUTE", 9))
    assert told(made) == [("raised", 0.0), ("returned", 9.0)]


def test_machines_that_answer_after_a_stop_of_the_gateway_raise_nothing_and_one_that_does_not_does() -> None:
    late = msgspec.structs.replace(SILENT, on_delay=10.0)
    made = engine(msgspec.structs.replace(RULES, conditions={"silent": late}))
    for machine in ("M1", "M2"):
        gone = state("NO_DATA", 0, machine=machine)
        made.state(msgspec.structs.replace(gone, received=T0 + 600 * S))  # told when the gateway runs again
    made.state(state("EXECUTE", 603, machine="M1"))
    made.overtake(T0 + 609 * S)
    assert told(made) == []
    made.overtake(T0 + 610 * S)
    assert [step.alarm.machine for step in made.changes().steps] == ["M2"]
    assert only(made).since == T0


def test_an_anomaly_ends_though_its_condition_was_taken_out() -> None:
    made = engine()
    made.anomaly(anomaly("opened", 0))
    made.rules = msgspec.structs.replace(RULES, conditions={})
    made.anomaly(anomaly("closed", 5, revision=2))
    assert only(made).state == "RTN_UNACK"


def test_put_aside_until_then() -> None:
    made = engine()
    made.anomaly(anomaly("opened", 0))
    made.decision(aside(only(made).id, 5, 50))
    made.unshelve(T0 + 49 * S)
    assert only(made).shelved_until == T0 + 50 * S
    made.unshelve(T0 + 70 * S)
    assert told(made) == [("raised", 0.0), ("shelved", 5.0), ("unshelved", 50.0)]


def test_a_stream_that_stands_still_is_overtaken() -> None:
    made = engine()
    made.state(state("ABORTED", 0))
    made.overtake(T0 + 4 * S)
    assert not made.alarms
    made.overtake(T0 + 5 * S)
    assert told(made) == [("raised", 5.0)]


def test_a_signal_is_named_in_the_words_of_the_plant() -> None:
    made = engine(msgspec.structs.replace(RULES, signals={"M1/torque": {"ja": "トルク"}}))
    made.anomaly(anomaly("opened", 0))
    assert "トルク 55 Nm" in only(made).text["ja"]
    assert "torque 55 Nm" in only(made).text["en"]  # no word for it in this language: the signal's own name


@pytest.mark.parametrize("late", [False, True])
def test_a_page_has_five_lines_at_most_and_says_when_it_is_late(late: bool) -> None:
    made = engine()
    made.anomaly(anomaly("opened", 0))
    title, body = words.page(only(made), UNUSUAL, "en", T0 + (300 if late else 3) * S)
    assert title == "P2 M1 unusual: torque 55 Nm (normally 40 Nm)"
    assert body.splitlines()[0] == "since 22:13:20 UTC" + (" · 5 min ago" if late else "")
    assert body.splitlines()[1:3] == ["s/a/line1", "do: look"]
    assert len(body.splitlines()) <= 4


story = st.lists(
    st.tuples(st.sampled_from(["ABORTED", "EXECUTE", "NO_DATA", "open", "close", "ack", "wait"]), st.integers(1, 40)), min_size=1, max_size=25
)  # fmt: skip


@settings(max_examples=200)
@given(story, st.lists(st.integers(0, 24), max_size=6))
def test_stored_and_loaded_anywhere_the_life_is_the_same(happens: list[tuple[str, int]], kills: list[int]) -> None:
    """Engines that are made anew from what is stored say what one that never ended says; and no step breaks the rules."""
    whole, pieces = [], []
    for out, ends in ((whole, []), (pieces, kills)):
        made, at = engine(), 0
        for number, (what, seconds) in enumerate(happens, 1):
            at += seconds
            step(made, what, at, number)
            out += made.changes().steps
            if number in ends:
                made = Engine(RULES, ("ja", "en"), made.alarms, made.timers)
        made.passed("M1", T0 + (at + 1000) * S)
        out += made.changes().steps
        assert all(alarm.state != "ACTIVE_UNACK" or alarm.active_causes for alarm in made.alarms.values())
        assert not made.timers
    assert whole == pieces
    for alarm in {one.alarm.id for one in whole}:
        lives_by_the_rules([one for one in whole if one.alarm.id == alarm])


def step(made: Engine, what: str, at: int, number: int) -> None:
    if what in ("ABORTED", "EXECUTE", "NO_DATA"):
        made.state(state(what, at, number=number))
    elif what == "open":
        made.anomaly(anomaly("opened", at, id=f"a{at}", began=at))
    elif what == "close":
        for alarm in list(made.alarms.values()):
            for cause in alarm.active_causes:
                if cause.startswith("a"):
                    made.anomaly(anomaly("closed", at, id=cause, revision=2, began=0))
    elif what == "ack":
        for alarm in list(made.alarms.values()):
            made.decision(seen(alarm.id, alarm.occurrence, at))
    else:
        made.passed("M1", T0 + at * S)


ALLOWED = {
    None: {"raised"}, "raised": {"returned", "acknowledged"}, "raised_again": {"returned", "acknowledged"}, "returned": {"raised_again", "acknowledged", "closed"},
    "acknowledged": {"returned", "closed"}, "closed": set(),
}  # fmt: skip


def lives_by_the_rules(steps: list[Step]) -> None:
    before = None
    for number, one in enumerate(steps, 1):
        assert one.transition in ALLOWED[before], f"{one.transition} after {before}"
        assert one.alarm.revision == number
        before = one.transition


def test_the_page_of_an_occurrence_has_one_key() -> None:
    from shinkei_alerts.table import page_key

    made = engine()
    made.state(state("ABORTED", 0))
    made.passed("M1", T0 + 9 * S)
    first = only(made)
    assert page_key(first, "x") == page_key(msgspec.structs.replace(first, revision=9, state="RTN_UNACK"), "x")
    assert page_key(first, "x") != page_key(msgspec.structs.replace(first, occurrence=2), "x")
    assert lifecycle.dedup_key("l", "M1", FAULT.name) != lifecycle.dedup_key("l", "M1", UNUSUAL.name)
    assert lifecycle.alarm_id("k", Cause("state", "x"), 1) == lifecycle.alarm_id("k", Cause("state", "x"), 1)
