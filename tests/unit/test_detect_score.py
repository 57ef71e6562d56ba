"""Our score of detection: counts over rows, checked by hand."""

from __future__ import annotations

import pytest

from shinkei_detect.errors import BadRecording
from shinkei_detect.recording import Recording
from shinkei_detect.replay import replay
from shinkei_detect.score import Score, alarm_rows, compare
from tests.support.signal_frames import SECOND, START, Machine, shift


def test_rows_are_counted() -> None:
    score = compare([True, True, False, False, True], [True, False, True, False, True], skip=1)
    assert score == Score(hit=1, false=1, missed=1, silent=1)
    assert score.f1 == pytest.approx(0.5)
    assert (score.far, score.mar) == (50.0, 50.0)
    assert (score + score).hit == 2


def test_an_alarm_that_is_always_on_shows_in_the_false_alarm_rate() -> None:
    score = compare([True] * 7 + [False] * 3, [True] * 10)
    assert score.f1 > 0.8
    assert score.far == 100.0


def test_rows_are_in_alarm_from_when_it_was_said_to_its_last_step() -> None:
    said = list(replay(Machine().run(300).run(60, shift(torque=9.0)).run(200).frames))
    times = [START + n * SECOND for n in range(560)]
    flags = alarm_rows(times, said)
    assert not any(flags[:300])
    assert all(flags[312:360])
    assert not any(flags[400:])


def test_a_recording_is_read_with_its_labels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "pump.csv"
    path.write_text(
        "datetime;flow;anomaly;changepoint\n2020-03-09 10:00:00;32.5;0.0;0\n2020-03-09 10:00:01.25;;1.0;1\n"
    )
    recording = Recording(path)
    assert recording.signals == ["flow"]
    assert recording.truth == [False, True]
    [frame] = recording.frames()
    assert frame.v == [32.5, None]
    assert frame.status == [(1, 0), (1, 0x809B0000)]
    assert frame.dt == [0, 1_250_000_000]


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadRecording, match=r"nothing\.csv"):
        Recording(tmp_path / "nothing.csv")


def test_a_bad_line_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "pump.csv"
    path.write_text("timestamp,flow\n2020-03-09 10:00:00,32.5\n2020-03-09 10:00:01,abc\n")
    with pytest.raises(BadRecording, match="line 3"):
        Recording(path)
