"""What the command line of `shinkei plant run` makes of the ``[plant]`` section."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shinkei_cli.commands.plant import _plant, overrides
from shinkei_cli.main import build_parser
from shinkei_events.settings import section
from shinkei_plant.settings import PlantSettings


def test_options_go_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text('[site]\nid = "x"\n[plant]\nseed = 3\nspeed = 2.0\ncalm = true\n')
    words = [
        "plant",
        "run",
        "--config",
        str(tmp_path / "plant.toml"),
        "--speed",
        "8",
        "--fault",
        "tool_wear@60",
        "--machines",
        "OP10,OP20",
    ]
    plant = _plant(build_parser(words).parse_args(words))
    settings = section(plant, "plant", PlantSettings)
    settings.check()
    assert (settings.seed, settings.speed, settings.calm) == (3, 8.0, True)
    assert (settings.faults, settings.machines) == (("tool_wear@60",), ("OP10", "OP20"))


def test_recordings_need_no_file_and_get_ports_of_their_own(tmp_path: Path) -> None:
    words = ["plant", "run", "--dir", str(tmp_path), "--recording", "a.csv", "--recording", "b.csv", "--speed", "10"]
    plant = _plant(build_parser(words).parse_args(words))
    settings = section(plant, "plant", PlantSettings)
    assert not settings.line
    assert [(one.name, one.port, one.speed) for one in settings.recordings] == [("a", 4840, 10.0), ("b", 4841, 10.0)]
    assert settings.recordings[0].file.is_absolute()
    assert plant.dir == tmp_path


def test_nothing_said_changes_nothing() -> None:
    words = ["plant", "run"]
    assert overrides(build_parser(words).parse_args(words)) == {}
    assert msgspec.convert({}, PlantSettings) == PlantSettings()
