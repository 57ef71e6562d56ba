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
