"""Screens get last values of a machine only while its stream is behind, one frame and half a second at most, newest value first of all."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.codec import decode, encode
from shinkei_events.frames import MAX_VALUES, readings
from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.model.frame import Context, Frame
from shinkei_events.registry import FRAME
from shinkei_events.watermark import Repeat, judge
from shinkei_gateway.columns import columns
from shinkei_gateway.intake import Batch, Intake, Reading
from shinkei_gateway.last_values import LastValues
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool

T, S = 1_700_000_000_000_000_000, 1_000_000_000
STREAM = StreamId("e", "M", "signals")


class Line:
    """One machine whose log has everything up to ``done``."""

    def __init__(self) -> None:
        self.last, self.end, self.done = LastValues(), FIRST_NUMBER, FIRST_NUMBER

    def say(self, value: float, *channels: str) -> None:
        run = [Reading("M", channel, T, value, 0, T) for channel in channels or ("a",)]
        frame = columns(STREAM, self.end, run, Context("EXECUTE"), True)
        self.end = frame.end
        self.last.take(frame, run)

    def look(self, seconds: float) -> list[Frame]:
        return self.last.due(round(seconds * S), lambda: {"M": (self.end, self.done)})


def values(frame: Frame) -> list[tuple[str, object]]:
    return [(channel, value) for _, channel, _, value, _, _ in readings(frame)]


def test_a_stream_that_is_on_the_log_within_a_second_shows_nothing() -> None:
    line = Line()
    for step in range(40):
        line.say(float(step))
        assert line.look(10 + step / 4) == []
        line.done = line.end - 1


def test_a_stream_that_is_behind_shows_its_last_values_twice_a_second() -> None:
    line = Line()
    shown: list[Frame] = []
    for step in range(60):
        line.say(float(step), "a", "b")
        shown += line.look(10 + step / 20)
    assert 3 <= len(shown) <= 4
    assert values(shown[-1]) == [("a", values(shown[-1])[0][1]), ("b", values(shown[-1])[1][1])]
    assert values(shown[-1])[0][1] == 50.0, "the newest of the moment, not the oldest that waits"
    assert shown[-1].context.state == "EXECUTE"
    frame = decode(FRAME.ce_type, encode(shown[-1]))
    assert isinstance(judge(line.end, frame.first, frame.count, None), Repeat), (
        "nobody takes it for numbers of the stream"
    )


def test_nothing_new_is_not_shown_again_and_caught_up_ends_it() -> None:
    line = Line()
    for step in range(60):
        line.say(float(step))
        line.look(10 + step / 20)
    line.say(99.0)
    assert [values(frame) for frame in line.look(20)] == [[("a", 99.0)]]
    assert line.look(21) == []
    line.done = line.end
    line.say(100.0)
    assert line.look(22) == []
    line.say(101.0)
    assert line.look(22.5) == [], "behind again only after a second"


def test_more_channels_than_a_frame_holds_take_turns() -> None:
    line = Line()
    line.say(0.0)
    line.look(10)
    line.say(0.0)
    line.look(12)
    names = [f"c{n:04d}" for n in range(MAX_VALUES + 10)]
    line.say(1.0, *names)
    (first,), (second,) = line.look(13), line.look(14)
    assert (first.count, second.count) == (MAX_VALUES, 10)


def test_the_intake_shows_what_it_numbers_but_neither_history_nor_replays(tmp_path: Path) -> None:
    spool, _ = open_spool(FolderDisk(tmp_path), lambda: "00000000-0000-7000-8000-000000000000")
    commit = GroupCommit(spool)
    intake = Intake(spool, commit, "gw", "0", lambda: T)
    for at in (10, 12):
        intake.put(Batch("s", [Reading("M", "a", T, at, 0, T)]))
        intake.last_values.due(at * S, lambda: {"M": (9, 1)})
    for n, more in enumerate([{}, {"history": True}, {"replay_of": "x/1"}]):
        intake.put(Batch("s", [Reading("M", "a", T, n, 0, T)], **more)).result(60)  # type: ignore[arg-type]
    (frame,) = intake.last_values.due(20 * S, lambda: {"M": (30, 1)})
    assert values(frame) == [("a", 0)]
    commit.stop()
