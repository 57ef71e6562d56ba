"""Spool, forwarder, recorder and consumer under ten thousand hostile schedules; a failing seed is printed and can be replayed."""

from __future__ import annotations

import pytest

from tests.support import spool_simulation
from tests.support.protocol_simulation import run_many
from tests.support.seed import seed_of_run
from tests.support.sizes import Sizes

PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_doubled_or_reordered(part: int, sizes: Sizes) -> None:
    schedules = sizes.of("protocol schedules", sample=10_400, full=200_000) // PARTS
    seen = run_many(seed_of_run() % 10**9 + part * 10**9, schedules)
    assert seen["repeats"] > schedules / 10, "hardly anything was sent twice: the faults are not happening"


@pytest.mark.parametrize("part", range(PARTS))
def test_spools_that_are_lost_go_back_or_are_copied_and_machines_that_move(part: int, sizes: Sizes) -> None:
    """Always the same ones in `make test`, new ones in `make faults`."""
    schedules = sizes.of("spool schedules", sample=2 * PARTS, full=40_000) // PARTS
    first = 0 if sizes.name == "sample" else seed_of_run() % 10**9
    spool_simulation.run_many(first + part * 10**9, schedules)
