"""The sequence numbers of a Sparkplug edge node over many rounds of 256: whatever comes late, twice or never, the count of what is missing is right."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from shinkei_gateway.sparkplug.reorder import Reorder

MESSAGES = 1200
WINDOW = 8


def taken(reorder: Reorder[int], numbers: list[int]) -> list[tuple[int, int, bool]]:
    """What is given out when messages ``numbers`` come in this order, one a tick, and a missing one is waited for `WINDOW` ticks."""
    found = []
    for now, number in enumerate(numbers):
        found += reorder.take(number % 256, number, number, now)
        if reorder.due(now):
            found += reorder.flush()
    return [tuple(one) for one in [*found, *reorder.flush()]]


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.01, 0.1]), st.sampled_from([0.0, 0.05, 0.3]))
def test_missing_is_what_never_came(seed: int, lost: float, shuffled: float) -> None:
    rng = random.Random(seed)
    came = [n for n in range(1, MESSAGES) if n == MESSAGES - 1 or rng.random() >= lost]
    places = [at + (rng.uniform(1, 2 * WINDOW) if rng.random() < shuffled else 0) for at in range(len(came))]
    order = [number for _, number in sorted(zip(places, came, strict=True))]
    order = [again for number in order for again in ([number, number] if rng.random() < 0.02 else [number])]
    reorder: Reorder[int] = Reorder(WINDOW)
    reorder.begin(0)
    found = taken(reorder, order)
    assert sorted(number for number, _, _ in found) == came
    in_time = [number for number, _, is_late in found if not is_late]
    assert in_time == sorted(in_time)
    late = len(found) - len(in_time)
    assert sum(missing for _, missing, _ in found) - late == MESSAGES - 1 - len(came)


def test_a_number_that_was_given_up_means_nothing_in_the_next_round() -> None:
    reorder: Reorder[int] = Reorder(WINDOW)
    reorder.begin(0)
    found = taken(reorder, [1, *range(3, 257), 258, 257, 259])
    assert [one for one in found if one[1] or one[2]] == [(3, 1, False)]
    assert [number for number, _, _ in found] == [1, *range(3, 260)]


def test_a_long_hole_forgets_nothing_that_may_still_come_late() -> None:
    reorder: Reorder[int] = Reorder(WINDOW)
    reorder.begin(0)
    found = taken(reorder, [*range(1, 11), 200])
    found += taken(reorder, [150, 201, 202])
    assert [one for one in found if one[1] or one[2]] == [(200, 189, False), (150, 0, True)]
    assert [number for number, _, _ in found][-3:] == [150, 201, 202]
