"""However a server groups and delays what its nodes say, every edge gets exactly its own values, in order, once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shinkei_gateway.gap import Continuity
from shinkei_gateway.handshake import OPERATION, Handshake

ROLES = [OPERATION, "a", "b"]
NODES = ["trigger", *ROLES]
TIMEOUT = 10**9


@given(
    gaps=st.lists(st.integers(1, 50), min_size=1, max_size=12),
    early=st.lists(st.integers(0, 50), min_size=36, max_size=36),
    schedule=st.lists(st.sampled_from(NODES), max_size=60),
    counts=st.booleans(),
)
def test_every_edge_gets_its_own_values(gaps: list[int], early: list[int], schedule: list[str], counts: bool) -> None:
    edges = [100 + 51 * at + sum(gaps[: at + 1]) for at in range(len(gaps))]
    shake = Handshake("cycle", ROLES, TIMEOUT, (lambda value: value) if counts else (lambda _value: None))
    shake.trigger(0, 0, 0)
    said: dict[str, list[tuple[int, int]]] = {"trigger": [(time, at + 1) for at, time in enumerate(edges)]}
    for place, role in enumerate(ROLES):
        said[role] = [(time - early[place * 12 + at], at + 1) for at, time in enumerate(edges)]
    done = []
    for node in [*schedule, *(node for node in NODES for _ in edges)]:
        if said[node]:
            time, value = said[node].pop(0)
            if node == "trigger":
                shake.trigger(time, value, 0)
            else:
                shake.value(node, time, value, 0)
            done += shake.finished(0)
    assert [cycle.edge.time for cycle in done] == edges
    for number, cycle in enumerate(done, 1):
        assert {role: taken.value for role, taken in cycle.values.items()} == dict.fromkeys(ROLES, number)
        assert (cycle.unknown, cycle.missed) == ([], 0)


SECOND, HOUR = 10**9, 3600 * 10**9


@given(
    shifts=st.lists(st.sampled_from([0, 0, 0, -HOUR, HOUR, -HOUR // 2]), min_size=1, max_size=12),
    groups=st.lists(st.integers(1, 3), min_size=12, max_size=12),
    order=st.permutations(NODES),
    counts=st.booleans(),
    early=st.integers(0, 4),
)
def test_a_clock_that_is_set_mixes_no_cycles(
    shifts: list[int], groups: list[int], order: list[str], counts: bool, early: int
) -> None:
    """Messages hold several cycles, grouped by node; the clock is set between any two."""
    shake = Handshake("cycle", ROLES, 2 * SECOND)
    start, offset, cycles = 1000 * HOUR, 0, []
    shake.trigger(start, 0 if counts else False, 0)
    for at, shift in enumerate(shifts, 1):
        offset += shift
        cycles.append((start + 10 * at * SECOND + offset, at))
    done, told = [], 0
    for group in groups:
        message, now = cycles[told : told + group], (told + group) * 10 * SECOND
        told += group
        for node in order:
            for edge, number in message:
                if node != "trigger":
                    shake.value(node, edge - early * SECOND, number, 0)
                elif counts:
                    shake.trigger(edge, number, now)
                else:
                    shake.trigger(edge, True, now)
                    shake.trigger(edge + SECOND, False, now)
        done += shake.finished(now)
        done += shake.finished(now + 2 * SECOND)
    assert [cycle.edge.time for cycle in done] == [edge for edge, _ in cycles]
    for number, cycle in enumerate(done, 1):
        assert {taken.value for taken in cycle.values.values()} <= {number}
        assert (cycle.missed, bool(cycle.unknown)) == (0, len(cycle.values) < len(ROLES))
    if all(group == 1 for group in groups) or not any(shifts):
        assert all(cycle.unknown == [] for cycle in done)


LAG, CYCLE = SECOND // 10, SECOND


@given(
    stamps=st.lists(st.tuples(*[st.integers(1 - LAG, LAG)] * 3), min_size=1, max_size=8),
    lost=st.sets(st.tuples(st.integers(1, 8), st.sampled_from(ROLES)), max_size=4),
    order=st.permutations(NODES),
    is_sure=st.booleans(),
    counts=st.booleans(),
    restarts=st.sets(st.integers(1, 8)),
)
def test_values_stamped_around_their_edge_are_never_another_ones(
    stamps: list[tuple[int, ...]],
    lost: set[tuple[int, str]],
    order: list[str],
    is_sure: bool,
    counts: bool,
    restarts: set[int],
) -> None:
    """A server that samples stamps what was written together up to ``LAG`` apart."""
    shake = Handshake("cycle", ROLES, 2 * SECOND, lag=LAG, is_sure=is_sure, settle=3 * LAG)
    shake.trigger(0, 0 if counts else False, 0)
    done = []
    for number, offsets in enumerate(stamps, 1):
        edge = number * CYCLE
        said = dict(zip(ROLES, offsets, strict=True))
        for node in order:
            if node == "trigger":
                shake.trigger(edge, number if counts else True, edge)
            elif (number, node) not in lost:
                shake.value(node, edge + said[node], number, 0)
            done += shake.finished(edge)
        done += shake.finished(edge + 3 * LAG)
        if not counts:
            shake.trigger(edge + SECOND // 2, False, edge + SECOND // 2)
        if number in restarts and not shake.is_waiting:
            again = Handshake("cycle", ROLES, 2 * SECOND, lag=LAG, is_sure=is_sure, settle=3 * LAG)
            again.restore(shake.state(), edge)
            for node in ROLES:  # a new subscription says what stands
                if (number, node) not in lost:
                    again.value(node, edge + said[node], number, 0)
            shake = again
    done += shake.finished(len(stamps) * CYCLE + 3 * SECOND)
    assert [cycle.edge.time for cycle in done] == [number * CYCLE for number in range(1, len(stamps) + 1)]
    for number, cycle in enumerate(done, 1):
        assert {taken.value for taken in cycle.values.values()} <= {number}
        assert set(cycle.unknown) == {role for at, role in lost if at == number}


@given(
    written=st.lists(st.lists(st.integers(1, CYCLE), max_size=2), min_size=1, max_size=8),
    order=st.permutations(["trigger", "@in.0"]),
)
def test_an_exact_server_gives_no_part_another_ones_number_where_the_lag_is_not_known(
    written: list[list[int]], order: list[str]
) -> None:
    """A part's number is written any time in its cycle, also right after the edge before, perhaps cleared before."""
    shake = Handshake("cycle", ["@in.0"], 2 * SECOND, lag=LAG, is_sure=False, settle=3 * LAG)
    shake.trigger(0, 0, 0)
    said: list[tuple[int, str, object]] = []
    for number, times in enumerate(written, 1):
        edge = number * CYCLE
        *cleared, last = sorted({*times}) or [CYCLE]
        said += [(edge - CYCLE + time, "@in.0", "") for time in cleared]
        said += [(edge - CYCLE + last, "@in.0", f"SN{number}"), (edge, "trigger", number)]
    done = []
    for time, node, value in sorted(said, key=lambda one: (one[0], order.index(one[1]))):
        done += shake.finished(time - 1)
        if node == "trigger":
            shake.trigger(time, value, time)
        else:
            shake.value(node, time, value, 0)
    done += shake.finished(len(written) * CYCLE + 3 * SECOND)
    for number, cycle in enumerate(done, 1):
        assert [taken.value for taken in cycle.values.values()] in ([], [f"SN{number}"])
        is_early = any(min(times, default=CYCLE) <= LAG for times in written)
        assert is_early or cycle.unknown == []


@given(
    times=st.lists(st.integers(1, 1000), min_size=1, max_size=40, unique=True),
    seen=st.integers(0, 40),
    heard_from=st.integers(0, 40),
)
def test_what_was_written_while_nobody_listened_lies_between_last_and_first(
    times: list[int], seen: int, heard_from: int
) -> None:
    """A server gives the current value first, then every one."""
    times.sort()
    before, lost, after = times[:seen], times[seen : seen + heard_from], times[seen + heard_from :]
    first = Continuity(["x"])
    for time in before:
        assert first.seen(0, time) == (False, None)
    again = Continuity(["x"], first.state())
    now = times[: seen + heard_from][-1:]  # the value that stands there when listening begins
    spans = []
    for time in now + after:
        repeat, since = again.seen(0, time)
        assert repeat == (time in before and time == now[0])
        if since is not None:
            spans.append((since, time))
    unheard = set(lost) - set(now)
    if before and (now or after):
        assert all(any(begin < time < end for begin, end in spans) for time in unheard)
        assert bool(spans) == (bool(lost) and now != before[-1:])
    else:
        assert spans == []
