"""Which values belong to which edge: by source time and counter, whatever the order of arrival."""

from __future__ import annotations

from typing import Any

import pytest

from shinkei_gateway.handshake import OPERATION, Cycle, Edge, Handshake

TIMEOUT = 1000


def counted(value: Any) -> int | None:
    return value.get("n") if isinstance(value, dict) else None


def handshake(*roles: str) -> Handshake:
    made = Handshake("cycle", list(roles) or [OPERATION, "leak"], TIMEOUT, counted)
    made.trigger(0, 0, 0)
    return made


def cycle(shake: Handshake, number: int, time: int, now: int = 0) -> None:
    shake.value(OPERATION, time, {"n": number}, 0)
    shake.value("leak", time, number / 10, 0)
    shake.trigger(time, number, now)


def told(cycles: list[Cycle]) -> list[tuple[int | None, Any, Any, list[str]]]:
    def of(cycle: Cycle, role: str) -> Any:
        return cycle.values[role].value if role in cycle.values else None

    return [(c.edge.counter, of(c, OPERATION), of(c, "leak"), c.unknown) for c in cycles]


def test_values_with_the_edge_make_one_cycle() -> None:
    shake = handshake()
    cycle(shake, 1, 100)
    assert told(shake.finished(0)) == [(1, {"n": 1}, 0.1, [])]
    assert shake.finished(5000) == []


def test_edges_and_values_grouped_by_node_find_each_other() -> None:
    shake = handshake()
    for number in (1, 2, 3):
        shake.trigger(number * 100, number, 0)
    for number in (1, 2, 3):
        shake.value("leak", number * 100 - 5, number / 10, 0)
    for number in (1, 2, 3):
        shake.value(OPERATION, number * 100 - 5, {"n": number}, 0)
    assert told(shake.finished(0)) == [(n, {"n": n}, n / 10, []) for n in (1, 2, 3)]


def test_an_edge_waits_for_its_values_and_no_other_passes_it() -> None:
    shake = handshake()
    cycle(shake, 1, 100)
    shake.finished(0)
    shake.trigger(200, 2, 0)
    assert shake.finished(0) == []
    cycle(shake, 3, 300)
    assert shake.finished(0) == []
    shake.value(OPERATION, 199, {"n": 2}, 0)
    shake.value("leak", 199, 0.2, 0)
    assert told(shake.finished(0)) == [(2, {"n": 2}, 0.2, []), (3, {"n": 3}, 0.3, [])]


def test_a_value_newer_than_the_edge_never_belongs_to_it() -> None:
    shake = handshake()
    cycle(shake, 1, 100)
    shake.finished(0)
    shake.trigger(200, 2, 0)
    shake.value("leak", 201, 9.9, 0)
    shake.value(OPERATION, 201, {"n": 3}, 0)
    assert shake.finished(TIMEOUT - 1) == []
    assert told(shake.finished(TIMEOUT)) == [(2, None, None, [OPERATION, "leak"])]


