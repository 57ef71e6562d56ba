"""A disk that fills up, turns read-only, tears writes and forgets what it was to sync: what was confirmed to a source is there, once and in order."""

from __future__ import annotations

import random
from concurrent.futures import Future
from pathlib import Path

import pytest

from shinkei_events.codec import decode
from shinkei_events.errors import Full
from shinkei_events.frames import readings
from shinkei_events.model.frame import Frame
from shinkei_gateway.core import Core
from shinkei_gateway.intake import Batch, Reading
from shinkei_gateway.spool.disk import FolderDisk
from tests.support.faulty_disk import FaultyDisk
from tests.support.sizes import Sizes
from tests.support.waiting import eventually

T = 1_700_000_000_000_000_000


class Site:
    """One source that counts, over a disk that fails; a machine that loses its power now and then."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.disk = FaultyDisk(FolderDisk(folder), rng)
        self.told: list[str] = []
        self.given = self.confirmed = 0
        self.open()

    def open(self) -> None:
        self.core = Core(
            self.folder, "gw", "0", disk=self.disk, on_full=self.told.append, spool={"segment_bytes": 4_000}
        )
        kept = self.core.intake.resume("src") or 0
        assert self.confirmed <= kept <= self.given, "what was confirmed is there, and nothing that nobody gave"
        self.given = kept
        self.pending: list[tuple[int, Future[None]]] = []

    def put(self, count: int) -> None:
        items = [Reading("M", "a", T + n, n, 0, T + n) for n in range(self.given + 1, self.given + count + 1)]
        self.given += count
        self.pending.append((self.given, self.core.intake.put(Batch("src", list(items), self.given))))

    def fail(self, fault: str) -> None:
        if fault == "full":
            self.disk.room = self.rng.randrange(300)
        elif fault == "read-only":
            self.disk.is_read_only = True
        elif fault == "torn":
            self.disk.torn = self.rng.randint(1, 3)
        else:
            self.disk.mute = self.rng.randint(1, 3)

    def look(self) -> None:
        for given, future in self.pending:
            if future.done():
                self.confirmed = max(self.confirmed, given)

    def is_done(self) -> bool:
        return all(future.done() for _, future in self.pending)

    def settle(self) -> None:
        self.disk.heal()
        eventually(self.is_done, 30)
        self.look()
        assert self.core.intake.has_room()

    def lose_power(self) -> None:
        self.core.commit.stop(60)  # its thread ends: either all is written or the disk lets it not
        self.look()
        self.core.lock.release()
        self.disk.crash()
        self.open()

    def values(self) -> list[tuple[int, object]]:
        found: list[tuple[int, object]] = []
        at = self.core.spool.begin()
        while (step := self.core.spool.read(at)) is not None:
            batch, at = step
            for entry, payload in zip(batch.index.entries, batch.payloads(), strict=True):
                event = decode(entry.type, payload)
                if isinstance(event, Frame):
                    found += [(number, value) for number, _, _, value, _, _ in readings(event)]
        return found


@pytest.mark.parametrize("fault", ["full", "read-only", "torn", "mute"])
def test_what_was_confirmed_is_kept(tmp_path: Path, rng: random.Random, sizes: Sizes, fault: str) -> None:
    site = Site(tmp_path / "spool", rng)
    for _ in range(sizes.of(f"faults of the disk ({fault})", sample=12, full=150)):
        site.fail(fault)
        for _ in range(rng.randint(1, 6)):
            site.put(rng.randint(1, 40))
        eventually(lambda: site.is_done() or not site.core.intake.has_room(), 30, every=0.001)
        if rng.random() < 0.4:
            site.lose_power()
        else:
            site.settle()
    site.settle()
    assert site.values() == [(n, n) for n in range(1, site.given + 1)]
    assert site.core.spool.corrupt == 0
    assert site.confirmed == site.given
    assert "" in site.told, "what was told to be full was told to have room again"
    site.core.close(60)
    site.disk.close()


def test_a_disk_that_stays_read_only_stops_neither_reading_nor_the_forwarder(tmp_path: Path) -> None:
    """Deleting what is recorded fails as well; it is tried again, and nothing of the gateway ends by it."""
    site = Site(tmp_path / "spool", random.Random(1))
    for _ in range(40):
        site.put(30)
        site.settle()
    segments = len(site.disk.names())
    assert segments > 5
    site.disk.is_read_only = True
    done = dict.fromkeys(site.core.spool.streams(), 1 << 60)
    assert site.core.spool.trim(done) == 0
    assert site.core.spool.drop_oldest() == 0
    assert site.values() == [(n, n) for n in range(1, 1201)]
    site.put(1)
    eventually(lambda: not site.core.intake.has_room(), 10)
    site.settle()
    assert site.core.spool.trim(done) >= segments - 1
    site.core.close(60)
    site.disk.close()


def test_a_spool_on_a_disk_that_cannot_be_written_says_so_and_opens_when_it_can(tmp_path: Path) -> None:
    disk = FaultyDisk(FolderDisk(tmp_path), random.Random(1))
    for fault in ("room", "is_read_only"):
        setattr(disk, fault, 0 if fault == "room" else True)
        with pytest.raises(Full):
            Core(tmp_path, "gw", "0", disk=disk)
        disk.heal()
    core = Core(tmp_path, "gw", "0", disk=disk)
    assert core.opening.previous_epoch is None
    core.close(60)
    disk.close()


def test_a_folder_that_cannot_even_be_made_or_locked_is_told_and_opens_when_it_can(tmp_path: Path) -> None:
    """A disk that came up read-only lets no lock file be made; a file in the folder's place fails in the same call, also for root."""
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("")
    for _ in range(2):
        with pytest.raises(Full, match=r"spool: .*/gw cannot be opened: .*; free or repair the disk"):
            Core(in_the_way / "gw", "gw", "0")
    in_the_way.unlink()
    core = Core(in_the_way / "gw", "gw", "0")
    assert core.opening.previous_epoch is None
    core.close(5)
