"""What the command line of `shinkei plant run` makes of the ``[plant]`` section."""

from __future__ import annotations

from pathlib import Path

from shinkei_cli.commands.plant import settings_and_folder
from shinkei_cli.main import build_parser
from shinkei_plant.settings import PlantSettings


def made(*words: str) -> tuple[PlantSettings, Path]:
    said = ["plant", "run", *words]
    return settings_and_folder(build_parser(said).parse_args(said))


def test_options_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "plant.toml"
    file.write_text('[site]\nid = "x"\n[plant]\nseed = 3\nspeed = 2.0\ncalm = true\n')
    options = ("--speed", "8", "--fault", "tool_wear@60", "--machines", "OP10,OP20")
    settings, folder = made("--config", str(file), *options)
    assert (settings.seed, settings.speed, settings.calm) == (3, 8.0, True)
    assert (settings.faults, settings.machines) == (("tool_wear@60",), ("OP10", "OP20"))
    assert folder == tmp_path / ".shinkei"
    assert made("--config", str(file))[0].speed == 2.0


def test_recordings_need_no_file(tmp_path: Path) -> None:
    settings, folder = made("--dir", str(tmp_path), "--recording", "a.csv", "--recording", "b.csv", "--speed", "10")
    assert not settings.line
    assert [(one.name, one.speed) for one in settings.recordings] == [("a", 10.0), ("b", 10.0)]
    assert settings.name == "plant-a"
    assert folder == tmp_path
