"""Settings, addresses and places of the embedded database, without starting it."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from shinkei_events.errors import NotConnected
from shinkei_store.access import Access, new_access, read_access, write_access
from shinkei_store.binaries import find_binaries, reachable
from shinkei_store.embedded import reason_of
from shinkei_store.leftover import server_status
from shinkei_store.server_owner import ServerOwner
from shinkei_store.server_settings import server_settings
from shinkei_store.socket_folder import MAX_PATH_BYTES, SOCKET_NAME, choose, forget

GIB = 2**30


@pytest.mark.parametrize(
    ("memory", "buffers"),
    [(1 * GIB, "128MB"), (2 * GIB, "128MB"), (12 * GIB, "512MB"), (24 * GIB, "1024MB"), (512 * GIB, "1024MB")],
)
def test_buffers_suit_a_laptop_and_a_server(memory: int, buffers: str) -> None:
    assert server_settings(memory)["shared_buffers"] == buffers


def test_nothing_listens_on_the_network() -> None:
    assert server_settings()["listen_addresses"] == ""


def test_a_part_connects_as_the_owner_and_takes_its_role() -> None:
    found = conninfo_to_dict(Access("/a b/socket", "root's", "o'wner").dsn("shinkei_trace"))
    assert found["user"] == "shinkei_owner"
    assert found["password"] == "o'wner"
    assert found["host"] == "/a b/socket"
    assert "role=shinkei_trace" in str(found["options"])


def test_the_access_file_is_private_and_says_so_when_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotConnected, match="shinkei store database"):
        read_access(tmp_path)
    write_access(tmp_path, new_access("/x"))
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_access(tmp_path).host == "/x"


def test_passwords_are_never_the_same() -> None:
    assert len({secret for _ in range(10) for secret in (new_access("").admin, new_access("").owner)}) == 20


def test_the_wheels_binaries_are_found_without_importing_it() -> None:
    assert (find_binaries() / "initdb").exists()


def test_a_private_folder_is_not_reachable_for_others(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    assert not reachable(private)
    assert reachable(Path("/usr"))


@pytest.mark.parametrize("name", ["x" * 120, "with,comma"])
def test_a_folder_that_no_socket_can_live_in_gets_a_short_one(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    used = choose(folder, "", ServerOwner())
    try:
        assert len(f"{used}/{SOCKET_NAME}") <= MAX_PATH_BYTES
        assert Path(used).stat().st_mode & 0o777 == 0o700
        assert choose(folder, used, ServerOwner()) == used, "kept, so that a restart changes no address"
    finally:
        forget(used, folder)
    assert not Path(used).exists()


def test_a_short_folder_holds_its_own_socket(tmp_path: Path) -> None:
    used = choose(tmp_path, "", ServerOwner())
    forget(used, tmp_path)
    assert used == str(tmp_path / "socket")
    assert Path(used).exists()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(["7", "d", "1", "5432", "s", "", "", "ready   "], "ready"), (["8"] + [""] * 6 + ["ready"], ""), (["7"], "")],
)
def test_status_counts_for_the_right_process_only(tmp_path: Path, lines: list[str], expected: str) -> None:
    (tmp_path / "postmaster.pid").write_text("\n".join(lines))
    assert server_status(tmp_path, 7) == expected


def test_why_a_database_could_not_be_made_is_its_error_not_its_cleaning_up() -> None:
    said = (
        "creating configuration files ... ok\nrunning bootstrap script ... FATAL:  could not write to file "
        '"pg_wal/xlogtemp.3": No space left on device\nchild process exited with exit code 1\n'
        'initdb: removing contents of data directory "/site/postgres/data.new"\n'
    )
    reason = reason_of(said)
    assert reason.endswith("No space left on device")
    assert "removing" not in reason
    assert reason_of("one\n\ntwo\n") == "one; two"
