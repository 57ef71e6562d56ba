"""What people read on Japanese screens is Japanese: titles of what is measured, and the channels of a gap."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shinkei_events.settings import load_plant
from shinkei_plant.catalog import CHARACTERISTICS
from shinkei_plant.sample import ENDPOINTS, plant_toml
from shinkei_ui.parts.units import channel_title, characteristic_title
from shinkei_ui.words import Words


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("titles") / "plant.toml"
    path.write_text(plant_toml(ports=dict(zip(ENDPOINTS, range(4840, 4900), strict=False))), encoding="utf-8")
    return SimpleNamespace(plant=load_plant(path))


def test_every_characteristic_of_the_line_has_a_title_in_both_languages(found: Any) -> None:
    for one in CHARACTERISTICS:
        assert characteristic_title(found, Words("ja"), one.operation, one.name) == one.ja
        assert characteristic_title(found, Words("en"), one.operation, one.name) == one.en


def test_a_characteristic_nobody_gave_a_title_keeps_its_name(found: Any) -> None:
    assert characteristic_title(found, Words("ja"), "OP10", "wall_thickness") == "wall thickness"


@pytest.mark.parametrize(
    ("machine", "channel", "title"),
    [
        ("OP30", "@Cycle/Operation", "作業"),
        ("OP20", "@cycle", "作業"),
        ("OP20", "@cycle.bore_diameter", "内径"),
        ("OP20", "@state.product", "設備の状態"),
        ("OP30", "@Energy/Total", "電力量"),
        ("OP20", "vibration", "振動"),
        ("OP20", "@press_done", "press_done"),
    ],
)
def test_a_gap_names_its_channels_in_words(found: Any, machine: str, channel: str, title: str) -> None:
    assert channel_title(found, Words("ja"), machine, channel) == title
