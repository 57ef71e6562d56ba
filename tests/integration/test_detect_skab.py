"""Detection on real recordings of a pump test bed (SKAB), each file a cold start: good enough, causal, and not by row numbers.

An alarm that is always on has an F1 of 0.7 there, so no F1 is asked for without the rate of false alarms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from shinkei_detect.recording import Recording
from shinkei_detect.replay import replay
from shinkei_detect.score import Score, alarm_rows, compare
from shinkei_events.model.anomaly import AnomalyChanged

LEARNED = 400
PLAUSIBLE = {"Volume Flow RateRMS", "Pressure", "Accelerometer1RMS", "Accelerometer2RMS", "Current", "Temperature"}
SCORER = Path(
    os.environ.get("SHINKEI_SCORER") or Path(__file__).resolve().parents[3] / "shared" / "tools" / "score_anomaly.py"
)


@pytest.fixture(scope="module")
def recordings(skab: Path) -> list[Recording]:
    return [Recording(path) for path in sorted((skab / "valve1").glob("*.csv"))]


def detect(recording: Recording, start: int = 0) -> list[AnomalyChanged]:
    return list(replay(recording.frames(start=start)))


def total(recordings: list[Recording], start: int = 0) -> Score:
    score = Score()
    for one in recordings:
        assert one.truth is not None
        alarm = alarm_rows(one.times[start:], detect(one, start))
        score += compare(one.truth[start:], alarm, LEARNED - start)
    return score


def test_f1_with_few_false_alarms(recordings: list[Recording]) -> None:
    score = total(recordings)
    print(f"SKAB valve1: F1 {score.f1:.3f}, FAR {score.far:.1f} %, MAR {score.mar:.1f} %")
    assert len(recordings) == 16
    assert score.f1 >= 0.85
    assert score.far <= 10.0


@pytest.mark.parametrize("start", [50, 100, 150])
def test_it_does_not_live_on_row_numbers(recordings: list[Recording], start: int) -> None:
    whole, short = total(recordings), total(recordings, start)
    assert short.f1 >= whole.f1 - 0.03
    assert short.far <= whole.far + 10.0


def test_it_does_not_look_ahead(recordings: list[Recording]) -> None:
    one = recordings[3]
    whole = detect(one)
    for rows in (450, 613, 801):
        cut = list(replay(islice(one.frames(rows=1), rows)))
        assert cut == [event for event in whole if event.time < one.times[rows - 1]]


def test_the_first_signal_named_is_plausible(recordings: list[Recording]) -> None:
    named = {}
    for one in recordings:
        assert one.truth is not None
        begins = one.times[one.truth.index(True)]
        found = [event for event in detect(one) if event.finding == "anomaly" and event.time >= begins]
        if found:
            named[one.name] = found[-1].signals[0].signal
    assert len(named) >= 14
    assert sum(name == "Volume Flow RateRMS" for name in named.values()) >= 13
    assert set(named.values()) <= PLAUSIBLE


def test_a_normal_run_of_more_than_two_hours_is_mostly_quiet(skab: Path) -> None:
    recording = Recording(skab / "anomaly-free" / "anomaly-free.csv")
    said = detect(recording)
    opened = [event for event in said if event.phase == "opened"]
    assert sum(alarm_rows(recording.times, said)) / len(recording.times) <= 0.03
    assert len(opened) <= 5


def test_our_score_is_that_of_the_independent_scorer(recordings: list[Recording], skab: Path, tmp_path: Path) -> None:
    if not SCORER.is_file():
        pytest.skip(f"no independent scorer at {SCORER}; SHINKEI_SCORER names one")
    for one in recordings:
        flags = alarm_rows(one.times, detect(one))
        path = tmp_path / "valve1" / f"{one.name}.csv"
        path.parent.mkdir(exist_ok=True)
        stamps = [line.split(";")[0] for line in (skab / "valve1" / f"{one.name}.csv").read_text().splitlines()[1:]]
        lines = [f"{stamp},{int(flag)}" for stamp, flag in zip(stamps, flags, strict=True)]
        path.write_text("\n".join(["timestamp,is_anomaly", *lines]) + "\n")
    command = [sys.executable, str(SCORER), "--dataset", "skab", "--data", str(skab), "--scores", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    theirs, ours = json.loads(done.stdout)["outlier"], total(recordings)
    assert theirs["F1"] == pytest.approx(ours.f1, abs=1e-4)
    assert theirs["FAR_percent"] == pytest.approx(ours.far, abs=1e-2)
    assert (theirs["TP"], theirs["FP"]) == (ours.hit, ours.false)
