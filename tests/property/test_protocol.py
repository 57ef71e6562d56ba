"""The protocol itself: thousands of hostile schedules. `SHINKEI_SCHEDULES` sets how many, `SHINKEI_SEED` where they begin."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.support.protocol_simulation import run

SCHEDULES = int(os.environ.get("SHINKEI_SCHEDULES", "400"))
FIRST_SEED = int(os.environ.get("SHINKEI_SEED", "0")) % 1_000_000_000


@pytest.mark.parametrize("part", range(8))
def test_nothing_is_lost_doubled_or_reordered(part: int) -> None:
    seen: Counter[str] = Counter()
    first = FIRST_SEED + part * 10_000_000
    for seed in range(first, first + max(1, SCHEDULES // 8)):
        try:
            seen.update(run(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: replay with SHINKEI_SCHEDULES=8 SHINKEI_SEED={seed}: {error}") from error
    assert seen["repeats"] > 0, "no schedule ever sent anything twice: the faults are not happening"
    print(f"{SCHEDULES // 8} schedules from seed {first}: {dict(seen)}")


@pytest.mark.parametrize("seed", [1005, 1139, 1249, 1556, 2401, 3452])
def test_schedules_that_once_found_a_fault(seed: int) -> None:
    """1139: a stream absent from a report; 1249, 3452: the last numbers trimmed; 1556: a gap taken live before it was recorded;
    2401: the last records of a stream lost with nothing behind them."""
    run(seed)
