"""Under which uid the embedded server runs: our own, or, as root, an unprivileged number that no user of the machine has.

PostgreSQL refuses root. No user is created: only ``initdb`` asks for a name, so it alone runs as an existing unprivileged user
(``nobody``), and its files then go to the number.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shinkei_store.errors import ServerFailed

SERVER_UID = 60731
"""In the range 60706-61183, which systemd's UIDS-GIDS document lists as unused."""


@dataclass(frozen=True, slots=True)
class ServerOwner:
    """``uid`` None: the server runs as whoever starts it."""

    uid: int | None = None

    def process(self) -> dict[str, Any]:
        """Arguments for `subprocess.Popen`."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}

    def give(self, folder: Path) -> None:
        """Make ``folder`` and all in it the server's."""
        if self.uid is None:
            return
        for path, names, files in os.walk(folder):
            for name in (*names, *files):
                os.lchown(Path(path, name), self.uid, self.uid)
        os.chown(folder, self.uid, self.uid)


def owner_of(data: Path) -> ServerOwner:
    """Who runs the server of ``data`` (which may not exist yet). Raises `ServerFailed` when we may not run it."""
    euid = os.geteuid()
    holder = data.stat().st_uid if data.exists() else None
    if euid != 0:
        if holder not in (None, euid):
            raise ServerFailed(
                f"{data} belongs to uid {holder}, we are {euid}; start as the user who made it, or use another folder"
            )
        return ServerOwner()
    if holder == 0:
        raise ServerFailed(
            f"{data} belongs to root, and PostgreSQL never runs as root; chown it to an unprivileged uid"
        )
    return ServerOwner(SERVER_UID if holder is None else holder)


def named_owner() -> ServerOwner:
    """An unprivileged user with a name, for ``initdb`` alone. Raises `ServerFailed` when the machine has none."""
    if os.geteuid() != 0:
        return ServerOwner()
    with contextlib.suppress(KeyError):
        return ServerOwner(pwd.getpwnam("nobody").pw_uid)
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return ServerOwner(entry.pw_uid)
    raise ServerFailed(
        "no user but root exists here and PostgreSQL never runs as root; start as a normal user, or set store.dsn"
    )


@contextlib.contextmanager
def readable_by(owner: ServerOwner, content: bytes) -> Iterator[int]:
    """A file descriptor of an unnamed file with ``content`` that ``owner`` may open through ``/dev/fd``."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        if owner.uid is not None:
            os.fchown(file.fileno(), owner.uid, owner.uid)
        file.seek(0)
        yield file.fileno()
