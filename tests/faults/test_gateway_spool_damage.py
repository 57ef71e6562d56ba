"""Damage in the spool's files: one wrong bit costs nothing, more costs exactly what it hit, and a number is never given twice."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
import zstandard

from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.mend import mended, wrong_bit
from shinkei_gateway.spool.opening import ENDING
from shinkei_gateway.spool.segment import HEADER_BYTES, MARK, Entry, read_batch
from shinkei_gateway.spool.spool import Spool
from tests.unit.test_gateway_spool import EPOCHS, fill, last_file, numbers, opened


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A thousand spools are opened here; a process with more than 1024 files open has no `select` any more, which MQTT clients wait by."""
    disks, made = list[FolderDisk](), FolderDisk.__init__

    def remembered(disk: FolderDisk, *said: Any, **more: Any) -> None:
        made(disk, *said, **more)
        disks.append(disk)

    monkeypatch.setattr(FolderDisk, "__init__", remembered)
    yield
    for disk in disks:
        disk.close()


def two_streams(folder: Path, batches: int = 6) -> Spool:
    """Batches of stream A (1 … 10, 11 … 20, …) and B by turns, with a resume state each."""
    spool, _ = opened(folder)
    for at in range(batches):
        stream = f"{spool.epoch}/{'AB'[at % 2]}/signals"
        first = spool.next_number(stream)
        spool.write(
            [Entry(stream, first, 10, "t", 60)], [bytes([first % 251]) * 60], {"src": {"at": at, "window": bytes(range(at, at + 64))}}
        )  # fmt: skip
        spool.sync()
    return spool


def batches_of(data: bytes) -> list[int]:
    """Where each batch of a segment begins."""
    found, at = [], data.find(MARK)
    while at != -1:
        found.append(at)
        at = data.find(MARK, at + 1)
    return found


def test_the_wrong_bit_is_found_wherever_it_is(rng: random.Random) -> None:
    for _ in range(60):
        data = rng.randbytes(rng.randint(1, 3000))
        place, bit = rng.randrange(len(data)), rng.randrange(8)
        broken = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
        difference = google_crc32c.value(broken) ^ google_crc32c.value(data)
        assert wrong_bit(difference, len(data)) == (place, bit)
        assert mended(broken, difference) == data


def test_two_wrong_bits_are_not_taken_for_one(rng: random.Random) -> None:
    for _ in range(60):
        data = rng.randbytes(1000)
        number = int.from_bytes(data, "big") ^ 1 << rng.randrange(4000) ^ 1 << (4000 + rng.randrange(4000))
        broken = number.to_bytes(1000, "big")
        assert mended(broken, google_crc32c.value(broken) ^ google_crc32c.value(data)) is None


def test_a_flipped_bit_anywhere_costs_nothing(tmp_path: Path) -> None:
    spool = two_streams(tmp_path)
    path = last_file(tmp_path)
    data = path.read_bytes()
    wanted, streams = numbers(spool), spool.streams()
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1 << place % 8
        path.write_bytes(broken)
        again, found = opened(tmp_path)
        assert numbers(again) == wanted, f"byte {place}"
        assert again.streams() == streams
        assert again.resume("src") == {"at": 5, "window": bytes(range(5, 69))}
        assert (again.epoch, found.tail) == (spool.epoch, "clean"), f"byte {place}"
        assert len(list(tmp_path.glob("*.seg"))) == 1


@pytest.mark.parametrize("last", [True, False])
def test_a_block_that_is_gone_costs_exactly_its_numbers(tmp_path: Path, last: bool) -> None:
    """The batch's index is still readable and continues what came before: the numbers are known, no epoch ends."""
    spool = two_streams(tmp_path)
    wanted = numbers(spool)
    path = last_file(tmp_path)
    data = bytearray(path.read_bytes())
    end = len(data) if last else batches_of(data)[4]
    data[end - 12 : end] = bytes(12)
    path.write_bytes(data)
    again, found = opened(tmp_path)
    assert (found.corrupt, found.tail, again.epoch) == (1, "clean", spool.epoch)
    assert again.streams() == spool.streams()
    assert numbers(again) == (wanted[:-1] if last else wanted[:2] + wanted[3:])


@pytest.mark.parametrize("batch", [1, 3, 6])
def test_a_batch_of_which_nothing_is_readable_ends_the_epoch(tmp_path: Path, batch: int) -> None:
    """Nobody knows which numbers it gave: giving them again would be silent loss."""
    spool = two_streams(tmp_path)
    path = last_file(tmp_path)
    data = bytearray(path.read_bytes())
    at = batches_of(data)[batch]
    data[at + 8 : at + 60] = bytes(52)
    path.write_bytes(data)
    again, found = opened(tmp_path)
    assert (found.tail, found.previous_epoch) == ("damaged", spool.epoch)
    assert again.epoch != spool.epoch
    assert len(numbers(again)) == 5
    third, found = opened(tmp_path)
    assert (third.epoch, found.tail) == (again.epoch, "clean")


