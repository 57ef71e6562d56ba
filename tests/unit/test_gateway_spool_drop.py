"""A spool that drops its oldest when it is full: the newest stays, and the numbers that went are told exactly."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.frames import readings
from shinkei_events.model.frame import Frame
from shinkei_gateway.core import Core
from tests.unit.test_gateway_epochs import opened, say, sent


def test_what_was_dropped_is_told_exactly(tmp_path: Path) -> None:
    freed: list[int] = []
    core = Core(tmp_path, "gw", "0", on_drop=freed.append, spool={"max_bytes": 12_000, "segment_bytes": 2_000})
    for n in range(120):
        say(core, 10 * n + 1, 10 * n + 11)
    assert freed
    assert core.spool.used() <= 12_000
    assert core.intake.has_room()
    core.close(5)
    again = opened(tmp_path)
    frames = [e for e in sent(again) if isinstance(e, Frame)]
    mark = frames[0].gap_before
    assert mark is not None
    assert (mark.cause, mark.begin, mark.end) == ("spool_dropped", 1, frames[0].first)
    numbers = [(number, value) for frame in frames for number, _, _, value, _, _ in readings(frame)]
    assert numbers == [(n, n) for n in range(frames[0].first, 1201)]
    assert {(m.mark.cause, m.mark.begin) for m in again.forwarder.missing} == {("spool_dropped", 1)}
    again.close(5)