def test_the_operation_of_the_cycle_before_never_stands_for_this_one() -> None:
    shake = Handshake("cycle", [OPERATION], TIMEOUT)
    shake.trigger(0, False, 0)
    shake.value(OPERATION, 100, "first", 0)
    shake.trigger(100, True, 0)
    assert len(shake.finished(0)) == 1
    shake.trigger(150, False, 0)
    shake.trigger(200, True, 0)
    assert shake.to_read(TIMEOUT // 2) == [OPERATION]
    shake.answer(OPERATION, 100, "first", 0)  # read: still the old one
    assert [c.unknown for c in shake.finished(TIMEOUT)] == [[OPERATION]]


def test_a_reading_that_the_machine_did_not_write_again_belongs_once_it_was_read() -> None:
    shake = handshake()
    cycle(shake, 1, 100)
    shake.finished(0)
    shake.value(OPERATION, 200, {"n": 2}, 0)
    shake.trigger(200, 2, 0)
    assert shake.finished(0) == []
    assert shake.to_read(TIMEOUT // 2) == ["leak"]
    assert shake.to_read(TIMEOUT // 2) == []
    assert shake.finished(TIMEOUT // 2) == []
    shake.answer("leak", 100, 0.1, 0)
    assert told(shake.finished(TIMEOUT // 2)) == [(2, {"n": 2}, 0.1, [])]


def test_the_same_edge_read_twice_is_one_edge() -> None:
    shake = handshake()
    cycle(shake, 7, 100)
    assert len(shake.finished(0)) == 1
    shake.disconnected()
    cycle(shake, 7, 100)
    shake.trigger(120, 7, 0)
    assert shake.finished(5000) == []


def test_edges_missed_over_a_disconnection_are_counted() -> None:
    shake = handshake()
    cycle(shake, 7, 100)
    shake.finished(0)
    shake.disconnected()
    cycle(shake, 11, 400)
    (found,) = shake.finished(0)
    assert (found.previous, found.edge, found.missed) == (Edge(100, 7), Edge(400, 11), 3)


def test_a_machine_met_for_the_first_time_owes_nothing() -> None:
    shake = Handshake("cycle", [OPERATION], TIMEOUT, counted)
    shake.trigger(100, 4096, 0)
    assert shake.finished(TIMEOUT) == []
    assert not shake.is_waiting
    shake = Handshake("cycle", [OPERATION], TIMEOUT, counted)
    shake.value(OPERATION, 90, {"n": 4096}, 0)
    shake.trigger(100, 4096, 0)
    assert [c.missed for c in shake.finished(0)] == [0]


def test_a_counter_that_starts_again_is_an_edge_and_no_loss() -> None:
    shake = handshake()
    cycle(shake, 500, 100)
    shake.finished(0)
    cycle(shake, 1, 200)
    assert [(c.edge.counter, c.missed) for c in shake.finished(0)] == [(1, 0)]


def test_a_flag_rises_once_a_cycle() -> None:
    shake = Handshake("cycle", ["leak"], TIMEOUT)
    for time, value in ((0, False), (10, True), (20, True), (30, False), (40, True)):
        shake.value("leak", time, time, 0)
        shake.trigger(time, value, 0)
    assert [c.edge for c in shake.finished(0)] == [Edge(10, None), Edge(40, None)]


def test_unfinished_edges_survive_a_restart() -> None:
    shake = handshake()
    cycle(shake, 1, 100)
    shake.finished(0)
    shake.trigger(200, 2, 0)
    again = Handshake("cycle", [OPERATION, "leak"], TIMEOUT, counted)
    again.restore(shake.state(), 10_000)
    again.trigger(200, 2, 10_000)
    again.value(OPERATION, 200, {"n": 2}, 0)
    again.value("leak", 200, 0.2, 0)
    assert told(again.finished(10_000)) == [(2, {"n": 2}, 0.2, [])]
    assert again.finished(99_000) == []


def test_a_value_that_was_there_before_the_line_s_clock_does_not_hide_newer_ones() -> None:
    """A node's first value may carry the server's own, later time."""
    shake = handshake()
    shake.value("leak", 9000, 0.0, 0)
    cycle(shake, 1, 100)
    assert told(shake.finished(0)) == [(1, {"n": 1}, 0.1, [])]


def test_an_edge_told_again_after_an_older_one_is_the_same_edge() -> None:
    """A server told the newest counter at subscribing, then its queue with the older one and the newest again."""
    handshake = Handshake("cycle", [OPERATION], 10**9, counter_of=lambda value: int(value))
    for time, counter in ((400, 2), (200, 1), (400, 2)):
        handshake.value(OPERATION, time, counter, 0)
        handshake.trigger(time, counter, 0)
    assert sorted(cycle.edge.counter or 0 for cycle in handshake.finished(0)) == [1, 2]


def test_a_counter_met_for_the_first_time_takes_no_later_operation() -> None:
    """A machine showed its count of 2 at subscribing, then told the edges 1 and 2 from its queue."""
    handshake = Handshake("cycle", [OPERATION], 10**9, counter_of=lambda value: int(value))
    handshake.trigger(0, 2, 0)
    for time, counter in ((200, 1), (400, 2)):
        handshake.value(OPERATION, time, counter, 0)
        handshake.trigger(time, counter, 0)
    assert [(cycle.edge.time, cycle.edge.counter) for cycle in handshake.finished(0)] == [(200, 1), (400, 2)]


def test_edges_that_bounce_are_one_and_counted_also_over_a_restart() -> None:
    def bouncing() -> Handshake:
        return Handshake("cycle", ["leak"], TIMEOUT, debounce=50)

    shake = bouncing()
    for time, value in (
        (0, False),
        (100, True),
        (110, False),
        (120, True),
        (130, False),
        (149, True),
        (160, False),
        (300, True),
    ):
        shake.trigger(time, value, 0)
        shake.value("leak", time, time, 0)
    assert [c.edge for c in shake.finished(0)] == [Edge(100, None), Edge(300, None)]
    assert shake.bounced == 2
    again = bouncing()
    again.restore(shake.state(), 0)
    again.trigger(340, True, 0)
    assert (again.finished(TIMEOUT), again.is_waiting) == ([], False)


def test_a_counter_that_bounces_has_lost_no_cycle() -> None:
    shake = Handshake("cycle", ["leak"], TIMEOUT, debounce=50)
    shake.trigger(0, 0, 0)
    for time, count in ((100, 1), (120, 2), (300, 3)):
        shake.value("leak", time, count, 0)
        shake.trigger(time, count, 0)
    assert [(c.edge, c.missed) for c in shake.finished(0)] == [(Edge(100, 1), 0), (Edge(300, 3), 0)]


def test_what_stands_from_cycle_to_cycle_is_read_at_once_and_a_serial_number_never_stands() -> None:
    shake = Handshake("cycle", ["@in.0", "@resource.tool"], TIMEOUT)
    shake.trigger(0, False, 0)
    for role, value in (("@in.0", "S1"), ("@resource.tool", "T1")):
        shake.value(role, 90, value, 0)
    shake.trigger(100, True, 0)
    assert len(shake.finished(0)) == 1
    shake.trigger(150, False, 0)
    shake.trigger(200, True, 0)
    assert shake.to_read(0) == ["@resource.tool"]
    assert shake.to_read(0) == []
    assert shake.to_read(TIMEOUT // 2) == ["@in.0"]
    shake.answer("@resource.tool", 90, "T1", 0)
    shake.answer("@in.0", 90, "S1", 0)
    (found,) = shake.finished(TIMEOUT)
    assert (found.unknown, {role: taken.value for role, taken in found.values.items()}) == (
        ["@in.0"],
        {"@resource.tool": "T1"},
    )


def test_a_read_that_came_too_late_for_the_edge_does_not_count() -> None:
    shake = Handshake("cycle", ["@resource.tool"], TIMEOUT)
    shake.trigger(0, False, 0)
    shake.trigger(200, True, 0)
    assert shake.to_read(0) == ["@resource.tool"]
    shake.answer("@resource.tool", 201, "T2", 0)
    assert [c.unknown for c in shake.finished(TIMEOUT)] == [["@resource.tool"]]


HOUR, STEP, S = 3600 * 10**9, 10 * 10**9, 10**9


def clocked(counts: bool, shifts: list[int]) -> list[Cycle]:
    """A cycle every 10 s of a machine whose clock is off by ``shifts`` (one a cycle)."""
    shake = Handshake("cycle", ["@in.0", "leak"], 2 * S)
    start = 1_000 * HOUR
    shake.trigger(start, 0 if counts else False, 0)
    done = []
    for number, shift in enumerate(shifts, 1):
        edge, now = start + number * STEP + shift, number * STEP
        shake.value("@in.0", edge - S, f"SN{number}", 0)
        shake.trigger(edge, number if counts else True, now)
        assert shake.finished(now) == []  # the leak of the cycle before is none of this one
        shake.value("leak", edge - S, float(number), 0)
        done += shake.finished(now)
        if not counts:
            shake.trigger(edge + S, False, now + S)
        again = Handshake("cycle", ["@in.0", "leak"], 2 * S)
        again.restore(shake.state(), now)
        assert (again.last, again.state()) == (shake.last, shake.state())
    return done


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(
    "shifts",
    [[0] * 3 + [-HOUR] * 5, [0] * 3 + [HOUR] * 3 + [0] * 5, [0, -HOUR, -2 * HOUR, 0, -25 * S]],
    ids=["back", "forwards and back", "again and again"],
)
def test_a_machine_whose_clock_is_set_loses_no_cycle_and_mixes_none(counts: bool, shifts: list[int]) -> None:
    done = clocked(counts, shifts)
    assert [c.edge.time for c in done] == [1_000 * HOUR + n * STEP + s for n, s in enumerate(shifts, 1)]
    assert [[taken.value for taken in c.values.values()] for c in done] == [
        [f"SN{n}", float(n)] for n in range(1, len(shifts) + 1)
    ]
    assert [(c.unknown, c.missed) for c in done] == [([], 0)] * len(shifts)
    backs = [at for at in range(1, len(shifts)) if shifts[at] < shifts[at - 1]]
    assert [at for at, c in enumerate(done) if c.set_back_from is not None] == backs
    assert [c.previous for c in done if c.set_back_from is not None] == [None] * len(backs)


def test_what_was_said_before_the_clock_was_set_back_is_no_later_part_s() -> None:
    """Also when the clock reaches the old time again, and also when nothing of the new part comes."""
    shake = Handshake("cycle", ["@in.0"], TIMEOUT)
    shake.trigger(0, 0, 0)
    for time, count in ((9_000, 1), (4_000, 2), (8_999, 3), (10_000, 4)):
        if count < 2:
            shake.value("@in.0", 8_990, f"SN{count}", 0)
        shake.trigger(time, count, count * STEP)
        shake.finished(count * STEP)
        found = shake.finished(count * STEP + TIMEOUT)
        assert [c.unknown for c in found] == ([] if count == 1 else [["@in.0"]])


def test_cycles_missed_while_the_clock_was_set_back_are_counted_once() -> None:
    shake = handshake()
    cycle(shake, 7, 100_000)
    shake.finished(0)
    shake.disconnected()
    cycle(shake, 11, 400, now=1)
    cycle(shake, 12, 500, now=2)
    found = shake.finished(2)
    assert [(c.edge.counter, c.missed, c.set_back_from) for c in found] == [(11, 3, 100_000), (12, 0, None)]


def test_what_stands_is_read_also_when_its_time_is_from_before_the_clock_was_set_back() -> None:
    shake = Handshake("cycle", ["@resource.tool"], TIMEOUT)
    shake.trigger(0, 0, 0)
    shake.value("@resource.tool", 9_000, "T1", 0)
    shake.trigger(9_000, 1, 0)
    assert len(shake.finished(0)) == 1
    for time, count in ((4_000, 2), (4_100, 3)):
        shake.trigger(time, count, STEP)
        assert shake.to_read(STEP) == ["@resource.tool"]
        shake.answer("@resource.tool", 9_000, "T1", 0)
        assert [c.unknown for c in shake.finished(STEP)] == [[]]


def test_a_server_that_stamps_what_it_reads_says_what_stands() -> None:
    shake = Handshake("cycle", ["leak"], TIMEOUT)
    shake.trigger(0, 0, 0)
    shake.value("leak", 90, 0.5, 0)
    shake.trigger(100, 1, 0)
    assert len(shake.finished(0)) == 1
    for count, said, unknown in ((2, 0.5, []), (3, 0.6, ["leak"])):
        shake.trigger(count * 100, count, 0)
        shake.to_read(TIMEOUT // 2)
        shake.answer("leak", count * 100 + 50, said, 0)
        assert [c.unknown for c in shake.finished(TIMEOUT)] == [unknown]


def lagging(*roles: str, is_sure: bool = False) -> Handshake:
    shake = Handshake("cycle", list(roles), TIMEOUT, lag=50, is_sure=is_sure, settle=150)
    shake.trigger(0, 0, 0)
    return shake


def test_a_part_s_number_on_both_sides_of_the_edge_is_nobody_s_unless_the_lag_is_known() -> None:
    for is_sure, given in ((False, None), (True, "SN2")):
        shake = lagging("@in.0", is_sure=is_sure)
        shake.value("@in.0", 900, "SN1", 0)
        shake.trigger(1000, 1, 0)
        shake.value("@in.0", 1010, "SN2", 0)
        (found,) = shake.finished(TIMEOUT)
        assert (found.unknown, found.torn) == ((["@in.0"], ["@in.0"]) if given is None else ([], []))
        assert [taken.value for taken in found.values.values()] == ([] if given is None else [given])


def test_a_reading_that_drifts_is_what_was_measured_before_the_edge() -> None:
    shake = lagging("temperature")
    for edge in (1000, 2000, 3000):
        for time in range(edge - 700, edge, 300):  # none beside the edge
            shake.value("temperature", time, time / 10, 0)
        shake.trigger(edge, edge // 1000, edge)
        shake.value("temperature", edge + 20, edge / 10 + 2, 0)
        (found,) = shake.finished(edge + 150)
        assert (found.values["temperature"].value, found.unknown) == ((edge - 100) / 10, [])


def test_a_number_cleared_beside_the_edge_leaves_no_doubt() -> None:
    for cleared, said in ((600, 1010), (1010, 600)):
        shake = lagging("@in.0")
        for time, value in sorted(((cleared, ""), (said, "SN1"))):
            shake.value("@in.0", time, value, 0)
        shake.trigger(1000, 1, 0)
        assert shake.finished(149) == []
        assert [c.values["@in.0"].value for c in shake.finished(150)] == ["SN1"]


def test_a_tool_changed_at_the_edge_is_unknown_and_one_that_stands_is_read() -> None:
    shake = lagging("@resource.tool")
    shake.value("@resource.tool", 10, "T1", 0)
    shake.trigger(1000, 1, 0)
    assert shake.finished(150)[0].values["@resource.tool"].value == "T1"
    shake.value("@resource.tool", 2010, "T2", 0)
    shake.trigger(2000, 2, 0)
    assert shake.finished(TIMEOUT)[0].torn == ["@resource.tool"]


def test_a_value_of_an_old_edge_told_late_is_found_though_newer_ones_are_spoken_for() -> None:
    shake = Handshake("cycle", ["leak"], TIMEOUT)
    shake.trigger(400, 2, 0)
    shake.value("leak", 400, 0.2, 0)
    assert len(shake.finished(0)) == 1
    shake.trigger(200, 1, 0)
    shake.value("leak", 200, 0.1, 0)
    assert [(c.edge, c.values["leak"].value) for c in shake.finished(0)] == [(Edge(200, 1), 0.1)]


def test_what_stood_when_listening_began_is_not_taken_for_written_with_the_edge() -> None:
    """A server gave the serial number of the part before the time at which it was asked."""
    shake = lagging("@in.0")
    shake.value("@in.0", 990, "SN0", 0)
    shake.trigger(1000, 1, 0)
    assert shake.finished(149) == []
    shake.value("@in.0", 1010, "SN1", 0)
    assert [c.torn for c in shake.finished(TIMEOUT)] == [["@in.0"]]


def cycles(shake: Handshake, *said: tuple[int, str, int, Any]) -> dict[int | None, dict[str, Any]]:
    """By counter, what each cycle got, when (our time, role, source time, value) is told in this order."""
    done, told_at = list[Cycle](), list(said)
    for now in range(0, told_at[-1][0] + 2 * TIMEOUT, 10):
        while told_at and told_at[0][0] <= now:
            _, role, time, value = told_at.pop(0)
            if role == "":
                shake.trigger(time, value, now)
            else:
                shake.value(role, time, value, 0)
        done += shake.finished(now)
    return {one.edge.counter: {role: taken.value for role, taken in one.values.items()} for one in done}


def test_a_cycle_that_nobody_saw_shifts_no_reading_of_those_that_follow() -> None:
    said = [(n * 300 + 40, role, n * 300 + late, n) for n in range(1, 11) for role, late in (("", 0), ("torque", 20))]
    found = cycles(lagging("torque"), *[one for one in said if one[1:] != ("", 1200, 4)])
    assert {n: got.get("torque") for n, got in found.items() if n in (1, 2, 3)} == {1: 1, 2: 2, 3: 3}
    assert {n: got.get("torque") for n, got in found.items() if n is not None and n > 6} == {7: 7, 8: 8, 9: 9, 10: 10}


@pytest.mark.parametrize("is_sure", [True, False])
def test_a_number_said_after_the_clock_was_set_back_is_not_the_part_s_that_still_waits_for_one(is_sure: bool) -> None:
    found = cycles(
        lagging("@in.0", is_sure=is_sure),
        (10_000, "@in.0", 9_995, "P1"), (10_000, "", 10_000, 1), (14_000, "", 14_000, 2),
        (14_900, "@in.0", 13_395, "P3"), (14_900, "", 13_400, 3), (16_900, "@in.0", 15_395, "P4"), (16_900, "", 15_400, 4),
    )  # fmt: skip
    assert (found[1], found[2], found[4]) == ({"@in.0": "P1"}, {}, {"@in.0": "P4"})
    assert found[3] in ({}, {"@in.0": "P3"})


def test_parts_after_one_that_waits_since_the_clock_was_set_back_get_their_own_values() -> None:
    said: list[tuple[int, str, int, Any]] = []
    for n in range(1, 9):
        now = n * 400
        time = now if n < 5 else now - 700
        said += [(now, "leak", time - 5, n), (now, "@in.0", time - 5, f"P{n}"), (now, "", time, n)]
    found = cycles(lagging("leak", "@in.0"), *[one for one in said if one[3] != "P5"])
    assert {n: got["leak"] for n, got in found.items()} == {n: n for n in range(1, 9)}
    assert {n: got["@in.0"] for n, got in found.items() if n != 5} == {n: f"P{n}" for n in range(1, 9) if n != 5}
