"""Runs of pytest on this repository: what is left out, missing, broken or skipped is counted and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def pytest_run(tmp_path: Path, *options: str, **env: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and output of a pytest of its own on this repository."""
    report = tmp_path / "report.json"
    environment = os.environ | {"SHINKEI_TEST_REPORT": str(report), "SHINKEI_TEST_WITHOUT": ""} | env
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, json.loads(report.read_text()) if report.exists() else {}, done.stdout + done.stderr


def test_what_is_left_out_by_name_is_counted(tmp_path: Path) -> None:
    servers = "tests/integration/test_support_servers.py"
    code, report, _ = pytest_run(
        tmp_path, servers, "-k", "a_second_kafka or session_and", SHINKEI_TEST_WITHOUT="kafka,mosquitto"
    )
    assert code == 5
    assert report["counts"] == {}
    assert report["left_out"]["kafka"] >= 3
    assert report["left_out"]["mosquitto"] >= 1


def test_an_unknown_name_is_an_error_and_not_a_smaller_run(tmp_path: Path) -> None:
    code, _, said = pytest_run(tmp_path, "tests/unit/test_build.py", SHINKEI_TEST_WITHOUT="kafak")
    assert code == 4
    assert "kafak" in said


def test_missing_recordings_fail_their_tests(tmp_path: Path) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text("from pathlib import Path\n\ndef test_it(skab: Path) -> None:\n    pass\n")
    options = ("-p", "tests.conftest", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), str(probe))
    code, report, said = pytest_run(tmp_path, *options, SHINKEI_SKAB_DIR=str(tmp_path / "nowhere"))
    assert (code, report["counts"]) == (1, {"failed": 1})
    assert "SHINKEI_TEST_WITHOUT=skab" in said


def test_a_broken_file_and_a_skip_are_seen(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import nowhere_at_all\n")
    (tmp_path / "test_skip.py").write_text("import pytest\n\ndef test_it() -> None:\n    pytest.skip('because')\n")
    options = (
        "-p",
        "tests.conftest",
        "--rootdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
        "--continue-on-collection-errors",
    )
    code, report, _ = pytest_run(tmp_path, *options, str(tmp_path))
    assert code == 1
    assert report["counts"] == {"failed": 1, "skipped": 1}
    assert "because" in report["skips"][0]
