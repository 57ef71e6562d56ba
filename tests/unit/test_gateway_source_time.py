"""One source time that is years off, and a machine's clock that is set: what a source knows of now is not spoiled by it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import ClockSkew
from shinkei_gateway.clock_watch import ClockWatch
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.mqtt.memory import Memory
from shinkei_gateway.opcua.translate import Translated, Translator
from shinkei_gateway.source_time import Newest, believed, is_of_now, newest_of_now
from shinkei_gateway.state import Change, MachineState
from tests.support.sparkplug_node import T0, Node
from tests.unit.test_gateway_translate import FLAT, ITEMS, SETTINGS, Machine, S, T, drafts
from tests.unit.test_sparkplug_translate import at, bench

MS = 1_000_000
DAY = 86_400
YEARS = 3650 * DAY
ODD = [YEARS, 2 * 3600, -YEARS, -8 * DAY]


def states(found: Translated) -> list[tuple[float, Any]]:
    return [((draft.time - T) / S, draft.fields["state"]) for draft in drafts(found, MachineStateChanged)]


def span(fields: dict[str, Any]) -> tuple[float, float]:
    return (fields["t_from"] - T) / S, (fields["t_to"] - T) / S


def test_the_window_is_that_of_frames() -> None:
    assert [is_of_now(T + one * S, T) for one in (-7 * DAY, 3600)] == [True, True]
    assert [is_of_now(T + one * S, T) for one in (-7 * DAY - 1, 3601)] == [False, False]
    assert newest_of_now(T + S, [], T) == T + S
    assert newest_of_now(T + YEARS * S, [T, None, T + YEARS * S, T + S], T) == T + S
    assert newest_of_now(T + YEARS * S, [T + YEARS * S], T) is None
    assert (believed(T + 5, T), believed(T + YEARS * S, T)) == (T + 5, T - 7 * DAY * S)


@given(times=st.lists(st.tuples(st.integers(-50, 50), st.sampled_from([0, 0, 0, *ODD])), min_size=1))
def test_the_newest_is_always_of_now_and_moves_by_nothing_else(times: list[tuple[int, int]]) -> None:
    newest = Newest()
    for step, (jitter, off) in enumerate(times):
        received = T + step * S
        newest.take(received + (jitter + off) * S, received)
        sound = [T + (n + j) * S for n, (j, o) in enumerate(times[: step + 1]) if o == 0]
        assert newest.time == (max(sound) if sound else received)
        assert newest.is_own == bool(sound)
        assert Newest.restored(newest.state(), received).state() == newest.state()  # type: ignore[union-attr]


# ---- OPC UA ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("off", ODD)
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_after_a_time_years_off_a_cut_has_its_gap_and_states_their_times(off: int, alone: bool, restart: bool) -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 1.0})
    machine.say(3, {"s=b": 2.0})
    found = machine.say(3 + off, {"s=a": 9.0, "s=State": "HELD"}, received=3)
    assert states(found) == [(3 + off, "HELD")]  # told as it came
    if not alone:
        machine.say(4, {"s=a": 4.0, "s=b": 4.0})
    last = 3 if alone else 4
    (hole,) = machine.translator.hole("republish_failed", T + 5 * S, "x")
    assert span(hole.fields) == (last - 1.15, 5)
    away = machine.translator.away(T + 8 * S)
    assert away is not None
    assert away.time == T + last * S
    if restart:
        machine.translator = Translator("src", SETTINGS, ITEMS, machine.translator.resume(), 0, at=T + 9 * S)
    else:
        machine.translator.interrupted("session_lost")
    found = machine.say(30, {"s=a": 5.0, "s=b": 5.0, "s=State": "EXECUTE"})
    signals = [span(gap.fields) for gap in found.gaps if gap.fields["of"] == "signals"]  # one for each distinct span
    assert {until for _, until in signals} == {30}
    assert all(since <= last for since, _ in signals)
    if off > 0:
        assert all(since >= 3 for since, _ in signals)
    assert states(found) == [(30, "EXECUTE")]
    assert states(machine.say(40, {"s=State": "ABORTED"})) == [(40, "ABORTED")]


def test_a_first_value_after_a_cut_that_is_years_ahead_does_not_end_the_gap_there() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0, "s=b": 1.0})
    machine.translator.interrupted("session_lost")
    (gap,) = machine.say(YEARS, {"s=a": 5.0}, received=30).gaps
    assert span(gap.fields) == (1, 30)


def test_a_value_years_ahead_that_is_said_once_more_is_still_known() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0})
    machine.say(YEARS, {"s=b": 1.0}, received=2)
    machine.translator.interrupted("session_lost")
    found = machine.say(YEARS, {"s=b": 1.0}, received=9)
    assert (found.repeats, found.items, found.gaps) == (1, [], [])


def test_what_an_older_gateway_had_spoiled_heals_at_its_start() -> None:
    ahead = T + YEARS * S
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 1.0})
    spoiled = machine.translator.resume()
    del spoiled["newest"]
    spoiled["last"]["a"] = ahead
    spoiled["state"]["time"] = ahead
    machine.translator = Translator("src", SETTINGS, ITEMS, spoiled, 0, at=T + 9 * S)
    assert machine.translator.newest == T + S
    found = machine.say(30, {"s=a": 5.0, "s=b": 5.0, "s=Reason": "jam"})
    assert [span(gap.fields) for gap in found.gaps if gap.fields["of"] == "signals"] == [(1, 30)]
    assert states(found) == [(30, "EXECUTE")]
    machine.translator = Translator("src", SETTINGS, ITEMS, spoiled | {"last": {"": ahead}}, 0, at=T + 9 * S)
    (gap,) = machine.say(30, {"s=a": 5.0}).gaps
    assert span(gap.fields)[0] < 9 - 7 * DAY  # when the last one was nobody knows


def test_a_clock_that_is_set_back_takes_the_newest_time_with_it() -> None:
    machine, told = Machine(), []
    machine.say(0, FLAT | {"s=a": 1.0, "s=b": 1.0})
    for second in range(1, 61):
        back = 3600 if second > 30 else 0
        state = {"s=State": "HELD" if second % 2 else "EXECUTE"}
        found = machine.say(second - back, {"s=a": float(second)} | state, received=second)
        told += [draft.fields["step"] for draft in drafts(found, ClockSkew)]
        assert states(found) == [(second - back, state["s=State"])]
        assert [one.time for one in found.items if isinstance(one, Reading)] == [T + (second - back) * S]
    assert told == [-3600 * S]
    assert machine.translator.newest == T + (60 - 3600) * S
    (hole,) = machine.translator.hole("republish_failed", T + 61 * S, "x")
    assert span(hole.fields) == (60 - 3600 - 1.15, 61)


# ---- states ----------------------------------------------------------------------------------------------------------------
def test_a_state_that_is_older_than_the_one_before_keeps_its_time_and_a_companion_does_not_go_before_its_state() -> (
    None
):
    machine = MachineState({})
    told = [
        said.ts
        for role, time, value in (
            ("state", 100, "EXECUTE"),
            ("product", 5, "P1"),
            ("state", 40, "HELD"),
            ("reason", 50, "jam"),
        )
        for said in machine.take([Change(role, time * S, value)], 100 * S)[0]
    ]
    assert told == [100 * S, 100 * S, 40 * S, 50 * S]


# ---- MQTT and Sparkplug ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("off", ODD)
@pytest.mark.parametrize("restart", [True, False])
def test_mqtt_gaps_and_absences_begin_where_the_machine_was_last_heard_of(off: int, restart: bool) -> None:
    memory = Memory(9)
    no_data = {"state": "EXECUTE", "reason": None, "product": None, "recipe": None, "tool": None, "code": None}
    memory.took([Reading("M", "a", T, 1.0, 0, T)])
    memory.took(
        [Draft("M", T + off * S + S, T + S, MachineStateChanged, no_data), Reading("M", "a", T + off * S, 2.0, 0, T)]
    )
    memory.took([Reading("M", "a", T + 2 * S, 3.0, 0, T + 2 * S)])
    memory.took([Reading("N", "a", T + off * S, 3.0, 0, T + 2 * S)])
    if restart:
        memory = Memory(9, memory.state(), T + 50 * S)
    assert memory.machines == {"M": T + 2 * S, "N": T + 2 * S}
    gaps = memory.gaps("mqtt_session_lost", T + 60 * S, "", possible=False)
    assert {span(gap.fields) for gap in gaps} == {(2, 60)}
    assert [draft.time for draft in memory.away(T + 70 * S)] == [T + 2 * S]
    memory.took(
        [Reading("N", "a", T + off * S, 3.0, 0, T + 80 * S)]
    )  # a clock that is never of now: receipts are counted
    assert memory.machines["N"] == T + 80 * S
    memory.took([Reading("N", "a", T + 79 * S, 3.0, 0, T + 81 * S)])
    assert memory.machines["N"] == T + 79 * S
    memory.clock_set("N", T - 3000 * S, T + 90 * S)
    assert memory.machines["N"] == T - 3000 * S


def test_mqtt_memory_that_was_spoiled_heals_at_its_start() -> None:
    memory = Memory(9, {"last": {"M": T + YEARS * S, "N": T}}, T + S)
    assert memory.machines == {"M": T + S - 7 * DAY * S, "N": T}


@pytest.mark.parametrize("off", [YEARS, 2 * 3600, -YEARS])
@pytest.mark.parametrize("restart", [True, False])
def test_sparkplug_gaps_and_absences_begin_where_the_machine_was_last_heard_of(off: int, restart: bool) -> None:
    b, node, away = bench(), Node(), off * 1000
    b.hear(node.birth(at(0, 1.0, name="a"), at(0, 2.0, name="b"), at(0, "EXECUTE", "String", name="State")))
    b.hear(node.data(at(5, 3.0, name="b"), at(away, 2.0, name="a"), at(away, "HELD", "String", name="State")))
    assert b.translator is not None
    assert b.translator.machines["N"].newest == (T0 + 5) * MS
    (gap, *_) = b.translator.blocked("mqtt_possible", (T0 + 90) * MS, "")
    assert (gap.fields["t_from"], gap.fields["t_to"]) == ((T0 + 5) * MS, (T0 + 90) * MS)
    (absence,) = b.translator.away((T0 + 99) * MS)
    assert absence.time == (T0 + 5) * MS
    if restart:
        b = bench(b.translator.resume())
    b.facts += b.host.connected("mqtt_session_lost", (T0 + 100) * MS, 0)
    before = len(b.taken.gaps)
    b.hear(node.birth(at(200, 7.0, name="a"), at(200, 8.0, name="b"), at(200, "EXECUTE", "String", name="State")))
    spans = [
        (gap.fields["t_from"] // MS - T0, gap.fields["t_to"] // MS - T0)
        for gap in b.taken.gaps[before:]
        if gap.fields["of"] == "signals"
    ]
    assert all(since <= 5 and until == 200 for since, until in spans), spans
    assert spans
    if off > 0:
        assert spans[0][0] == 5


# ---- clocks ----------------------------------------------------------------------------------------------------------------
def test_a_single_time_years_off_is_no_clock_and_a_clock_that_is_years_off_is_told() -> None:
    watch = ClockWatch(5 * S)
    told = [watch.sample(T + (at + (YEARS if at == 15 else 0)) * S, T + at * S) for at in range(40)]
    assert told == [None] * 40
    told = [watch.sample(T + (at + YEARS) * S, T + at * S) for at in range(40, 70)]
    (found,) = [one for one in told if one is not None]
    assert (found.within, found.skew, found.step) == (False, YEARS * S, None)
