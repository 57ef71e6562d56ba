"""The embedded log is there at once: the mock's thread must not sleep over a request (it would then take seconds, at random)."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress, _common
from tests.support.parts import environment

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


WITHOUT_NETWORK = """
import sys
from pathlib import Path
from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress, producer
log = EmbeddedLog(Path(sys.argv[1]))
log.start()
print(producer(LogAddress(log.bootstrap, log.log_id, True)).list_topics(timeout=20).brokers)
log.stop()
"""


def test_it_is_reached_where_the_loopback_is_the_only_interface(tmp_path: Path) -> None:
    """A demo needs no network. Where no namespace may be made (not root and not allowed), the setting that decides it is read."""
    inner = f"ip link set lo up && exec {shlex.quote(sys.executable)} -P -c {shlex.quote(WITHOUT_NETWORK)} {shlex.quote(str(tmp_path / 'log'))}"
    if subprocess.run(["unshare", "-rn", "sh", "-c", "ip link set lo up"], capture_output=True).returncode == 0:
        done = subprocess.run(
            ["unshare", "-rn", "sh", "-c", inner], capture_output=True, text=True, timeout=90, env=environment()
        )
        assert done.returncode == 0, done.stderr
        assert "127.0.0.1" in done.stdout
    else:
        assert _common(LogAddress("127.0.0.1:1", "", True))["broker.address.family"] == "any"
