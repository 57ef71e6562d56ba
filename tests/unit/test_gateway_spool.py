"""The spool: what is durable stays, what is damaged is counted, what is recorded goes."""

from __future__ import annotations

import itertools
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shinkei_events.errors import Full
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.segment import Entry, encode_batch, read_batch
from shinkei_gateway.spool.spool import Opening, Spool, open_spool
from tests.support.waiting import eventually

EPOCHS = [f"00000000-0000-7000-8000-{n:012d}" for n in range(9)]


def opened(folder: Path, **more: object) -> tuple[Spool, Opening]:
    count = itertools.count(len(list(folder.glob("*.seg"))) if folder.exists() else 0)
    return open_spool(FolderDisk(folder), lambda: EPOCHS[next(count)], **more)


def fill(spool: Spool, batches: int, size: int = 50, per: int = 10) -> str:
    stream = f"{spool.epoch}/OP10/signals"
    for _ in range(batches):
        first = spool.next_number(stream)
        spool.write([Entry(stream, first, per, "t", size)], [bytes([first % 251]) * size], {"source": first})
        spool.sync()
    return stream


def numbers(spool: Spool) -> list[tuple[int, int]]:
    cursor, found = spool.begin(), []
    while (step := spool.read(cursor)) is not None:
        batch, cursor = step
        for entry, payload in zip(batch.index.entries, batch.payloads(), strict=True):
            assert payload == bytes([entry.first % 251]) * entry.size
            found.append((entry.first, entry.count))
    return found


def last_file(folder: Path) -> Path:
    return max(folder.glob("*.seg"))


def test_numbers_and_resume_states_survive(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path, segment_bytes=600)
    stream = fill(spool, 20)
    again, found = opened(tmp_path, segment_bytes=600)
    assert found == Opening()
    assert again.epoch == spool.epoch
    assert again.next_number(stream) == 201
    assert again.resume("source") == 191
    assert numbers(again) == [(1 + 10 * n, 10) for n in range(20)]
    assert len(list(tmp_path.glob("*.seg"))) > 2


def test_written_but_not_synced_is_not_seen(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path)
    spool.write([Entry("s", 1, 1, "t", 1)], [b"x"], {})
    assert spool.read(spool.begin()) is not None  # the segment's own table
    assert numbers(spool) == []
    spool.sync()
    assert spool.next_number("s") == 2


@pytest.mark.parametrize("cut", [1, 7, 15, 40])
def test_a_torn_tail_is_cut(tmp_path: Path, cut: int) -> None:
    spool, _ = opened(tmp_path)
    stream = fill(spool, 3)
    path = last_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    again, found = opened(tmp_path)
    assert found.tail == "torn"
    assert again.epoch == spool.epoch
    assert again.next_number(stream) == 21
    fill(again, 1)
    assert [first for first, _ in numbers(again)] == [1, 11, 21]


def test_full_says_so_and_loses_nothing(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path, max_bytes=900)
    with pytest.raises(Full, match="bytes are used"):
        fill(spool, 50)
    before = numbers(spool)
    assert before
    again, _ = opened(tmp_path)
    assert numbers(again) == before


def test_a_spool_that_is_taken_away_takes_nothing_until_it_is_back(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
    spool, _ = opened(home)
    stream = fill(spool, 1)
    home.rename(elsewhere)
    dropped: list[int] = []
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    commit = GroupCommit(spool, on_full=said.put, on_drop=dropped.append)
    durable = commit.submit([Entry(stream, 11, 10, "t", 1)], [b"x"], {})
    assert "was taken away while it was written; put its folder back" in said.get(timeout=60)
    assert not durable.done()
    assert not commit.has_room()
    elsewhere.rename(home)
    durable.result(60)
    assert said.get(timeout=60) == ""
    commit.stop()
    assert dropped == []
    again, _ = opened(home)
    assert again.next_number(stream) == 21


def test_trim_waits_for_every_stream(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path, segment_bytes=400)
    one = fill(spool, 10)
    assert spool.trim({}) == 0
    assert spool.trim({one: 31}) >= 1
    assert spool.oldest(one) <= 31
    assert [first for first, _ in numbers(spool)][-1] == 91
    assert spool.trim({one: 101}, keep=lambda _name: True) == 0
    spool.trim({one: 101})
    assert spool.next_number(one) == 101
    again, _ = opened(tmp_path, segment_bytes=400)
    assert again.next_number(one) == 101


def test_position_of_finds_a_place_at_or_before(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path, segment_bytes=400)
    stream = fill(spool, 10)
    for number in (1, 15, 55, 100):
        step = spool.read(spool.position_of(stream, number))
        seen = []
        while step is not None:
            batch, cursor = step
            seen += [entry.first + entry.count for entry in batch.index.entries]
            step = spool.read(cursor)
        assert any(end > number for end in seen)


def test_group_commit_keeps_order_and_waits_for_room(tmp_path: Path) -> None:
    told: list[str] = []
    spool, _ = opened(tmp_path, max_bytes=600)
    commit = GroupCommit(spool, on_full=told.append)
    futures = []
    for n in range(200):
        futures.append(commit.submit([Entry("s", 1 + n, 1, "t", 40)], [bytes([(1 + n) % 251]) * 40], {}))
        if n < 3:
            futures[-1].result(60)
    eventually(lambda: bool(told), 5)
    assert not futures[-1].done()
    assert not commit.has_room()
    spool._max_bytes = 1 << 40
    futures[-1].result(60)
    eventually(lambda: told[-1] == "", 5)
    commit.stop()
    assert numbers(spool) == [(1 + n, 1) for n in range(200)]


def test_a_new_epoch_on_demand(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path)
    fill(spool, 1)
    commit = GroupCommit(spool)
    old = spool.epoch
    commit.call(lambda: spool.begin_epoch(EPOCHS[5], {}, "spool_went_back", "")).result(60)
    commit.stop()
    assert spool.epoch != old
    assert spool.next_number(f"{spool.epoch}/OP10/signals") == 1


def test_spools_of_one_process_do_not_mix_what_they_write() -> None:
    def batches(tag: int) -> list[bool]:
        payloads = [bytes([tag]) * 2_000 for _ in range(20)]
        entries = [Entry("e/M/signals", 1, 1, "t", 2_000)] * 20
        made = (encode_batch(entries, payloads, {"src": bytes([tag]) * 500}) for _ in range(300))
        read = (read_batch(lambda at, size, data=data: data[at : at + size], 0, len(data)) for data in made)  # type: ignore[misc]
        return [batch is not None and batch.payloads() == payloads for batch in read]

    with ThreadPoolExecutor(3) as threads:
        assert all(all(found) for found in threads.map(batches, range(3)))
