"""The embedded log is there at once: the mock's thread must not sleep over a request (it would then take seconds, at random)."""

from __future__ import annotations

import time
from pathlib import Path

from shinkei_events.embedded_log import EmbeddedLog

STARTS, WITHIN_S = 6, 3.0
"""Measured: 0.5 s for all of them; 5 s where each start lost a second now and then."""
ROUNDS = 5
"""A shared machine may stand still in one round; a log that loses seconds does so in all of them."""


def starting(folder: Path) -> float:
    """Seconds that `STARTS` starts took."""
    took = 0.0
    for at in range(STARTS):
        log = EmbeddedLog(folder / str(at))
        began = time.monotonic()
        log.start()
        took += time.monotonic() - began
        log.stop()
    return took


def test_it_starts_without_losing_seconds(tmp_path: Path) -> None:
    assert any(starting(tmp_path / str(at)) < WITHIN_S for at in range(ROUNDS))
