"""Run files: where each running part can be reached. Small JSON files in ``<dir>/run``, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec


def run_folder(folder: Path) -> Path:
    """``<folder>/run``, made with mode 0700 when it is missing."""
    run = folder / "run"
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return run


def write_atomic(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content`` so that readers see the old or the new file, never half of one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def write_run(folder: Path, part: str, fields: dict[str, Any]) -> None:
    """Publish ``fields`` of ``part``."""
    write_atomic(run_folder(folder) / f"{part}.json", msgspec.json.encode(fields))


def read_run(folder: Path, part: str) -> dict[str, Any] | None:
    """What ``part`` published, or None when it has not (or the file is unreadable)."""
    try:
        found = msgspec.json.decode((folder / "run" / f"{part}.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return found if isinstance(found, dict) else None


def remove_run(folder: Path, part: str) -> None:
    """Forget ``part``; no error when it is not there. What another process has published since stays."""
    if (read_run(folder, part) or {}).get("pid", os.getpid()) == os.getpid():
        (folder / "run" / f"{part}.json").unlink(missing_ok=True)


def all_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Every part's run file by name."""
    names = sorted(path.stem for path in (folder / "run").glob("*.json"))
    return {name: found for name in names if (found := read_run(folder, name)) is not None}
