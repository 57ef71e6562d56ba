"""The embedded database as its users meet it: first and second start, odd folders, root and user, kills, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from shinkei_store import binaries
from shinkei_store.access import read_access
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.errors import DatabaseBusy, ServerFailed
from shinkei_store.leftover import server_processes
from shinkei_store.socket_folder import forget
from tests.support.waiting import eventually, patient

AS_ROOT = os.geteuid() == 0
SOURCES = [str(Path(__file__).resolve().parents[2] / part) for part in ("trace", "stream")]


def keep(server: EmbeddedPostgres, count: int = 1000) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute("create table if not exists public.kept (n int)")
        conn.execute("insert into public.kept select generate_series(1, %s)", [count])


def kept(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.dsn()) as conn:
        row = conn.execute("select count(*) from public.kept").fetchone()
    assert row is not None
    return int(row[0])


def modes(folder: Path) -> dict[Path, int]:
    return {each: stat.S_IMODE(each.stat().st_mode) for each in folder.parents}


def test_first_start_second_start_and_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a folder with 'spaces'" / "postgres"
    before, figures = modes(tmp_path), {}
    for name in ("first start", "warm start"):
        server, began = EmbeddedPostgres(folder), time.monotonic()
        server.start()
        figures[name] = time.monotonic() - began
        try:
            assert server.is_alive()
            if name == "first start":
                keep(server)
            assert kept(server) == 1000
        finally:
            began = time.monotonic()
            server.stop()
            figures["stop"] = time.monotonic() - began
        assert not server.is_alive()
        assert server_processes(server.data) == []
    assert modes(tmp_path) == before, "no folder above was opened for the server"
    with capsys.disabled():
        print("\nembedded database: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items()))
    assert figures["first start"] < patient(5.0)
    assert figures["warm start"] < patient(1.0)
    assert figures["stop"] < patient(1.0)


def test_a_folder_too_deep_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100) / "postgres"
    with EmbeddedPostgres(folder) as server:
        host = Path(psycopg.conninfo.conninfo_to_dict(server.dsn())["host"])  # type: ignore[arg-type]
        keep(server, 5)
        assert kept(server) == 5
        assert not host.is_relative_to(folder)
        assert stat.S_IMODE(host.stat().st_mode) == 0o700
    assert not host.exists()


def test_the_password_is_asked_for_and_kept_private(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(psycopg.conninfo.make_conninfo(server.dsn(), password="guess"))
        with psycopg.connect(server.dsn("shinkei_admin")) as conn:
            secrets = conn.execute(
                "select rolpassword from pg_authid where rolname like 'shinkei%' and rolcanlogin"
            ).fetchall()
            addresses = conn.execute("show listen_addresses").fetchone()
    assert len(secrets) == 2
    assert all(str(secret[0]).startswith("SCRAM-SHA-256$") for secret in secrets)
    assert addresses == ("",)
    assert stat.S_IMODE((tmp_path / "postgres" / "access.json").stat().st_mode) == 0o600


def test_one_folder_has_one_server(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        with pytest.raises(DatabaseBusy, match="postgres"):
            EmbeddedPostgres(tmp_path / "postgres").start()
        assert server.is_alive()
    EmbeddedPostgres(tmp_path / "postgres").stop()


def test_two_folders_have_two_servers(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "one") as one, EmbeddedPostgres(tmp_path / "two") as two:
        keep(one, 1)
        keep(two, 2)
        assert (kept(one), kept(two)) == (1, 2)


def test_killed_server_loses_nothing_committed_and_starts_again(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    try:
        for round in range(1, 4):
            keep(server, 500)
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: server.exit_code() is not None, 10)
            assert server.exit_code() == -signal.SIGKILL
            server.start()
            assert server.pid != pid
            assert kept(server) == 500 * round
    finally:
        server.stop()


OWNER = """
    import os, sys
    from pathlib import Path
    from shinkei_store.embedded import EmbeddedPostgres
    server = EmbeddedPostgres(Path(sys.argv[1]))
    server.start()
    print(server.pid, flush=True)
    sys.stdin.read()
    """


def killed_supervisor(folder: Path) -> None:
    """A process that serves ``folder`` and is killed when its server is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(SOURCES)},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert int(process.stdout.readline()) > 0
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_supervisor_takes_the_server_with_it(tmp_path: Path) -> None:
    killed_supervisor(tmp_path / "postgres")
    eventually(lambda: server_processes(tmp_path / "postgres" / "data") == [], 20)
    forget(read_access(tmp_path / "postgres").host, tmp_path)


def test_after_a_killed_supervisor_the_next_one_starts_at_once(tmp_path: Path) -> None:
    killed_supervisor(tmp_path / "postgres")
    with EmbeddedPostgres(tmp_path / "postgres") as server:  # it waits for what still ends
        keep(server, 3)
        assert kept(server) == 3


