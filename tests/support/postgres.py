"""Real PostgreSQL servers for tests: the distribution's (over TCP, as in a plant) and the embedded one (as in the demo).

Both offer `new_database`, which makes an empty database in milliseconds, so that one server serves a session of tests.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from tests.support.ports import free_port
from tests.support.process import Killable, ServerProcess

MISSING = "no PostgreSQL server under /usr/lib/postgresql: run tools/install-test-tools postgres (or leave the tests out by SHINKEI_TEST_WITHOUT=postgres)"
OLDEST = 15
# The disk is not what these tests test; a kill -9 of the server loses nothing without fsync either, only a power cut does.
_SETTINGS = {
    "fsync": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
    "listen_addresses": "127.0.0.1",
    "max_prepared_transactions": "0",
    "wal_level": "logical",
}


class Server(Protocol):
    """What tests may ask of either server."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def new_database(self, template: str = "template0") -> str: ...


def binaries() -> Path | None:
    """The newest server's programs of this machine, version 15 or later, or None."""
    found = [
        (int(each.parent.name), each)
        for each in Path("/usr/lib/postgresql").glob("*/bin")
        if (each / "initdb").exists() and each.parent.name.isdigit()
    ]
    newest = max(found, default=None)
    if newest is not None and newest[0] >= OLDEST:
        return newest[1]
    beside = shutil.which("initdb")
    return Path(beside).parent if beside else None


def fresh_database(admin_dsn: str, template: str = "template0") -> str:
    """Make an empty database on the server of ``admin_dsn``; returns its DSN for the same user."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return psycopg.conninfo.make_conninfo(admin_dsn, dbname=name)


class DebianPostgres(Killable):
    """The distribution's server with its data in ``folder``: superuser ``postgres`` with a password, TCP on loopback and a socket.

    As root it runs as Debian's user ``postgres`` (PostgreSQL refuses root). That user can't reach a test's own folder, and pytest closes
    its folders again whenever another run starts; so the data then is in a folder of its own, which `close` removes.
    `freeze` stops the main process alone: it accepts (the kernel does) and never answers, and the sessions there are go on.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        found = binaries()
        assert found is not None, MISSING
        self._programs, self.folder = found, folder
        self.port = free_port()
        self._settings = _SETTINGS | (settings or {})
        self._password = uuid.uuid4().hex
        self._as = _unprivileged()
        self._home = Path(tempfile.mkdtemp(prefix="shinkei-postgres-")) if self._as else folder
        self._make()

    @property
    def version(self) -> int:
        return int((self._home / "data" / "PG_VERSION").read_text())

    def dsn(self, database: str = "postgres") -> str:
        """Connection string of the superuser, over TCP."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and return when it answers queries (after a kill -9: when it has recovered)."""
        command: list[str | os.PathLike[str]] = [self._programs / "postgres", "-D", self._home / "data"]
        for name, value in (self._settings | {"port": str(self.port), "unix_socket_directories": ""}).items():
            command += ["-c", f"{name}={value}"]
        self._server = ServerProcess(
            command, self.folder / "postgres.log", cwd=self._home, ending=signal.SIGINT, **self._as
        )
        self._server.wait_ready(self._answers, 180)

    def stop(self) -> None:
        """Fast shutdown: connections are closed, everything is on disk."""
        if self._server is not None:
            self._server.stop(120)

    def close(self) -> None:
        """Stop, and remove the data when it is not in ``folder``."""
        self.stop()
        if self._home != self.folder:
            shutil.rmtree(self._home)

    def restart(self) -> None:
        self.stop()
        self.start()

    def new_database(self, template: str = "template0") -> str:
        """An empty database; its DSN as superuser."""
        return fresh_database(self.dsn(), template)

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn(), connect_timeout=10) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self._home / "password"
        password.write_text(self._password)
        for each in (self._home, password):
            if self._as:
                os.chown(each, self._as["user"], self._as["group"])
        command: list[str | os.PathLike[str]] = [self._programs / "initdb", "-D", self._home / "data", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}",
                   "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]  # fmt: skip
        done = subprocess.run(
            command, cwd=self._home, capture_output=True, text=True, timeout=180, check=False, **self._as
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _unprivileged() -> dict[str, Any]:
    """As whom the server runs, as arguments of Popen: Debian's user for it, else ``nobody``; nothing when we are not root."""
    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = users.get("postgres") or users.get("nobody")
    assert entry is not None, "no unprivileged user to run PostgreSQL as"
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class EmbeddedServer:
    """The server of `shinkei_store.embedded`, as the demo runs it."""

    def __init__(self, folder: Path) -> None:
        from shinkei_store.embedded import EmbeddedPostgres

        self._server = EmbeddedPostgres(folder, extra={"fsync": "off"})

    def dsn(self, database: str = "postgres") -> str:
        """Connection string of the superuser, over the unix socket: its folder may be another one after each start."""
        return psycopg.conninfo.make_conninfo(self._server.dsn("shinkei_admin"), dbname=database)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def kill(self) -> None:
        """kill -9 of the main process; its sessions notice and end."""
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def new_database(self, template: str = "template0") -> str:
        return fresh_database(self.dsn(), template)
