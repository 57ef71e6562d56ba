"""A spool that drops its oldest when it is full: the newest stays, and the numbers that went are told exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shinkei_events.frames import readings
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Gap
from shinkei_gateway.core import Core
from shinkei_gateway.intake import Batch, Draft, Reading, gap
from shinkei_gateway.reconcile import Books
from shinkei_gateway.sending import Missing
from shinkei_gateway.taking import Taking
from tests.unit.test_gateway_epochs import T, opened, report, say, sent


def test_what_was_dropped_is_told_exactly(tmp_path: Path) -> None:
    freed: list[int] = []
    core = Core(tmp_path, "gw", "0", on_drop=freed.append, spool={"max_bytes": 12_000, "segment_bytes": 2_000})
    for n in range(120):
        say(core, 10 * n + 1, 10 * n + 11)
    assert freed
    assert core.spool.used() <= 12_000 + 2_000  # the limit counts batches; a new segment's table stands beside them
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


def test_the_books_balance_and_the_gap_is_what_they_numbered_and_the_log_has_not(tmp_path: Path) -> None:
    freed: list[int] = []
    books = Books()
    core = Core(tmp_path, "gw", "0", on_drop=freed.append, spool={"max_bytes": 12_000, "segment_bytes": 2_000})

    async def give() -> None:
        taking = Taking(core.intake, books, lambda: T, lambda: 0)
        for n in range(1, 1201, 10):
            await taking.put(
                Batch("src", [Reading("M", "counter", T + k, k, 0, T + k) for k in range(n, n + 10)], n + 10)
            )

    asyncio.run(give())
    assert freed
    frames = [event for event in sent(core) if isinstance(event, Frame)]
    signals = core.intake.stream("M", "signals")
    lost = [missing.mark for missing in core.forwarder.missing if missing.stream == signals]
    assert [mark.cause for mark in lost] == ["spool_dropped"]
    assert sum(frame.count for frame in frames) + sum((m.end or 0) - (m.begin or 0) for m in lost) == 1200
    for stream in (signals, signals.sibling("production")):
        report(core, stream, core.intake.next_number(stream))
    (row,) = books.rows(core.forwarder.state(), T)
    assert (row["received"], row["balanced"]) == (1200, True)
    assert row["numbered"] == row["stored"] == 1200 + row["own"], "on record, or covered by the gap record"

    async def tell() -> None:
        taking = Taking(core.intake, books, lambda: T, lambda: 0)
        for _ in range(2):  # the second time after a restart
            now = T + 10**9
            fields = {"id": "g", "of": signals, "cause": "spool_dropped", "begin": lost[0].begin, "end": lost[0].end, "at_least": gone}  # fmt: skip
            await taking.missing(
                Batch("@forward", [Draft("M", now, now, Gap, fields)]), [Missing(signals, mark) for mark in lost]
            )

    gone = sum((mark.end or 0) - (mark.begin or 0) for mark in lost)
    asyncio.run(tell())
    told, row = sorted(Books(books.encode()).rows(core.forwarder.state(), T), key=lambda row: str(row["source"]))
    assert (row["dropped"], row["stored"]) == (gone, 1200 + row["own"] - gone)
    assert (told["source"], told["own"], told["dropped"], told["balanced"]) == ("@forward", 2, 0, True)
    core.close(5)


def test_what_a_source_says_was_lost_before_it_had_a_number_is_in_the_books(tmp_path: Path) -> None:
    books, core = Books(), opened(tmp_path)

    async def give() -> None:
        taking = Taking(core.intake, books, lambda: T, lambda: 0)
        await taking.put(Batch("src", [gap("M", "overflow", T, T + 9, T + 9, at_least=7, channels=["a"])]), own=1)

    asyncio.run(give())
    (row,) = books.rows(core.forwarder.state(), T)
    assert (row["received"], row["dropped"], row["balanced"]) == (0, 7, True)
    core.close(5)
