"""Files of values too big for a record: there when the value is handed on, kept as long as the value is given, then let go."""

from __future__ import annotations

import os
from pathlib import Path

from shinkei_gateway.big_value import forget, kept

RAW = b"x" * 100_000


def test_a_file_is_let_go_when_its_value_was_last_given_long_ago(tmp_path: Path) -> None:
    segment, folder = tmp_path / "000000000001.seg", tmp_path / "press.session.values"
    old, again = (tmp_path / kept("x", raw, folder)["file"] for raw in (RAW, RAW + b"y"))
    segment.write_bytes(b"numbers")
    for path in (segment, old, again):
        os.utime(path, (1_000, 1_000))
    assert forget(tmp_path, 1_000) == 0
    assert kept("x", RAW + b"y", folder)["file"] == f"{folder.name}/{again.name}"
    assert forget(tmp_path, 2_000) == 1
    assert (segment.exists(), old.exists(), again.exists()) == (True, False, True)
    assert (tmp_path / kept("x", RAW, folder)["file"]).read_bytes() == RAW


def test_a_gateway_without_big_values_has_nothing_to_forget(tmp_path: Path) -> None:
    assert forget(tmp_path / "spool", 1e12) == 0
