"""Where a spool lives: a copied or restored folder is another home, and its numbers may be somebody else's by now.

A file's inode on one machine tells a copy from the original; what stays the same in a copy of the whole disk is found by the log
(`ownership`). Reads and makes one small file in the folder; called at the start by `core`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

HOME = "@home"
MARKER = ".home"
_MACHINE_ID = Path("/etc/machine-id")


def host_id() -> str:
    """An id of this machine (systemd's machine-id), or "" where there is none, as in containers."""
    with contextlib.suppress(OSError):
        return _MACHINE_ID.read_text().strip()
    return ""


def home_of(folder: Path, gateway: str, shard: str) -> dict[str, Any]:
    """What to remember of the home of the spool in ``folder``. Raises OSError on a disk that cannot be written."""
    marker = folder / MARKER
    marker.touch(mode=0o600, exist_ok=True)
    return {"inode": marker.stat().st_ino, "host": host_id(), "gateway": gateway, "shard": shard}


def moved(known: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """Why ``now`` is another home than ``known``; "" when it is not (or nothing is known)."""
    if known is None or known == now:
        return ""
    for key, what in (("gateway", "gateway"), ("shard", "shard")):
        if known[key] != now[key]:
            return f"the folder was written by {what} {known[key]}, this is {now[key]}"
    if known["host"] and now["host"] and known["host"] != now["host"]:
        return "the folder was written on another machine"
    return "the folder is a copy of the one that was written" if known["inode"] != now["inode"] else ""
