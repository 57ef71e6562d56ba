"""Values too big for a record: the record carries size, hash and head, the whole lies in a file beside the spool.

The file is on disk before the value is handed on, so it is there when the machine is told that its value has been taken. Named by its
hash: the same value again is the same file. Called by `opcua.structures`; `run` lets those go that were given long ago.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

LIMIT_BYTES = 64 * 1024
"""Of one value: some of them fit into a record of 512 KiB."""
HEAD_CHARACTERS = 1_024
HEAD_ELEMENTS = 16
FOLDERS = "*.values"
"""Beside the spool, one a source (`opcua.source`)."""


def kept(value: Any, raw: bytes, folder: Path | None) -> dict[str, Any]:
    """What a record carries instead of ``value``; ``raw`` (its bytes as sent, text as UTF-8) is in ``folder`` as ``file`` then.

    Without a folder (a test, a check) nothing is written. Raises OSError when the disk refuses: then the value is not taken.
    """
    digest = hashlib.sha256(raw).hexdigest()
    said: dict[str, Any] = {"size": len(raw), "sha256": digest, "head": _head(value)}
    if folder is not None:
        _write(folder, digest, raw)
        said["file"] = f"{folder.name}/{digest}"
    return said


def forget(spool: Path, before: float) -> int:
    """Delete the files beside ``spool`` whose values were last given before ``before`` (s since 1970); returns how many.

    What the disk does not let go stays, and is tried the next time.
    """
    gone = 0
    for path in spool.glob(f"{FOLDERS}/*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
                gone += 1
    return gone


def _head(value: Any) -> Any:
    if isinstance(value, str):
        return value[:HEAD_CHARACTERS]
    if isinstance(value, list):
        flat = [one for one in value[:HEAD_ELEMENTS] if one is None or isinstance(one, bool | int | float | str)]
        return [one[:HEAD_CHARACTERS] if isinstance(one, str) else one for one in flat]
    return None


def _write(folder: Path, name: str, raw: bytes) -> None:
    path = folder / name
    if path.exists():
        os.utime(path)  # given again: `forget` counts from now on
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
