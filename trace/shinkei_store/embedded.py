"""Our own supervisor over the PostgreSQL binaries of a pip wheel: one server for one folder, reached by a unix socket only.

Used by the process that serves a site's database and by tests. It makes the cluster, starts the server as a foreground child,
waits until it is ready, and stops it; which tables there are is the business of `migrate`. Other processes reach the server
through the 0600 file that `access` describes.

As root the server runs under an unprivileged uid (`server_owner`) and gets its data folder as its working directory, named
``/proc/self/cwd``: so it never needs a right on the folders above, and none of them is opened for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from shinkei_events.errors import NotConnected
from shinkei_events.telemetry import emit
from shinkei_store import access, binaries, server_owner, socket_folder
from shinkei_store.errors import DatabaseBusy, ServerFailed
from shinkei_store.leftover import end_leftover, server_status
from shinkei_store.server_settings import server_settings
from shinkei_store.telemetry import DatabaseStarted, DatabaseStopped, StaleServerFound

READY_WITHIN_S = 600.0
"""Recovery of 1 GB of write-ahead log takes some 5 s, of 3 GB 13-29 s; a slow disk multiplies that."""
STOP_WITHIN_S = 4.0
KEEP_LOG_BYTES = 8_000_000
_PR_SET_PDEATHSIG = 1

Progress = Callable[[str, float], None]
"""Called every second of waiting with a phase (``creating``, ``starting``) and the seconds so far."""

_ERRORS = ("error:", "ERROR:", "FATAL:", "PANIC:")


class EmbeddedPostgres:
    """The database in ``folder`` (made with mode 0700, or 0711 for root, when it is missing).

    Not thread-safe. `start` must be called from a thread that lives as long as the server: on Linux the kernel stops the server
    when that thread ends, which is how nothing survives a kill -9 of its supervisor. Raises `DatabaseBusy` when another process
    serves the folder, `ServerFailed` with the server's last words. First start about 1.3 s, later ones 0.1 s.
    """

    def __init__(self, folder: Path, *, memory_bytes: int | None = None, extra: dict[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self._settings = server_settings(memory_bytes) | (extra or {})
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._process.pid if self._process is not None else None

    def is_alive(self) -> bool:
        """Has the server been started and not ended?"""
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """How the server ended by itself, or None while it runs (or was never started)."""
        return self._process.poll() if self._process is not None else None

    def dsn(self, role: str = access.OWNER) -> str:
        """Connection string as ``shinkei_owner``, as a part's role, or as ``shinkei_admin`` (superuser)."""
        return access.read_access(self.folder).dsn(role)

    def start(self, progress: Progress | None = None) -> None:
        """Make the cluster if there is none, start the server and return when it is ready. Also after a crash or a kill -9."""
        began = time.monotonic()
        self._take_lock()
        try:
            self._start(progress)
        except BaseException:
            self.stop()
            raise
        emit(DatabaseStarted(str(self.folder), self._process.pid if self._process else 0, time.monotonic() - began))

    def _start(self, progress: Progress | None) -> None:
        owner = server_owner.owner_of(self.data)
        programs = binaries.find_binaries() if owner.uid is None else binaries.binaries_for_others(self.folder)
        found = self._reach(owner)
        if not self.data.exists():
            self._initialise(programs, owner, found, progress)
        self._check_version()
        self._launch(programs, owner, found, progress)
        self._make_database(found)

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """End the server: politely, and after ``within_s`` at once (it then recovers at its next start). Nothing is lost either way."""
        began, process = time.monotonic(), self._process
        if process is not None:
            for number, patience in ((signal.SIGINT, within_s), (signal.SIGQUIT, 0.7), (signal.SIGKILL, None)):
                if process.poll() is None:
                    process.send_signal(number)
                try:
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
            emit(DatabaseStopped(str(self.folder), time.monotonic() - began))
        if self._lock is not None:
            with contextlib.suppress(NotConnected):
                socket_folder.forget(access.read_access(self.folder).host, self.folder)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        self.folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DatabaseBusy(f"another process serves the database in {self.folder}") from None
        self._lock = lock

    def _reach(self, owner: server_owner.ServerOwner) -> access.Access:
        """Passwords and socket folder, written down before the server can be reached by them."""
        try:
            known = access.read_access(self.folder)
        except NotConnected:
            if self.data.exists():
                raise ServerFailed(
                    f"{self.folder / access.FILE} is missing, and with it the password of {self.data}"
                ) from None
            known = access.new_access("")
        host = socket_folder.choose(self.folder, known.host, owner)
        found = access.Access(host, known.admin, known.owner, known.port)
        access.write_access(self.folder, found)
        return found

    def _initialise(
        self, programs: Path, owner: server_owner.ServerOwner, found: access.Access, progress: Progress | None
    ) -> None:
        """Make the cluster beside its place and rename it there when it is whole."""
        scratch = self.folder / "data.new"
        if scratch.exists():
            shutil.rmtree(scratch)
        scratch.mkdir(mode=0o700)
        named = server_owner.named_owner()
        named.give(scratch)
        if progress is not None:
            progress("creating", 0.0)
        with server_owner.readable_by(named, found.admin.encode() + b"\n") as password:
            done = subprocess.run(
                [programs / "initdb", "-D", _as_seen(scratch, named), "-U", access.ADMIN, "--auth=scram-sha-256",
                 f"--pwfile=/dev/fd/{password}", "--encoding=UTF8", "--locale=C", "--no-instructions"],
                cwd=scratch, env=_environment(), pass_fds=[password], capture_output=True, text=True, check=False, **named.process(),
            )  # fmt: skip
        if done.returncode != 0:
            raise ServerFailed(
                f"initdb in {scratch} ended with {done.returncode}: {reason_of(done.stderr or done.stdout)}"
            )
        owner.give(scratch)
        scratch.rename(self.data)

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != binaries.MAJOR:
            raise ServerFailed(
                f"{self.data} was made by PostgreSQL {made_by}, this is {binaries.MAJOR}; dump it with the old one first"
            )

    def _launch(
        self, programs: Path, owner: server_owner.ServerOwner, found: access.Access, progress: Progress | None
    ) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                what = end_leftover(self.data, max(1.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise ServerFailed(str(error)) from error
            if what is not None:
                emit(StaleServerFound(str(self.folder), what))
            self._process = self._spawn(programs, owner, found)
            words = self._wait_ready(deadline, progress)
            if words is None:
                return
            if "shared memory block" not in words or time.monotonic() > deadline:
                raise ServerFailed(f"the server in {self.folder} did not start: {reason_of(words)}")
            time.sleep(0.1)  # processes of a killed server still end, and we may not see them

    def _spawn(self, programs: Path, owner: server_owner.ServerOwner, found: access.Access) -> subprocess.Popen[bytes]:
        settings = self._settings | {
            "unix_socket_directories": '"' + found.host.replace('"', '""') + '"',
            "port": str(found.port),
        }
        command = [str(programs / "postgres"), "-D", _as_seen(self.data, owner)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log_file().open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.data, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent(os.getpid()), **owner.process(),  # noqa: PLW1509 - two system calls, nothing of Python's locks
            )  # fmt: skip

    def _wait_ready(self, deadline: float, progress: Progress | None) -> str | None:
        """None when ready; the log's last words when the process ended."""
        assert self._process is not None
        began, told = time.monotonic(), 0.0
        while (now := time.monotonic()) < deadline:
            if self._process.poll() is not None:
                return self._last_words()
            if server_status(self.data, self._process.pid) == "ready":
                return None
            if progress is not None and now - began - told >= 1.0:
                told = now - began
                progress("starting", told)
            time.sleep(0.01)
        raise ServerFailed(
            f"the server in {self.folder} was not ready after {READY_WITHIN_S:g} s: {self._last_words()}"
        )

    def _make_database(self, found: access.Access) -> None:
        """The owner's login and database, once."""
        with psycopg.connect(found.dsn(access.ADMIN), autocommit=True) as connection:
            if connection.execute("select 1 from pg_database where datname = %s", [access.DATABASE]).fetchone():
                return
            if not connection.execute("select 1 from pg_roles where rolname = %s", [access.OWNER]).fetchone():
                statement = sql.SQL("create role {} login createrole password {}")
                connection.execute(statement.format(sql.Identifier(access.OWNER), sql.Literal(found.owner)))
            statement = sql.SQL("create database {} owner {}")
            connection.execute(statement.format(sql.Identifier(access.DATABASE), sql.Identifier(access.OWNER)))

    def _log_file(self) -> Path:
        path = self.folder / "server.log"
        if path.exists() and path.stat().st_size > KEEP_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _last_words(self) -> str:
        lines = (self.folder / "server.log").read_bytes()[-4000:].decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-5:])


def reason_of(said: str) -> str:
    """On one line, why initdb or the server could not: the errors it names, not its last line, which tells of its cleaning up."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if any(word in line for word in _ERRORS)]
    return "; ".join(errors or lines[-3:])[:800]


def _as_seen(data: Path, owner: server_owner.ServerOwner) -> str:
    return str(data) if owner.uid is None else "/proc/self/cwd"


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _die_with_parent(parent: int) -> Any:
    """To be run in the child: SIGINT (fast shutdown) when the starting thread ends. Only Linux can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    return ask
