"""A folder for the server's unix socket: beside the data when the path is short enough, else a short one of our own in /tmp."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from shinkei_store.binaries import reachable
from shinkei_store.server_owner import ServerOwner

MAX_PATH_BYTES = 103
"""sun_path takes 107 bytes and a zero on Linux, 103 on macOS."""
SOCKET_NAME = ".s.PGSQL.5432"
PREFIX = "shinkei-"
SHORT = Path("/tmp")  # noqa: S108 - made by mkdtemp, mode 0700; TMPDIR may be as deep as the rest


def choose(folder: Path, before: str, owner: ServerOwner) -> str:
    """The folder to use for the database in ``folder``; ``before``: the one used last time, kept if it is still ours."""
    beside = folder / "socket"
    if _fits(beside) and (owner.uid is None or reachable(folder)):
        beside.mkdir(mode=0o700, exist_ok=True)
        _own(beside, owner)
        return str(beside)
    if before and _is_ours(Path(before), owner):
        return before
    made = tempfile.mkdtemp(prefix=PREFIX, dir=SHORT)
    _own(Path(made), owner)
    return made


def forget(used: str, folder: Path) -> None:
    """Remove a folder that `choose` made in /tmp; the one beside the data stays."""
    if Path(used).parent == SHORT and Path(used).name.startswith(PREFIX) and not Path(used).is_relative_to(folder):
        shutil.rmtree(used, ignore_errors=True)


def _fits(path: Path) -> bool:
    text = os.fsencode(path / SOCKET_NAME)
    return len(text) <= MAX_PATH_BYTES and b"," not in text


def _own(path: Path, owner: ServerOwner) -> None:
    if owner.uid is not None:
        os.chown(path, owner.uid, owner.uid)


def _is_ours(path: Path, owner: ServerOwner) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    mine = owner.uid if owner.uid is not None else os.geteuid()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == mine and stat.S_IMODE(found.st_mode) == 0o700
