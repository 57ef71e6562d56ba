"""`shinkei check`, and that what the README tells a newcomer to type is right."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from shinkei_cli import check
from shinkei_cli.main import COMMANDS, build_parser, main
from shinkei_cli.part import PARTS
from shinkei_events.settings import load_plant
from shinkei_plant.sample import ENDPOINTS, plant_toml

ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "README.ja.md"]


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "plant.toml").write_text(text, encoding="utf-8")
    return tmp_path / "plant.toml"


def test_the_demos_file_is_right(tmp_path: Path) -> None:
    text = plant_toml(ports={name: 20_000 + at for at, name in enumerate(ENDPOINTS)}, faults=("bad_bearing_lot@60",))
    rows = list(check.offline(load_plant(written(tmp_path, text))))
    assert {row["what"] for row in rows} == {"plant.toml", *PARTS} - {"store"}
    assert [row for row in rows if row["state"] != "ok"] == []


@pytest.mark.parametrize(
    ("text", "part", "key"),
    [
        ("[plant]\nspeed = 0.0", "plant", "plant.speed"),
        ("[plant]\nfaults = ['nonsense@1']", "plant", "nonsense"),
        ("[gateway]\nid = 'gw'\n[gateway.sources.a]\ntype = 'opcua'", "gateway", "gateway.sources.a"),
        ("[detect]\nstepp = '1s'", "detect", "stepp"),
        ("[ui]\nport = 'x'", "ui", "ui.port"),
        ("[ui]\nport = 99999", "ui", "ui.port = 99999"),
    ],
)
def test_a_mistake_names_its_part_and_key(tmp_path: Path, text: str, part: str, key: str) -> None:
    rows = list(check.offline(load_plant(written(tmp_path, f"site = {{ id = 'x' }}\n{text}\n"))))
    (wrong,) = (row for row in rows if row["state"] == "wrong")
    assert wrong["what"] == part
    assert key in wrong["detail"]


def test_a_source_of_a_machine_that_nobody_knows_is_a_mistake(tmp_path: Path) -> None:
    source = "{ type = 'opcua', url = 'opc.tcp://127.0.0.1:1/', machine = 'PRESS8', security = 'none' }"
    text = f"site.id = 'x'\nmachines = [{{ name = 'PRESS7', path = 'x/a/l/PRESS7' }}]\ngateway.id = 'gw'\ngateway.sources.a = {source}\n"
    (wrong,) = (row for row in check.offline(load_plant(written(tmp_path, text))) if row["state"] == "wrong")
    assert wrong["what"] == "gateway.sources.a"
    assert wrong["detail"] == "reads PRESS8, which `machines` does not name; there is PRESS7"


def test_run_says_what_is_wrong_before_it_starts_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHINKEI_DIR", raising=False)
    path = written(tmp_path, "site.id = 'x'\n[detect]\nstepp = '1s'\n")
    assert main(["run", "--config", str(path)]) == 2
    assert "stepp" in capsys.readouterr().err
    assert not (tmp_path / ".shinkei").exists()


def test_absent_peers_are_named_and_the_exit_code_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "{ type = 'opcua', url = 'opc.tcp://127.0.0.1:1/', machine = 'M', security = 'none' }"
    path = written(tmp_path, f"site.id = 'x'\ngateway.id = 'gw'\ngateway.sources.a = {source}\n")
    assert main(["check", "--connect", "--config", str(path), "--format", "csv"]) == 3
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    states = {row["what"]: row["state"] for row in rows}
    assert states["gateway.sources.a"] == "absent"
    assert rows[-1]["detail"] == "opc.tcp://127.0.0.1:1/: Connection refused"
    assert [states["log"], states["database"]] == ["embedded"] * 2
    database = "store.dsn = 'postgresql://127.0.0.1:1/shinkei'"
    path = written(tmp_path, f"site.id = 'x'\n{database}\n")
    assert main(["check", "--connect", "--config", str(path), "--format", "csv"]) == 3
    states = {row["what"]: row["state"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert states["database"] == "absent"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readmes_configuration_is_right(readme: Path, tmp_path: Path) -> None:
    log_and_store, own_server = re.findall(r"```toml\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert len(own_server.splitlines()) == 5
    for text in (own_server, "site.id = 'x'\n" + log_and_store):
        rows = list(check.offline(load_plant(written(tmp_path, text))))
        assert [row for row in rows if row["state"] != "ok"] == []
    plant = load_plant(written(tmp_path, log_and_store + own_server))
    assert plant.log.bootstrap
    assert plant.store.dsn
    assert plant.machines[0].name == plant.gateway["sources"]["press7"]["machine"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readmes_commands_and_files_exist(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    for word in set(re.findall(r"shinkei ([a-z]+) ", " ".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)))) & set(
        COMMANDS
    ):
        build_parser([word])
    options = re.findall(r'ARGS="([^"]*)"', text)
    assert options
    for words in options:
        said = ["demo", *words.split()]
        build_parser(said).parse_args(said)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", text)) <= targets
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        if "screenshots" not in link:
            assert (ROOT / link).exists(), link


def test_the_files_named_in_the_architecture_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = [path for part in ("gateway", "stream", "trace", "ui") for path in (ROOT / part).glob("shinkei_*")]
    named = re.findall(r"`([\w/]+\.py)`", text)
    for folder, stems in re.findall(r"`([\w/]*)\{([\w,]+)\}\.py`", text):
        named += [f"{folder}{stem}.py" for stem in stems.split(",")]
    for name in named:
        short = name.removeprefix("tests/support/")
        places = [ROOT / "tests" / "support", *(package.parent for package in packages), *packages]
        deeper = [found for package in packages for found in package.glob(f"*/{short}")]
        assert deeper or any((place / short).exists() for place in places), name
