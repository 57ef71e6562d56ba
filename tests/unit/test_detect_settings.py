"""The detector's section: the sample is complete and shows the defaults; contradictions are named."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from shinkei_detect.run import unwatched_of
from shinkei_detect.settings import DetectSettings
from shinkei_events.errors import BadConfig
from shinkei_events.model.master import Signal
from shinkei_events.settings import strict


@pytest.fixture
def sample() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(files("shinkei_detect").joinpath("sample.toml").read_text())["detect"]
    return found


def test_the_sample_has_every_key_there_is(sample: dict[str, Any]) -> None:
    assert set(sample) == set(DetectSettings.__struct_fields__)


def test_the_sample_shows_the_defaults(sample: dict[str, Any]) -> None:
    assert strict(sample, DetectSettings, "detect") == DetectSettings()


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("onn", 1.0, "detect"),
        ("step", "0s", "detect.step"),
        ("step", 1, "detect.step"),
        ("off", 4.0, "detect.off"),
        ("joint_off", 9.0, "detect.off"),
        ("calm", 0, "detect"),
        ("running", "EXECUTE", "detect.running"),
    ],
)
def test_what_is_wrong_is_named(key: str, value: object, named: str) -> None:
    with pytest.raises(BadConfig) as problem:
        strict({key: value}, DetectSettings, "detect")
    assert problem.value.field.startswith(named)


def test_signals_that_are_not_watched_come_from_the_master_data() -> None:
    signals = [
        Signal(name=f"{machine}/{signal}", machine=machine, signal=signal, watch=watch)
        for machine, signal, watch in (
            ("A", "torque", True),
            ("A", "count", False),
            ("B", "total", False),
            ("B", "hours", False),
        )
    ]
    assert unwatched_of(signals) == {"A": frozenset({"count"}), "B": frozenset({"total", "hours"})}