def test_a_segment_without_a_head_is_still_read_and_not_trimmed_early(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path, segment_bytes=500)
    stream = fill(spool, 12)
    files = sorted(tmp_path.glob("*.seg"))
    assert len(files) > 3
    wanted = numbers(spool)
    second = bytearray(files[1].read_bytes())
    second[0 : batches_of(second)[1]] = bytes(batches_of(second)[1])
    files[1].write_bytes(second)
    again, found = opened(tmp_path, segment_bytes=500)
    assert (found.corrupt, again.epoch) == (1, spool.epoch)
    assert numbers(again) == wanted
    third_begins = next(first for first, _ in wanted if again.position_of(stream, first).segment >= 3)
    assert again.trim({stream: third_begins}) == 2
    assert again.oldest(stream) == third_begins


def test_the_newest_segment_without_a_head_keeps_resume_states_and_ends_the_epoch(tmp_path: Path) -> None:
    spool, _ = opened(tmp_path, segment_bytes=500)
    stream = fill(spool, 12)
    path = last_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[: batches_of(data)[1]] = bytes(batches_of(data)[1])
    path.write_bytes(data)
    again, found = opened(tmp_path, segment_bytes=500)
    assert (found.tail, found.previous_epoch) == ("damaged", spool.epoch)
    assert again.resume(ENDING)["next"][stream] == spool.next_number(stream)
    assert again.resume("source") == spool.resume("source")


def test_a_flipped_bit_in_the_epoch_is_no_other_epoch(tmp_path: Path) -> None:
    two_streams(tmp_path)
    path = last_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES - 4] ^= 1
    path.write_bytes(data)
    assert opened(tmp_path)[0].epoch == EPOCHS[0]


def test_resume_states_are_small_when_little_changes(tmp_path: Path, rng: random.Random) -> None:
    spool, _ = opened(tmp_path)
    times: dict[str, int] = {f"channel-{n}": 1_700_000_000_000_000_000 for n in range(200)}
    window = rng.randbytes(1024)
    for at in range(40):
        times = times | {f"channel-{at}": 1_700_000_000_000_000_000 + at}
        window = window[8:] + bytes([at]) * 8
        said = {"last": dict(times), "window": window}
        spool.write([], [], {"src": said})
        spool.sync()
        said["last"]["gone"] = at  # type: ignore[index]  # what a source does with its own afterwards is nobody's
    assert spool.used() < 8_000 + 40 * 80
    again, _ = opened(tmp_path)
    assert again.resume("src") == spool.resume("src") == {"last": times, "window": window}


def busy(folder: Path) -> Spool:
    """Two batches whose index (source times of 200 signals) is big enough to be packed."""
    spool, _ = opened(folder)
    for at in range(2):
        stream = f"{spool.epoch}/A/signals"
        last = {f"signal-{n}": 1_700_000_000_000_000_000 + at * 10**9 + n for n in range(200)}
        spool.write([Entry(stream, 1 + 10 * at, 10, "t", 60)], [bytes([1 + 10 * at]) * 60], {"src": {"last": last}})
        spool.sync()
    return spool


def test_an_index_that_repeats_itself_is_packed_and_reads_the_same(tmp_path: Path) -> None:
    spool = busy(tmp_path)
    assert last_file(tmp_path).stat().st_size < 2 * 200 * 9, "the times alone are more, unpacked"
    state = spool.resume("src")
    again, found = opened(tmp_path)
    assert found.tail == "clean"
    assert again.resume("src") == state
    assert numbers(again) == numbers(spool)


def test_damage_in_a_packed_index_costs_its_batch_and_no_number_is_given_twice(
    tmp_path: Path, rng: random.Random
) -> None:
    busy(tmp_path)
    path = last_file(tmp_path)
    data = path.read_bytes()
    begin = batches_of(data)[-1] + 16
    for _ in range(60):
        broken = bytearray(data)
        at = rng.randrange(begin, len(data) - 8)
        broken[at : at + 8] = rng.randbytes(8)
        path.write_bytes(bytes(broken))
        spool, found = opened(tmp_path)
        stream = f"{spool.epoch}/A/signals"
        assert found.previous_epoch is not None or spool.next_number(stream) == 21
        for other in tmp_path.iterdir():
            other.unlink()


def test_an_index_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path) -> None:
    huge = zstandard.ZstdCompressor().compress(bytes(1 << 27))
    rest = struct.pack(">II", len(huge), len(huge)) + huge
    batch = MARK + google_crc32c.value(rest).to_bytes(4, "big") + rest
    assert read_batch(lambda at, length: batch[at : at + length], 0, len(batch)) is None
