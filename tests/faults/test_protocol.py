"""Spool, forwarder, recorder and consumer under ten thousand hostile schedules; a failing seed is printed and can be replayed."""

from __future__ import annotations

import pytest

from tests.support.protocol_simulation import run_many
from tests.support.seed import seed_of_run
from tests.support.sizes import Sizes

PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_doubled_or_reordered(part: int, sizes: Sizes) -> None:
    schedules = sizes.of("protocol schedules", sample=10_400, full=200_000) // PARTS
    seen = run_many(seed_of_run() % 10**9 + part * 10**9, schedules)
    assert seen["repeats"] > schedules / 10, "hardly anything was sent twice: the faults are not happening"
