"""What may be missing of many channels as few gap records: nothing is left out, each is as narrow as it can be, none is too big."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shinkei_gateway.gap import MAX_BREAKS, MAX_NAMED, NAMED_BYTES, Break, ChannelSpan, breaks

S = 1_000_000_000
NAMES = [f"c{n}" for n in range(60)]
times = st.one_of(st.integers(0, 20), st.integers(0, 200 * S), st.integers(-(10**18), 2 * 10**18))
spans_of_many = st.lists(st.tuples(st.sampled_from(NAMES), times, times), max_size=120)


def covers(found: Break, span: ChannelSpan) -> bool:
    return found.t_from <= span[1] and span[2] <= found.t_to and (not found.channels or span[0] in found.channels)


@given(spans=spans_of_many, channels=st.sampled_from([0, 1, 5, 60]))
def test_nothing_is_left_out_and_nothing_is_told_twice(spans: list[ChannelSpan], channels: int) -> None:
    found = breaks(spans, channels)
    assert all(any(covers(one, span) for one in found) for span in spans)
    assert sorted(span for one in found for span in one.spans) == sorted(spans)
    assert all(one.channels == sorted({name for name, _, _ in one.spans}) for one in found if one.channels)
    assert all(len({name for name, _, _ in one.spans}) == channels for one in found if not one.channels)
    assert len(found) <= MAX_BREAKS


@given(spans=spans_of_many)
def test_a_few_distinct_spans_are_told_exactly(spans: list[ChannelSpan]) -> None:
    distinct = {(since, max(since, until)) for _, since, until in spans}
    found = breaks(spans)
    if len(distinct) <= MAX_BREAKS:
        assert sorted((one.t_from, one.t_to) for one in found) == sorted(distinct)
    for one in found:
        assert one.t_from == min(since for _, since, _ in one.spans)
        assert one.t_to == max(max(since, until) for _, since, until in one.spans)


@given(fast=st.lists(st.integers(0, 2 * S), min_size=40, max_size=80), rare=st.integers(-3600 * S, -600 * S))
def test_of_many_spans_the_near_ones_are_made_one(fast: list[int], rare: int) -> None:
    """A channel that speaks rarely does not widen the gaps of those that speak often."""
    spans = [(f"f{at}", since, since + 10 * S) for at, since in enumerate(fast)] + [("rare", rare, 11 * S)]
    found = breaks(spans)
    assert len(found) <= MAX_BREAKS
    assert [one.channels for one in found if one.t_from == rare] == [["rare"]]
    wide = 10 * S + 3 * 2 * S // 10  # two seconds of them in 32 records, on grids that double
    assert all(one.t_to - one.t_from <= wide for one in found if one.t_from != rare)


def test_many_channels_are_named_in_several_records_and_long_names_too() -> None:
    found = breaks([(f"a{n}", 1, 2) for n in range(1001)], 1500)
    assert [len(one.channels) for one in found] == [MAX_NAMED, 1]
    assert [one.channels for one in breaks([(f"a{n}", 1, 2) for n in range(1500)], 1500)] == [[]]
    long = breaks([(f"{n:04}" + "温" * 400, 1, 2) for n in range(900)], 1500)
    assert all(sum(len(name.encode()) for name in one.channels) <= NAMED_BYTES for one in long)
    assert sum(len(one.channels) for one in long) == 900
