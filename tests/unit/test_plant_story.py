"""The demo's story: a visitor sees trouble within two minutes, and it is the detector that finds it on signals that really change."""

from __future__ import annotations

import itertools

import pytest

from shinkei_detect.machine import MachineDetector
from shinkei_detect.settings import DetectSettings
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_plant.faults import FAULTS, SEED, SOON, Planned, story
from shinkei_plant.settings import PlantSettings
from tests.support.line_signals import ORIGIN, line_signals

PAST_S = 8 * 3600
SECOND = 10**9


def opened(machine: str, seconds: int, troubles: list[Planned]) -> list[AnomalyChanged]:
    """What the demo's detector says first of each anomaly of ``machine``, in so many seconds after the demo's start."""
    detector: MachineDetector | None = None
    said: list[AnomalyChanged] = []
    for frame in line_signals(SEED, seconds, troubles, past_s=PAST_S):
        if frame.stream.machine == machine:
            detector = detector or MachineDetector(frame.stream, DetectSettings(warm_up=60))
            said += detector.use(frame)
    return [event for event in said if event.phase == "opened"]


def test_there_is_an_alarm_in_the_first_minute_and_something_new_every_few_minutes() -> None:
    planned = sorted(story(SEED), key=lambda one: one.seconds)
    live = [one for one in planned if one.seconds >= 0]
    assert (live[0].name, live[0].seconds <= 60) == ("breakdown", True)
    assert [(one.name, one.seconds) for one in live[: len(SOON)]] == list(SOON)
    assert max(b.seconds - a.seconds for a, b in itertools.pairwise(live)) <= 15 * 60
    past = [one for one in planned if one.seconds < 0]
    assert len({one.name for one in past}) >= 6
    assert min(one.seconds for one in past) > -PAST_S


def test_a_visitor_sees_the_first_anomaly_within_two_minutes() -> None:
    first = opened("OP20", 120, list(story(SEED)))
    assert [(event.finding, event.rule) for event in first] == [("anomaly", "level")]
    assert {one.signal for one in first[0].signals} >= {"torque", "spindle_current"}
    began = next(one.seconds for one in story(SEED) if one.name == "wrong_program" and one.seconds > 0)
    assert began <= (first[0].time - ORIGIN) / SECOND <= 120


def test_without_the_trouble_the_same_line_is_quiet() -> None:
    assert opened("OP20", 240, [one for one in story(SEED) if one.seconds < 0]) == []


def test_a_calm_line_has_no_planted_trouble_at_all() -> None:
    assert PlantSettings(seed=SEED, calm=True).troubles() == []
    assert PlantSettings(calm=True, faults=("tool_wear@60",)).troubles() == [Planned("tool_wear", 60.0)]


@pytest.mark.parametrize("name", FAULTS)
def test_each_trouble_comes_in_the_story(name: str) -> None:
    assert name in {one.name for one in story(SEED)}
