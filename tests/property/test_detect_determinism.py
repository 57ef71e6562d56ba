"""The same stream says the same, bit for bit: however frames are cut, wherever it is interrupted, whatever is sent twice."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shinkei_detect.machine import MachineDetector
from shinkei_detect.settings import DetectSettings
from shinkei_detect.snapshot import Snapshot, restore, take
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Context, Frame
from shinkei_events.watermark import Take, judge
from tests.support.signal_frames import RUNNING, STREAM, Machine, calm, recut, shift

SETTINGS = DetectSettings(warm_up=40, settle=15, calm=12, relearn=90, contexts=3)
IDLE = Context("IDLE", "PUMP-A", None, "T-1")


def story(seed: int) -> list[Frame]:
    """A machine's life in about 900 steps: stops, change-overs, gaps, faults, a stuck sensor, bad values, a clock set back."""
    rng = random.Random(seed)
    machine = Machine(calm(seed)).run(80)
    contexts = [
        RUNNING,
        IDLE,
        Context("EXECUTE", "PUMP-B", None, "T-1"),
        Context("EXECUTE", "PUMP-A", None, "T-2"),
        Context(),
    ]
    for _ in range(12):
        steps = rng.randrange(5, 110)
        match rng.randrange(9):
            case 0:
                machine.under(rng.choice(contexts)).run(steps)
            case 1:
                machine.gap(rng.choice([0.5, 30, 900])).run(steps)
            case 2 | 3:
                machine.run(steps, shift(torque=rng.uniform(-9, 9)))
            case 4:
                machine.run(steps, lambda row: row | {"coolant": 24.0})
            case 5:
                machine.run(steps, lambda row: row | {"vibration": None})
            case 6:
                machine.pause(rng.choice([-3600, -3, 40, 4000])).run(steps)
            case 7:
                machine.run(steps, lambda row: {"torque": row["torque"]}, every=rng.choice([10**8, 5 * 10**9]))
            case 8:
                machine.run(steps)
    return machine.frames


def listen(frames: list[Frame]) -> tuple[list[AnomalyChanged], MachineDetector]:
    detector = MachineDetector(STREAM, SETTINGS)
    said = [event for frame in frames for event in detector.use(frame)]
    return said, detector


def test_the_story_has_something_to_say() -> None:
    said = [event for seed in range(8) for event in listen(story(seed))[0]]
    assert {"opened", "updated", "closed"} == {event.phase for event in said}
    assert {"level", "stuck", "bad_quality", "clock_set_back"} <= {event.rule for event in said}
    assert any(event.learned for event in said)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_where_frames_end_decides_nothing(seed: int, cuts: int) -> None:
    frames = story(seed)
    said, detector = listen(frames)
    again, other = listen(recut(frames, random.Random(cuts)))
    assert again == said
    assert take(other).body == take(detector).body


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 900), max_size=4))
def test_a_snapshot_goes_on_where_it_was_taken(seed: int, places: list[int]) -> None:
    frames = story(seed)
    said, _ = listen(frames)
    detector, again = MachineDetector(STREAM, SETTINGS), []
    for at, frame in enumerate(frames):
        if at in places:
            detector = restore(Snapshot.decode(take(detector).encode()), detector.version)
        again += detector.use(frame)
    assert again == said


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_killed_and_fed_again_from_an_older_snapshot_it_says_nothing_new(seed: int, chance: int) -> None:
    rng = random.Random(chance)
    frames = recut(story(seed), rng)
    said, _ = listen(frames)
    detector = MachineDetector(STREAM, SETTINGS)
    kept, heard, at = take(detector), {}, 0
    kills = 5
    while at < len(frames):
        frame = frames[at]
        verdict = judge(detector.next_number, frame.first, frame.count)
        if isinstance(verdict, Take):
            heard |= {(event.id, event.revision): event for event in detector.use(frame, verdict.skip)}
        at += 1
        if rng.random() < 0.05:
            kept = take(detector)
        if kills and rng.random() < 0.05:
            kills -= 1
            detector = restore(kept, detector.version)
            frames = recut(frames, rng)
            at = 0
    assert list(heard.values()) == said


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_empty_frames_decide_nothing(seed: int, chance: int) -> None:
    frames, rng = story(seed), random.Random(chance)
    told = []
    for frame in frames:
        if rng.random() < 0.3 and frame.gap_before is None:
            told.append(
                msgspec.structs.replace(
                    frame,
                    channels=[],
                    ch=[],
                    dt=[],
                    v=[],
                    status=[],
                    received=[],
                    context=IDLE,
                    complete_until=frame.t0,
                )
            )
        told.append(frame)
    assert listen(told)[0] == listen(frames)[0]


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_each_episode_is_opened_once_and_its_revisions_count_up(seed: int) -> None:
    said, _ = listen(story(seed))
    by_id: dict[str, list[AnomalyChanged]] = {}
    for event in said:
        by_id.setdefault(event.id, []).append(event)
    for events in by_id.values():
        assert [event.revision for event in events] == list(range(1, len(events) + 1))
        assert events[0].phase == "opened"
        assert [event.phase for event in events[1:-1]] == ["updated"] * len(events[1:-1])
        assert all(event.first <= event.last for event in events)
        assert all(abs(sum(one.share for one in event.signals) - 1) < 1e-9 for event in events if event.signals)
    opens = [event for event in said if event.finding == "anomaly" and event.phase != "updated"]
    assert [event.phase for event in opens] == (["opened", "closed"] * len(opens))[: len(opens)]