def test_a_pid_file_whose_number_another_program_has(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    keep(server, 7)
    assert server.pid is not None
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: server.exit_code() is not None, 10)
    server.stop()
    # PostgreSQL itself believes in any process of its own user
    same_uid = server.data.stat().st_uid if AS_ROOT else None
    with subprocess.Popen(["sleep", "100"], user=same_uid) as other:
        try:
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
            with server:
                assert kept(server) == 7
            assert other.poll() is None
        finally:
            other.kill()


def test_a_first_start_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    (folder / "data.new" / "base").mkdir(parents=True)
    with EmbeddedPostgres(folder) as server:
        keep(server, 1)
    assert not (folder / "data.new").exists()


def test_a_cluster_of_another_version_is_left_alone(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    with server:
        pass
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServerFailed, match="17"):
        server.start()
    (server.data / "PG_VERSION").write_text("18\n")
    with server:
        assert server.is_alive()


def test_a_server_that_cannot_start_says_its_last_words(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", extra={"shared_buffers": "no number"})
    with pytest.raises(ServerFailed, match="shared_buffers"):
        server.start()
    assert server.pid is None
    with EmbeddedPostgres(tmp_path / "postgres") as again:
        assert again.is_alive()


def test_a_lost_password_is_said(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    with server:
        pass
    (tmp_path / "postgres" / "access.json").unlink()
    with pytest.raises(ServerFailed, match=r"access\.json"):
        server.start()


@pytest.mark.skipif(not AS_ROOT, reason="this run is not root's: the next test is its path")
def test_as_root_the_server_is_nobody_of_this_machine(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with EmbeddedPostgres(private / "postgres") as server:
        uid = Path(f"/proc/{server.pid}").stat().st_uid
        assert uid not in {entry.pw_uid for entry in pwd.getpwall()}
        assert server.data.stat().st_uid == uid
        keep(server, 2)
        assert kept(server) == 2
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert private.stat().st_uid == 0


@pytest.mark.skipif(not AS_ROOT, reason="a normal user's server reads the binaries as that user")
@pytest.mark.parametrize("beside", [True, False])
def test_binaries_that_the_servers_uid_cannot_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """Beside the data where that can be reached, else at the system's place; no mode of a folder above changes."""
    original = binaries.find_binaries()
    package = tmp_path / "private" / original.parent.parent.name
    package.parent.mkdir(mode=0o700)
    shutil.copytree(
        original.parent, package / original.parent.name, symlinks=True, ignore=shutil.ignore_patterns("include")
    )
    shutil.copytree(original.parents[2] / f"{binaries.PACKAGE}.libs", package.with_name(f"{binaries.PACKAGE}.libs"))
    monkeypatch.setattr(binaries, "find_binaries", lambda: package / original.parent.name / "bin")
    with open_folder() as place:
        monkeypatch.setattr(binaries, "SYSTEM_PLACE", place / "system")
        folder = place / "postgres" if beside else tmp_path / "postgres"
        for _ in range(2):
            with EmbeddedPostgres(folder) as server:
                program = Path(f"/proc/{server.pid}/exe").readlink()
        assert program.is_relative_to(folder if beside else place / "system")
    assert stat.S_IMODE(package.parent.stat().st_mode) == 0o700


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every uid can reach, which tmp_path is not for a test of root."""
    folder = Path(tempfile.mkdtemp(prefix="store-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


AS_USER = """
    import os, pwd, sys
    from pathlib import Path
    import psycopg
    from shinkei_store.embedded import EmbeddedPostgres
    uid = pwd.getpwnam("nobody").pw_uid
    try:  # import whatever is imported late, while root may read it
        psycopg.connect("host=/nowhere")
    except psycopg.OperationalError:
        pass
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
    for _ in range(2):
        with EmbeddedPostgres(Path(sys.argv[1])) as server:
            with psycopg.connect(server.dsn()) as conn:
                conn.execute("select 1")
            assert Path(f"/proc/{server.pid}").stat().st_uid == uid
    print("done", flush=True)
    """


@pytest.mark.skipif(not AS_ROOT, reason="all other tests of this run are the normal user's")
def test_as_a_normal_user_who_is_not_root(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    with open_folder() as folder:
        os.chown(folder, nobody, nobody)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(AS_USER), str(folder / "postgres")], capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(SOURCES)},
        )  # fmt: skip
        assert done.stdout == "done\n", done.stderr
        assert stat.S_IMODE((folder / "postgres").stat().st_mode) == 0o700
        with EmbeddedPostgres(folder / "postgres") as server:  # root runs it as whom it belongs to
            assert Path(f"/proc/{server.pid}").stat().st_uid == nobody
