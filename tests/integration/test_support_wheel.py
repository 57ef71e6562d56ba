"""What users get is the wheel: it holds every file of the packages, and its command starts from it alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = target.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(target / "unpacked")
    return target / "unpacked"


def test_every_file_of_the_packages_is_in_it_and_nothing_else(wheel: Path) -> None:
    listed = ["git", "-C", str(ROOT), "ls-files", "-c", "-o", "--exclude-standard", "--", *PACKAGES]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = {name.partition("/")[2] for name in names if (ROOT / name).is_file()}
    theirs = {
        str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file() and ".dist-info" not in str(path)
    }
    assert ours == theirs
    assert any(name.endswith(".sql") for name in theirs)


def test_its_licences_go_with_it(wheel: Path) -> None:
    (about,) = wheel.glob("*.dist-info")
    assert {path.name for path in about.rglob("*")} >= {"LICENSE", "NOTICE", "entry_points.txt", "METADATA"}
    assert "shinkei = shinkei_cli.main:main" in (about / "entry_points.txt").read_text()


def test_the_command_and_every_package_start_from_it_alone(wheel: Path, tmp_path: Path) -> None:
    names = [name.rpartition("/")[2] for name in PACKAGES]
    code = f"import {', '.join(names)}; from shinkei_cli.main import main; print({names[0]}.__file__); raise SystemExit(main(['--help']))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "PYTHONPATH": str(wheel)
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(wheel)), "the checkout was imported, not the wheel"
    assert "usage: shinkei" in done.stdout
