"""The door into the spool: books kept with what was really numbered; the real intake and spool on a real disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import StreamClosed
from shinkei_gateway.intake import Batch, Draft, Intake, Reading, gap
from shinkei_gateway.quarantine import quarantined
from shinkei_gateway.reconcile import Books
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool
from shinkei_gateway.taking import Taking

T = 1_700_000_000_000_000_000
EPOCH = "018bcfe5-6800-7000-8000-000000000000"


def reading(channel: str, value: Any, at: int = 0) -> Reading:
    return Reading("M", channel, T + at, value, 0, T + at)


def row(folder: Path, *batches: tuple[Batch, dict[str, int]]) -> dict[str, Any]:
    """The books' one row after ``batches`` (with what their source says of them)."""
    spool, _ = open_spool(FolderDisk(folder), lambda: EPOCH)
    commit, books = GroupCommit(spool), Books()

    async def put() -> None:
        taking = Taking(Intake(spool, commit, "gw", "0", lambda: T), books, lambda: T, lambda: 0)
        for batch, said in batches:
            await taking.put(batch, **said)

    asyncio.run(put())
    commit.stop()
    state = {name: (end, end, end) for name, end in spool.streams().items()}
    (found,) = books.rows(state, 0)
    return found


def test_every_item_has_its_place_in_the_books(tmp_path: Path) -> None:
    items = [reading("x", 1.0), reading("y", 2.0, 1), Draft("M", T, T, MachineStateChanged, {"state": "EXECUTE"})]
    found = row(
        tmp_path,
        (Batch("src", items), {"duplicate": 3}),
        (Batch("src", [gap("M", "overflow", T, T + 9, T + 9)]), {"own": 1}),
        (Batch("src", [quarantined("src", "M", "t", b"?", "bad", T)]), {}),
    )
    assert (found["received"], found["own"], found["duplicate"], found["quarantined"], found["numbered"]) == (
        7,
        2,
        3,
        1,
        5,
    )
    assert found["sent"] == found["stored"] == 6
    assert found["balanced"]


def test_what_breaks_the_language_is_quarantined_and_still_balances(tmp_path: Path) -> None:
    items = [
        reading("x", float("inf")),
        reading("x", 1.0, 5),
        Draft("M", T, T, MachineStateChanged, {"state": "DANCING"}),
    ]
    found = row(tmp_path, (Batch("src", items), {}))
    assert (found["received"], found["quarantined"], found["numbered"], found["balanced"]) == (3, 2, 2, True)


def test_a_machine_that_comes_back_after_its_stream_ended_leaves_the_books_in_balance(tmp_path: Path) -> None:
    found = row(
        tmp_path,
        (Batch("src", [reading("x", 1.0)]), {}),
        (Batch("src", [Draft("M", T, T, StreamClosed, {"reason": "not in plant.toml any more"})]), {"own": 1}),
        (Batch("src", [reading("x", 2.0, 1)]), {}),
    )
    assert found["balanced"]
    assert (found["received"], found["own"], found["numbered"]) == (2, 3, 5)
