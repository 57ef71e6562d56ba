"""The detector alone: real recordings, the simulated line with and without troubles, speed, state and checkpoints.

Every figure is printed only after its answer was checked: the same stream twice says the same.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import river

from shinkei_detect.machine import MachineDetector
from shinkei_detect.recording import Recording
from shinkei_detect.replay import replay
from shinkei_detect.score import Score, alarm_rows, compare
from shinkei_detect.settings import DetectSettings
from shinkei_detect.snapshot import restore, take
from shinkei_events.identity import StreamId
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Context, Frame
from shinkei_plant.faults import FAULTS, Planned, story
from tests.support.line_signals import EPOCH, ORIGIN, line_signals

SKAB = Path(os.environ.get("SHINKEI_SKAB_DIR") or Path(__file__).resolve().parents[3] / "shared" / "data" / "skab")
HOURS, CALM_SEEDS, STORY_SEEDS = 2, (1, 2, 3), (1, 2)
WITHIN_S = 400
NOT_SEEN_IN_SIGNALS = ("breakdown", "chatter", "network_cut")


def main() -> None:
    """Print one JSON object a line."""
    skab()
    calm()
    troubles()
    speed()
    state()


def skab() -> None:
    """F1 and false alarms on the development part of SKAB; each file a cold start, 400 rows to learn."""
    total = Score()
    for path in sorted((SKAB / "valve1").glob("*.csv")):
        recording = Recording(path)
        assert recording.truth is not None
        total += compare(recording.truth, alarm_rows(recording.times, replay(recording.frames())), 400)
    show("detect.skab_dev.f1", total.f1, "", "more", 0.87, 0.92, files=16)
    show("detect.skab_dev.far_percent", total.far, "%", "less", 10, 6, files=16)


def calm() -> None:
    """False anomalies and findings per machine and day of the line without troubles."""
    said = sum(len(opened(line_signals(seed, HOURS * 3600))) for seed in CALM_SEEDS)
    days = 8 * HOURS * len(CALM_SEEDS) / 24
    show("detect.plant.false_per_machine_day", said / days, "1/d", "less", machine_days=days)


def troubles() -> None:
    """Planted troubles that move a signal: how many are found within 400 s, and how soon."""
    found, delays = 0, []
    planted = 0
    for seed in STORY_SEEDS:
        plan = [one for one in story(seed, HOURS) if 0 <= one.seconds < HOURS * 3600 - WITHIN_S]
        said = opened(line_signals(seed, HOURS * 3600, plan))
        for one in plan:
            if one.name not in NOT_SEEN_IN_SIGNALS:
                planted += 1
                delay = delay_of(one, said)
                found += delay is not None
                delays += [delay] if delay is not None else []
    show("detect.plant.found_share", found / planted, "", "more", planted=planted)
    show("detect.plant.delay_median_s", statistics.median(delays), "s", "less", planted=planted)


def delay_of(planted: Planned, said: list[AnomalyChanged]) -> float | None:
    """Seconds from its start to what was first said of its machine, or None."""
    machine, start = FAULTS[planted.name].machine, ORIGIN + int(planted.seconds * 1e9)
    times = [
        event.time for event in said if event.machine == machine and start <= event.time <= start + WITHIN_S * 10**9
    ]
    return (min(times) - start) / 1e9 if times else None


def opened(frames: Iterable[Frame]) -> list[AnomalyChanged]:
    """What is opened in a replay."""
    return [event for event in replay(frames) if event.phase == "opened"]


def speed() -> None:
    """Readings per second of one core, from frames to events: 8 signals at 1 Hz, the dearest case (a step for each reading)."""
    frames = [*sine(6000), *faulty(6000)]
    first = list(replay(frames))
    assert [event.phase for event in first][:1] == ["opened"]
    began = time.process_time()
    again = list(replay(frames))
    took = time.process_time() - began
    assert again == first
    readings = sum(frame.count for frame in frames)
    show("detect.alone.readings_per_core_s", readings / took, "1/s", "more", 10_000, 25_000, signals=8, hertz=1)


def state() -> None:
    """State of one machine per signal, and a checkpoint of 1000 signals (125 machines of 8), all taken and put together again."""
    detector = MachineDetector(StreamId(EPOCH, "M", "signals"), DetectSettings())
    for frame in sine(1000):
        detector.use(frame)
    show(
        "detect.state_per_signal.kib", len(take(detector).encode()) / 1024 / 8, "KiB", "less", 150, 32, compressed=True
    )
    began = time.process_time()
    snapshots = [take(detector) for _ in range(125)]
    show("detect.checkpoint_1000.s", time.process_time() - began, "s", "less", 5, 1, machines=125)
    again = restore(snapshots[0], detector.version)
    assert [detector.use(frame) for frame in faulty(1000)] == [again.use(frame) for frame in faulty(1000)] != []


def sine(steps: int) -> list[Frame]:
    """``steps`` seconds of a machine with 8 signals at 1 Hz."""
    return [frame for begin in range(0, steps, 16) for frame in [_frame(begin, min(16, steps - begin), 0.0)]]


def faulty(after: int) -> list[Frame]:
    """64 seconds more in which one of its signals is elsewhere."""
    return [_frame(begin, 16, 5.0) for begin in range(after, after + 64, 16)]


def _frame(begin: int, count: int, away: float) -> Frame:
    values = [
        10.0 * at + ((n * 7919 + at * 104729) % 1000) / 1000 + (away if at == 3 else 0.0)
        for n in range(begin, begin + count)
        for at in range(8)
    ]
    return Frame(
        stream=StreamId(EPOCH, "M", "signals"), first=begin * 8 + 1, t0=ORIGIN + begin * 10**9, context=Context("EXECUTE"),
        channels=[f"s{at}" for at in range(8)], ch=list(range(8)) * count, dt=[n * 10**9 for n in range(count) for _ in range(8)],
        v=list(values), status=[(count * 8, 0)], received=[(count * 8, ORIGIN)], production=0,
    )  # fmt: skip


def show(
    name: str,
    value: float,
    unit: str,
    better: str,
    must: float | None = None,
    aim: float | None = None,
    **conditions: object,
) -> None:
    """One line of the benchmark sheet."""
    sheet = {"name": name, "value": round(value, 4), "unit": unit, "better": better, "must": must, "aim": aim}
    about = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "river": river.__version__,
        "cpus": os.cpu_count(),
    }
    print(json.dumps(sheet | {"conditions": about | conditions}), flush=True)


if __name__ == "__main__":
    main()
