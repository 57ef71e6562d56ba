"""What the spool asks of a disk: of the real one, of the simulated one, and of the one that fails on demand."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from shinkei_gateway.spool.disk import Disk, FolderDisk
from tests.support.faulty_disk import FaultyDisk
from tests.support.protocol_simulation import SimDisk


@pytest.fixture(params=["folder", "simulated", "faulty"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    makers: dict[str, Callable[[], Disk]] = {
        "folder": lambda: FolderDisk(tmp_path / "spool"),
        "simulated": lambda: SimDisk(random.Random(1)),
        "faulty": lambda: FaultyDisk(FolderDisk(tmp_path / "spool"), random.Random(1)),
    }
    return makers[request.param]()


def test_append_read_size(disk: Disk) -> None:
    disk.append("a", b"hello")
    disk.append("a", b" world")
    disk.sync("a")
    assert disk.size("a") == 11
    assert disk.read("a", 6, 100) == b"world"
    assert disk.read("a", 11, 5) == b""


def test_truncate_then_append(disk: Disk) -> None:
    disk.append("a", b"hello world")
    disk.truncate("a", 5)
    disk.append("a", b"!")
    assert disk.read("a", 0, 99) == b"hello!"


def test_names_and_delete(disk: Disk) -> None:
    disk.append("b", b"1")
    disk.append("a", b"2")
    assert disk.names() == ["a", "b"]
    disk.delete("a")
    disk.delete("a")
    assert disk.names() == ["b"]
    disk.append("a", b"3")
    assert disk.read("a", 0, 9) == b"3"


def break_it(disk: Disk, fault: str) -> None:
    if isinstance(disk, SimDisk):
        disk.full = True
    elif isinstance(disk, FaultyDisk):
        disk.room = 3 if fault == "full" else None
        disk.torn = 1 if fault == "torn" else 0
        disk.is_read_only = fault == "read-only"


@pytest.mark.parametrize("fault", ["full", "torn", "read-only"])
def test_a_write_that_fails_leaves_a_beginning_of_it_and_nothing_else(disk: Disk, fault: str) -> None:
    if isinstance(disk, FolderDisk):
        return  # the real one is broken by the tests that mount a small file system
    disk.append("a", b"hello")
    disk.sync("a")
    break_it(disk, fault)
    with pytest.raises(OSError):
        disk.append("a", b" world")
    found = disk.read("a", 0, 99)
    assert b"hello world".startswith(found)
    assert len(found) >= 5


def test_a_crash_keeps_what_was_synced(disk: Disk) -> None:
    disk.append("a", b"hello")
    disk.sync("a")
    disk.append("a", b" world")
    if isinstance(disk, SimDisk | FaultyDisk):
        disk.crash()
    assert disk.read("a", 0, 99).startswith(b"hello")


def test_after_a_sync_that_failed_only_what_is_written_again_is_durable(tmp_path: Path) -> None:
    disk = FaultyDisk(FolderDisk(tmp_path / "spool"), random.Random(1))
    disk.append("a", b"hello")
    disk.sync("a")
    for again in (False, True):
        disk.append("a", b" world")
        disk.mute = 1
        with pytest.raises(OSError):
            disk.sync("a")
        if again:
            disk.truncate("a", 5)
            disk.append("a", b" world")
        disk.sync("a")
        disk.crash()
        assert disk.read("a", 0, 99) == (b"hello world" if again else b"hello")
