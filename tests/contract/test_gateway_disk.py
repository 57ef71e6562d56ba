"""What the spool asks of a disk, on the real one and on the simulated one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from shinkei_gateway.spool.disk import Disk, FolderDisk
from tests.support.protocol_simulation import SimDisk


@pytest.fixture(params=["folder", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    makers: dict[str, Callable[[], Disk]] = {
        "folder": lambda: FolderDisk(tmp_path / "spool"),
        "simulated": lambda: SimDisk(random.Random(1)),
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
