"""A snapshot that does not fit is refused; one that fits goes on as if nothing had been."""

from __future__ import annotations

import pickle
import zlib

import msgspec
import pytest

from shinkei_detect.errors import SnapshotRefused
from shinkei_detect.machine import MachineDetector
from shinkei_detect.settings import DetectSettings, config_hash
from shinkei_detect.snapshot import Snapshot, restore, take
from tests.support.signal_frames import STREAM, Machine, shift


@pytest.fixture(scope="module")
def detector() -> MachineDetector:
    made = MachineDetector(STREAM, DetectSettings())
    for frame in Machine().run(400).run(20, shift(torque=9.0)).frames:
        made.use(frame)
    return made


def test_the_header_says_what_is_in_it(detector: MachineDetector) -> None:
    header = take(detector).header
    assert header.stream == str(STREAM)
    assert header.next_number == detector.next_number == 420 * 3 + 1
    assert header.version == detector.version


def test_it_is_small(detector: MachineDetector) -> None:
    assert len(take(detector).encode()) < 4000 * 3


@pytest.mark.parametrize("what", ["schema", "river", "numpy", "version", "sha256"])
def test_anything_else_in_the_header_is_refused_by_name(detector: MachineDetector, what: str) -> None:
    snapshot = take(detector)
    header = msgspec.structs.replace(snapshot.header, **{what: 99 if what == "schema" else "another"})
    with pytest.raises(SnapshotRefused, match=what):
        restore(Snapshot(header, snapshot.body), detector.version)


def test_another_configuration_is_refused(detector: MachineDetector) -> None:
    other = MachineDetector(STREAM, DetectSettings(on=5.0))
    with pytest.raises(SnapshotRefused, match="version"):
        restore(take(detector), other.version)


def test_what_decides_nothing_is_not_in_the_hash() -> None:
    base = config_hash(DetectSettings())
    assert config_hash(DetectSettings(http="127.0.0.1:9")) == base
    assert config_hash(DetectSettings(calm=31)) != base
    assert config_hash(DetectSettings(), frozenset({"torque"})) != base


def test_a_damaged_body_is_refused(detector: MachineDetector) -> None:
    snapshot = take(detector)
    body = bytearray(snapshot.body)
    body[len(body) // 2] ^= 1
    with pytest.raises(SnapshotRefused, match="sha256"):
        restore(Snapshot(snapshot.header, bytes(body)), detector.version)


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    for blob in (b"", b"\x00", b"\xff" * 40, msgspec.msgpack.encode({"header": 1})):
        with pytest.raises(SnapshotRefused):
            Snapshot.decode(blob)


def test_a_pickle_of_anything_else_is_not_run(detector: MachineDetector) -> None:
    import hashlib
    import os

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("true",)

    body = zlib.compress(pickle.dumps(Evil()))
    header = msgspec.structs.replace(take(detector).header, sha256=hashlib.sha256(body).hexdigest())
    with pytest.raises(SnapshotRefused, match="system"):
        restore(Snapshot(header, body), detector.version)
