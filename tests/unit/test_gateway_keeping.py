"""What everybody has is kept for ``keep_after``; where the space does not last for that it is told, once, and shown by `check`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shinkei_events.health import Health
from shinkei_events.settings import load_plant, section
from shinkei_gateway.check import try_sources
from shinkei_gateway.keeping import Keeping
from shinkei_gateway.settings import GatewaySettings, SpoolSettings

HOUR = 3600.0


def test_a_promise_that_gives_way_is_told_once_until_it_holds_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    used, now = [100], [100 * HOUR]
    settings = SpoolSettings(max_bytes=1000, keep_after=48 * HOUR)  # type: ignore[arg-type]
    keeping = Keeping(tmp_path, lambda: used[0], lambda: settings, lambda: now[0])
    (tmp_path / "1.seg").touch()
    os.utime(tmp_path / "1.seg", (97 * HOUR, 97 * HOUR))

    def told() -> list[str]:
        return [one.getMessage() for one in caplog.records if "keep_after" in one.getMessage()]

    assert (keeping.keep("1.seg"), keeping.short, told()) == (True, "", [])
    used[0] = 500
    assert [keeping.keep("1.seg") for _ in range(3)] == [False] * 3
    assert "3 h are kept of keep_after 48 h" in keeping.health()["kept_short"]
    assert len(told()) == 1
    assert "kept for 3 h, not for keep_after = 48 h: the spool has 50% of max_bytes" in told()[0]
    now[0] = 146 * HOUR
    assert (keeping.keep("1.seg"), keeping.health()) == (False, {})
    now[0] = 100 * HOUR
    assert not keeping.keep("1.seg")
    assert len(told()) == 2


@pytest.mark.parametrize("short", ["", "3 h are kept of keep_after 48 h"])
def test_check_says_it_of_a_shard_that_runs(tmp_path: Path, short: str) -> None:
    (tmp_path / "plant.toml").write_text('[site]\nid = "t"\n[gateway]\nid = "gw"\n')
    plant = load_plant(tmp_path / "plant.toml", tmp_path)
    assert section(plant, "gateway", GatewaySettings).spool.keep_after == 48 * HOUR
    assert try_sources(plant) == []
    gateway = Health("gateway", tmp_path)
    if short:
        gateway.update(kept_short=short)
    gateway.start()
    try:
        rows = try_sources(plant)
    finally:
        gateway.stop()
    assert rows == ([{"what": "gateway.spool of shard 0", "state": "wrong", "detail": short}] if short else [])
