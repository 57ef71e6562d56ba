"""Spools that are lost, go back or are copied, and machines that move: some dozens of hostile schedules; `tests/faults/test_protocol.py` runs the many."""

from __future__ import annotations

import pytest

from tests.support.spool_simulation import run, run_many


def test_what_was_acknowledged_is_on_record_once_or_covered_by_a_gap() -> None:
    seen = run_many(0, 30)
    assert all(seen[fault] for fault in ("lossy", "copies", "moves", "gaps")), f"the faults are not happening: {seen}"


@pytest.mark.parametrize("seed", [7, 15, 66, 219, 596, 684, 867, 1456, 20265, 20304, 20768, 201170, 302115, 802368])
def test_schedules_that_once_found_a_fault(seed: int) -> None:
    """7: a machine moved, and what its old gateway still had to send was lost with the spool; 15: a second start of a restored spool took
    the newer claims for older ones; 66: a spool photographed before its numbers were proved gave all of them anew; 219: an epoch was
    begun again at each crash; 596: a machine that came back to the shard whose spool was lost; 684: a copy of a copy; 867: a gateway
    told a gap of a machine that had left it; 1456: the newest epoch by its id was not the last one; 20265, 20304, 20768: what a spool said of a
    machine's end was believed after the machine had come back to it and the spool was lost; 201170, 302115: what was heard late of a lost
    spool seemed older than what had been told; 802368: the machine had left the gateway that heard of its lost spool late."""
    run(seed)
