"""A recording as a source: whole, once, also over crashes; it waits for its file and for what is not recorded yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zstandard

from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.file_source import Recording
from shinkei_gateway.settings import FileSource
from tests.support.fake_intake import FakeIntake
from tests.support.waiting import eventually_async

T = 1_700_000_000_000_000_000


def lines(count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"m": "A", "t": T + at, "signal": "x", "v": at} for at in range(count)]
    found.append({"m": "A", "t": T + count, "state": {"state": "HELD"}})
    return found


def write(path: Path, rows: Iterable[Any], *, end: bool = True, compress: bool = True) -> None:
    rest = [{"end": T}] if end else []
    text = b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in [*rows, *rest])
    path.write_bytes(zstandard.compress(text) if compress else text)


def recording(folder: Path, intake: FakeIntake, name: str = "past.jsonl.zst") -> Recording:
    return Recording("past", FileSource(path=name), folder, intake)


def values(intake: FakeIntake) -> list[Any]:
    return [reading.value for reading in intake.readings("x")]


def test_it_is_read_once_and_whole(tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        write(tmp_path / "past.jsonl.zst", lines(5000))
        for _ in range(2):
            await asyncio.wait_for(recording(tmp_path, intake).run(asyncio.Event()), 60)
        assert values(intake) == list(range(5000))
        assert all(batch.history for batch in intake.batches)
        assert len(intake.drafts()) == 1
        assert intake.books["offered"] == 5001

    asyncio.run(test())


def test_after_a_crash_it_goes_on_where_the_spool_says(tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        write(tmp_path / "past.jsonl.zst", lines(5000))
        first = asyncio.create_task(recording(tmp_path, intake).run(asyncio.Event()))
        await eventually_async(lambda: len(values(intake)) >= 1000, every=0)
        intake.hold = True
        await eventually_async(lambda: intake.waiting)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        intake.crash()
        intake.hold = False
        assert len(values(intake)) < 5000
        await asyncio.wait_for(recording(tmp_path, intake).run(asyncio.Event()), 60)
        assert values(intake) == list(range(5000))

    asyncio.run(test())


def test_read_again_by_a_new_spool_it_is_whole_and_what_is_on_record_is_marked(tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        intake.before = {"A": 1500}
        write(tmp_path / "past.jsonl.zst", lines(5000))
        await asyncio.wait_for(recording(tmp_path, intake).run(asyncio.Event()), 60)
        assert values(intake) == list(range(5000))
        assert [batch.maybe_again for batch in intake.batches] == [True, True, False, False, False, False]
        after = recording(tmp_path, intake)
        await asyncio.wait_for(after.run(asyncio.Event()), 60)
        assert values(intake) == list(range(5000)), "its own place is known by now"

    asyncio.run(test())


def test_it_waits_for_the_file_and_for_its_end(tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        made = recording(tmp_path, intake, "past.jsonl")
        stop = asyncio.Event()
        task = asyncio.create_task(made.run(stop))
        await eventually_async(lambda: made.health()["error"])
        rows = lines(20)
        write(tmp_path / "past.jsonl", rows[:10], end=False, compress=False)
        with (tmp_path / "past.jsonl").open("ab") as file:
            file.write(b'{"m": "A", "t"')  # still being written
        await eventually_async(lambda: len(values(intake)) == 10)
        write(tmp_path / "past.jsonl", rows, compress=False)
        await asyncio.wait_for(task, 60)
        assert values(intake) == list(range(20))

    asyncio.run(test())


def test_a_broken_line_goes_to_quarantine_and_its_neighbours_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        write(
            tmp_path / "past.jsonl.zst",
            [*lines(3), b"{nonsense", {"m": "A", "t": T, "signal": "x", "v": 9}, {"m": "A", "t": T}],
        )
        await asyncio.wait_for(recording(tmp_path, intake).run(asyncio.Event()), 60)
        assert values(intake) == [0, 1, 2, 9]
        assert [draft.fields["where"] for draft in intake.drafts(Quarantined)] == [
            "past.jsonl.zst:5",
            "past.jsonl.zst:7",
        ]

    asyncio.run(test())


def test_it_holds_back_while_much_is_not_recorded(tmp_path: Path) -> None:
    async def test() -> None:
        intake = FakeIntake()
        intake.recorded = False
        write(tmp_path / "past.jsonl.zst", lines(10))
        made = recording(tmp_path, intake)
        stop = asyncio.Event()
        task = asyncio.create_task(made.run(stop))
        await asyncio.wait({task}, timeout=0.3)
        assert intake.batches == []
        intake.recorded = True
        await asyncio.wait_for(task, 60)
        assert values(intake) == list(range(10))

    asyncio.run(test())
