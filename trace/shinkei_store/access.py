"""How the embedded database of a folder is reached: one file, mode 0600, that its owner writes and every part reads."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from psycopg.conninfo import make_conninfo

from shinkei_events.errors import NotConnected
from shinkei_events.runfile import write_atomic

FILE = "access.json"
SCHEMA = "shinkei"
ADMIN = "shinkei_admin"
OWNER = "shinkei_owner"
DATABASE = "shinkei"


class Access(msgspec.Struct, frozen=True):
    """``host``: the folder of the unix socket. ``admin``: the superuser's password, ``owner``: that of the schema's owner."""

    host: str
    admin: str
    owner: str
    port: int = 5432

    def dsn(self, role: str = OWNER) -> str:
        """Connection string. ``role``: `ADMIN`, `OWNER`, or a part's role, which the owner's login then takes."""
        login, password = (ADMIN, self.admin) if role == ADMIN else (OWNER, self.owner)
        settings = f"-c search_path={SCHEMA},public" + ("" if role == login else f" -c role={role}")
        return make_conninfo(
            "", host=self.host, port=self.port, dbname="postgres" if role == ADMIN else DATABASE, user=login, password=password,
            options=settings,
        )  # fmt: skip


def new_access(host: str) -> Access:
    """Fresh passwords (192 bit each)."""
    return Access(host, secrets.token_urlsafe(24), secrets.token_urlsafe(24))


def read_access(folder: Path) -> Access:
    """The access file of the database ``folder``; raises `NotConnected` while there is none."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Access)
    except FileNotFoundError:
        raise NotConnected(f"{folder} has no database yet; start it with: shinkei store database") from None
    except PermissionError as error:
        raise NotConnected(f"{folder / FILE} may not be read by this user: {error.strerror}") from error


def write_access(folder: Path, access: Access) -> None:
    """Replace the access file (mode 0600)."""
    write_atomic(folder / FILE, msgspec.json.encode(access))
