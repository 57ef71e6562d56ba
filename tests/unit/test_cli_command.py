"""The command's edge: words, exit codes, which configuration is meant, ports, and what it costs to ask for help."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest

from shinkei_cli import exits
from shinkei_cli.child import Child, Program
from shinkei_cli.commands import gateway_quarantine
from shinkei_cli.config import folder_of, plant_of
from shinkei_cli.disk_watch import DiskWatch
from shinkei_cli.folder import AlreadyRunningError, Site, alive
from shinkei_cli.main import COMMANDS, build_parser, main
from shinkei_cli.named import machines
from shinkei_cli.narrator import Narrator
from shinkei_cli.ports import Ports, is_free
from shinkei_cli.supervisor import News
from shinkei_cli.words import LANGUAGES, TEXTS, Words, language
from shinkei_events.errors import BadConfig, BadInput, NotConnected, ShinkeiError
from shinkei_events.health import Health
from shinkei_events.runfile import read_run, write_run
from shinkei_events.settings import load_plant
from shinkei_gateway.reconcile import COLUMNS, Books, Run
from shinkei_gateway.run import run as run_gateway

PLANT_WITH_SOURCES = """
[site]
id = "x"
[gateway]
id = "gw"
[gateway.sources.press]
type = "opcua"
url = "opc.tcp://127.0.0.1:9"
security = "none"
machine = "press-1"
[gateway.sources.cell]
type = "mqtt"
url = "mqtt://127.0.0.1:9"
client_id = "gw"
shard = "north"
topics = [{ filter = "plant/+/+", as = "signal", machine = "{1}", signal = "{2}" }]
"""
HEAVY = {"confluent_kafka", "psycopg", "streamlit", "asyncua", "river", "numpy", "msgspec", "paho"}


def test_every_word_has_a_module_that_registers_itself_and_is_cheap_to_ask_for_help() -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            build_parser([name]).parse_args([name, "--help"])
        assert end.value.code == 0
        assert import_module(f"shinkei_cli.commands.{name}").__doc__


def test_help_loads_no_library_of_a_part() -> None:
    program = "import sys; from shinkei_cli.main import main; main(['--help']); print(*{m.partition('.')[0] for m in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert not HEAVY & set(done.stderr.split())
    assert all(word in done.stdout for word in COMMANDS)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadConfig("site.id", "", "is empty"), exits.WRONG_USE),
        (NotConnected("the log is away"), exits.NOT_THERE),
        (ShinkeiError("no"), exits.FAILED),
        (KeyboardInterrupt(), exits.INTERRUPTED),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        subparsers.add_parser("status").set_defaults(handler=fail)

    monkeypatch.setattr(import_module("shinkei_cli.commands.status"), "register", register)
    assert main(["status"]) == code
    said = capsys.readouterr().err
    assert said == ("" if isinstance(error, KeyboardInterrupt) else f"shinkei: {error}\n")


@pytest.mark.parametrize("words", [["nonsense"], ["status", "--nonsense"], ["trace"]])
def test_wrong_use_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == exits.WRONG_USE
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("wait", ["nan", "inf", "-5", "0", "soon"])
def test_a_wait_that_is_none_is_wrong_use(wait: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "preview", "press7", f"--wait={wait}"]) == exits.WRONG_USE
    assert "seconds above 0" in capsys.readouterr().err


def test_a_file_that_cannot_be_had_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [tmp_path / "none", tmp_path]

    def read(args: argparse.Namespace) -> int:
        return len(wanted.pop(0).read_bytes())

    def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        subparsers.add_parser("status").set_defaults(handler=read)

    monkeypatch.setattr(import_module("shinkei_cli.commands.status"), "register", register)
    assert [main(["status"]), main(["status"])] == [exits.WRONG_USE, exits.WRONG_USE]
    said = capsys.readouterr().err
    assert said == f"shinkei: {tmp_path / 'none'}: No such file or directory\nshinkei: {tmp_path}: Is a directory\n"


@pytest.mark.parametrize("editor", ["no-such-editor", 'vi "x'])
def test_an_editor_that_cannot_be_started_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, editor: str
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    with pytest.raises(BadInput, match=r"EDITOR.*--payload"):
        gateway_quarantine._edit(tmp_path / "payload")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quarantine", "list", "--source", "cel"], "--source = 'cel': no source of plant.toml or of a record: there are cell, press; did you mean cell?"),
        (["quarantine", "replay", "--source", "Pres"], "--source = 'Pres': no source of plant.toml or of a record: there are cell, press; did you mean press?"),
        (["preview", "pres"], "SOURCE = 'pres': no source of plant.toml with type opcua: there is only press; did you mean press?"),
        (["browse", "cell"], "URL|SOURCE = 'cell': no source of plant.toml with type opcua: there is only press"),
        (["trust", "pres"], "URL|SOURCE = 'pres': no source of plant.toml with type opcua: there is only press; did you mean press?"),
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_wrong_use_and_says_which_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "plant.toml").write_text(PLANT_WITH_SOURCES)
    where = ["--config", str(tmp_path / "plant.toml"), "--dir", str(tmp_path)]
    assert main(["gateway", *words, *where]) == exits.WRONG_USE
    out = capsys.readouterr()
    assert out.err == f"shinkei: {said}\n"
    assert not out.out


def test_a_shard_that_is_none_is_not_run_and_the_nearest_is_named(tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(PLANT_WITH_SOURCES)
    plant = load_plant(tmp_path / "plant.toml", tmp_path)
    with pytest.raises(BadConfig, match=r"no shard of this gateway: there are 0, north; did you mean north\?"):
        run_gateway(plant, threading.Event(), shard="nrth")


def test_machines_are_those_of_the_file_and_those_that_running_shards_have_heard_of(tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(PLANT_WITH_SOURCES)
    plant = load_plant(tmp_path / "plant.toml", tmp_path)
    shards = [Health(part, tmp_path, "127.0.0.1:0") for part in ("gateway", "gateway-north")]
    shards[1].update(sources={"cell": {"machines": ["oven-1", "oven-2"]}})
    shards[0].start()
    try:
        assert machines(plant) == set()  # one shard does not answer: what it has heard of is not known
        shards[1].start()
        assert machines(plant) == {"press-1", "oven-1", "oven-2"}
    finally:
        for shard in shards:
            shard.stop()


def test_a_source_that_is_one_has_nothing_in_quarantine_and_that_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plant.toml").write_text(PLANT_WITH_SOURCES)
    where = ["--config", str(tmp_path / "plant.toml"), "--dir", str(tmp_path), "--format", "json"]
    assert main(["gateway", "quarantine", "list", "--source", "cell", *where]) == exits.DONE
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("balanced", "code"), [([True, True], exits.DONE), ([True, None], exits.NOT_THERE), ([False, None], exits.FAILED)]
)
def test_reconcile_says_the_running_gateways_verdict_and_of_a_stopped_shard_that_nobody_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], balanced: list[bool | None], code: int
) -> None:
    (tmp_path / "plant.toml").write_text(PLANT_WITH_SOURCES)
    where = ["--config", str(tmp_path / "plant.toml"), "--dir", str(tmp_path), "--format", "json"]
    books = Books()
    books.enter("cell", time.time_ns(), [Run("e/M/signals", 1, 1001)], received=1000)
    row = dict.fromkeys(COLUMNS, 0) | {"source": "press", "hour": 0, "balanced": balanced[0]}
    shards = [Health(part, tmp_path, "127.0.0.1:0") for part in ("gateway", "gateway-north")]
    shards[0].update(reconcile=[row])
    shards[1].update(reconcile=books.rows({"e/M/signals": (1001, 1001, 1001)}, time.time_ns()))
    file = tmp_path / "spool/gw/north.books.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(books.encode())
    running = [shard for shard, one in zip(shards, balanced, strict=True) if one is not None]
    for shard in running:
        shard.start()
    try:
        assert main(["gateway", "reconcile", *where]) == code
    finally:
        for shard in running:
            shard.stop()
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert [(row["source"], row["balanced"]) for row in rows] == list(zip(("press", "cell"), balanced, strict=True))
    stored = None if balanced[1] is None else 1000
    assert (rows[1]["sent"], rows[1]["stored"]) == (stored, stored)
    assert ("not known where it is empty" in said.err) == (balanced[1] is None)


def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plant.toml").write_text('[site]\nid = "x"\ncolour = "red"\n')
    assert main(["check", "--config", str(tmp_path / "plant.toml")]) == exits.WRONG_USE
    assert "site" in capsys.readouterr().err


START = 22_000 + os.getpid() % 500 * 20
"""Ports that other runs of this test on the same machine are not likely to take."""


class TestWhichPlant:
    """Which plant.toml and which folder a command means."""

    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("SHINKEI_DIR", raising=False)

    @staticmethod
    def args(config: str | None = None, folder: str | None = None) -> argparse.Namespace:
        return argparse.Namespace(config=Path(config) if config else None, dir=Path(folder) if folder else None)

    @staticmethod
    def write(path: Path, site: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'[site]\nid = "{site}"\n')

    def test_the_file_here_before_the_demos(self, tmp_path: Path) -> None:
        self.write(tmp_path / ".shinkei" / "plant.toml", "demo")
        (tmp_path / ".shinkei" / "run").mkdir()
        plant = plant_of(self.args())
        assert (plant.site.id, plant.dir) == ("demo", tmp_path / ".shinkei")
        self.write(tmp_path / "plant.toml", "own")
        plant = plant_of(self.args())
        assert (plant.site.id, plant.dir) == ("own", tmp_path / ".shinkei")

    def test_dir_and_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(tmp_path / "plant.toml", "own")
        self.write(tmp_path / "other" / "plant.toml", "other")
        assert plant_of(self.args(folder="other")).site.id == "other"
        monkeypatch.setenv("SHINKEI_DIR", str(tmp_path / "kept"))
        plant = plant_of(self.args())
        assert (plant.site.id, plant.dir) == ("own", tmp_path / "kept")
        assert folder_of(self.args(folder="given")) == tmp_path / "given"

    def test_none_at_all_is_said(self) -> None:
        with pytest.raises(BadConfig, match=r"plant\.toml"):
            plant_of(self.args())


class TestFolder:
    """A site's folder belongs to one supervisor."""

    def test_the_second_is_told_who_has_it(self, tmp_path: Path) -> None:
        with Site(tmp_path / "a b"), pytest.raises(AlreadyRunningError) as told, Site(tmp_path / "a b"):
            pass
        assert told.value.pid == os.getpid()
        with Site(tmp_path / "a b"):
            assert (tmp_path / "a b").stat().st_mode & 0o777 == 0o700

    def test_what_a_killed_supervisor_left_is_waited_for(self, tmp_path: Path) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        lock = tmp_path / "lock"
        lock.write_text(f"{ended.pid}\n")
        orphan = lock.open("rb")  # as a child does that the supervisor gave the lock to
        fcntl.flock(orphan, fcntl.LOCK_EX)
        threading.Timer(0.3, orphan.close).start()
        with Site(tmp_path):
            assert orphan.closed

    def test_run_files_of_the_dead_are_forgotten_and_the_living_kept(self, tmp_path: Path) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        write_run(tmp_path, "ui", {"part": "ui", "pid": ended.pid})
        write_run(tmp_path, "gateway", {"part": "gateway", "pid": os.getpid()})
        assert not alive(ended.pid)
        with Site(tmp_path):
            assert read_run(tmp_path, "ui") is None
            assert read_run(tmp_path, "gateway") is not None

    def test_a_folder_that_cannot_be_made_is_a_wrong_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(BadConfig, match="choose a folder"), Site(tmp_path / "file" / "inside"):
            pass

    def test_a_taken_port_gives_the_next(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            assert not is_free(port)
            with Ports() as ports:
                assert port < ports.take(port) <= port + 100

    def test_ports_of_demos_that_start_together_differ(self) -> None:
        with Ports() as ports, Ports() as others:
            taken = ports.take_several(12, START)
            beside = others.take_several(12, START)
            assert len({*taken, *beside}) == 24
            assert min(taken) >= START
        with Ports() as ports:
            assert ports.take(taken[0]) == taken[0]


def test_every_text_is_there_in_every_language_with_the_same_values() -> None:
    def values(text: str) -> set[str]:
        return {part.partition("}")[0].partition(":")[0] for part in text.split("{")[1:]}

    for key, texts in TEXTS.items():
        assert set(texts) == set(LANGUAGES), key
        assert len({frozenset(values(text)) for text in texts.values()}) == 1, key


def test_the_language_is_the_given_then_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHINKEI_LANG", "ja")
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    assert (language(), language("en")) == ("ja", "en")
    monkeypatch.delenv("SHINKEI_LANG")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    assert language() == "en"
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert language() == "ja"
    assert Words("ja").part("gateway") == "ゲートウェイ"
    monkeypatch.setenv("SHINKEI_LANG", "de")
    with pytest.raises(BadConfig, match="SHINKEI_LANG = 'de': expected ja or en"):
        language()


def test_a_file_that_is_not_there_and_a_folder_where_nothing_runs_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SHINKEI_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == exits.WRONG_USE
    missing = "shinkei: plant.toml: cannot be read: No such file or directory (--config names the file, --dir a demo's folder)\n"
    assert capsys.readouterr().err == missing
    assert main(["status"]) == exits.NOT_THERE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"nothing runs in {tmp_path / '.shinkei'} (--dir names another folder)\n"


def test_why_a_program_ended_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator(Words("en"))
    about = {
        "code": 1,
        "again_in": 0.25,
        "log": Path("logs/ui.log"),
        "last": '{"level":"ERROR","text":"no room on the disk"}',
        "in_vain": 0,
    }
    narrator(News.CRASHED, "ui", about)
    narrator(News.CRASHED, "ui", about | {"code": -9})
    narrator(News.CRASHED, "ui", about | {"code": 0})
    narrator(News.GAVE_UP, "ui", about | {"code": 2, "last": "shinkei: ui.port = 0: is wrong"})
    crashed, killed, ended, gave_up = capsys.readouterr().out.splitlines()
    assert "no room on the disk" in crashed
    assert "{" not in crashed
    assert "SIGKILL" in killed
    assert "disk" not in killed
    assert "disk" not in ended
    assert "ui.port = 0: is wrong" in gave_up


def test_a_part_that_never_starts_says_what_to_look_at_and_then_leaves_the_terminal_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrator = Narrator(Words("en"))
    log = tmp_path / "logs" / "database.log"
    log.parent.mkdir()
    for at in range(1, 31):
        about = {"code": 1, "again_in": 10.0, "log": log, "last": "shinkei: No space left on device", "in_vain": at}
        narrator(News.CRASHED, "database", about)
    first, second, third, look, again, _ = capsys.readouterr().out.splitlines()
    assert ["ended unexpectedly" in line for line in (first, second, third)] == [True, True, False]
    assert "database has not started 3 times: No space left on device" in third
    assert f"disk of {tmp_path}" in look
    assert str(log) in look
    assert "MB free" in look
    assert "30 times" in again


def test_a_full_disk_is_said_once_and_once_when_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = [90, 12.3, 0, 45, 45, 12, 25] + [41] * 30 + [39]  # made in vain: 45 MB are free between two attempts
    free = (int(one * 1e6) for one in left)
    watch, narrator = DiskWatch(tmp_path, lambda _folder: next(free)), Narrator(Words("en"))
    for at in range(6 * len(left)):
        if (found := watch.look(at / 3)) is not None:
            about = {"folder": tmp_path, "free": found[1]}
            narrator(News.DISK_FULL if found[0] else News.DISK_ROOM, "", about)
    full, room = capsys.readouterr().out.splitlines()
    assert full.startswith(f"The disk is full: 12.3 MB are free for {tmp_path}.")
    assert room == f"The disk has room again: 41 MB are free for {tmp_path}."


def test_what_a_program_said_while_it_was_well_is_no_cause_of_its_end(tmp_path: Path) -> None:
    """The screens ended by a signal, and "served at http://…" was shown as why."""
    child = Child(Program("ui", ("ui",)), tmp_path, 0)
    well = '{"level":"INFO","text":"the screens are served at http://localhost:8501/"}\n'
    child.log.write_text(well + '{"level":"WARNING","text":"slow"}\n')
    assert child.last_words() == ""
    child.log.write_text(well + '{"level":"ERROR","text":"port taken"}\n' + well)
    assert "port taken" in child.last_words()
    child.log.write_text(well + "ValueError: no number\n")
    assert child.last_words() == "ValueError: no number"
