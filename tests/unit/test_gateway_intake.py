"""Numbers are given in the order of source time; frames end where the context changes; bad items go to quarantine, neighbours go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shinkei_events.codec import decode
from shinkei_events.frames import readings
from shinkei_events.model.frame import Frame, Origin
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import ClockSkew
from shinkei_events.model.operation import Operation
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.intake import Batch, Draft, Intake, Reading, gap
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool

T = 1_700_000_000_000_000_000
OPERATION = {"operation_id": "o", "kind": "process", "station": "M", "started": T, "ended": T + 50}


class Bench:
    def __init__(self, folder: Path, start: int = 0) -> None:
        self.now = T
        self.spool, _ = open_spool(FolderDisk(folder), lambda: f"00000000-0000-7000-8000-{start:012d}")
        self.commit = GroupCommit(self.spool)
        self.intake = Intake(self.spool, self.commit, "gw", "0", lambda: self.now)

    def put(self, *items: Reading | Draft, **more: Any) -> None:
        self.intake.put(Batch("src", list(items), **more)).result(60)

    def events(self) -> list[Any]:
        return [event for event, _ in self.stored()]

    def stored(self) -> list[tuple[Any, str]]:
        cursor, found = self.spool.begin(), []
        while (step := self.spool.read(cursor)) is not None:
            batch, cursor = step
            found += [(decode(e.type, p), e.stream) for e, p in zip(batch.index.entries, batch.payloads(), strict=True)]
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    yield made
    made.commit.stop()


def reading(time: int, value: Any, channel: str = "a", machine: str = "M") -> Reading:
    return Reading(machine, channel, T + time, value, 0, T + 100)


def state(time: int, name: str, **more: Any) -> Draft:
    return Draft("M", T + time, T + 100, MachineStateChanged, {"state": name, **more})


def test_order_is_source_time_and_frames_end_at_context_changes(bench: Bench) -> None:
    bench.put(
        reading(30, 3.0),
        reading(10, 1.0),
        state(20, "EXECUTE", product="P"),
        reading(20, 2.0),
        Draft("M", T + 50, T + 100, Operation, OPERATION),
    )
    kinds = [type(e).__name__ for e in bench.events()]
    assert kinds == ["StreamStarted", "Frame", "MachineStateChanged", "Frame", "Operation"]
    _, first, changed, second, operation = bench.events()
    assert [r[3] for r in readings(first)] == [1.0]
    assert [r[3] for r in readings(second)] == [2.0, 3.0]
    assert (first.first, second.first) == (1, 2)
    assert first.context.state is None
    assert (second.context.state, second.context.product) == ("EXECUTE", "P")
    assert (first.production, second.production) == (1, 2)
    assert (changed.number, changed.signals) == (2, 1)
    assert (operation.number, operation.signals) == (3, 3)


def test_context_and_resume_survive_a_restart(bench: Bench, tmp_path: Path) -> None:
    bench.put(state(0, "HELD"), resume={"sequence": 7})
    bench.commit.stop()
    again = Bench(tmp_path)
    assert again.intake.resume("src") == {"sequence": 7}
    again.put(reading(1, 1.0))
    assert again.events()[-1].context.state == "HELD"
    assert [type(e).__name__ for e in again.events()].count("StreamStarted") == 1
    again.commit.stop()


def test_bad_items_go_to_quarantine_and_neighbours_go_on(bench: Bench) -> None:
    bench.put(
        reading(1, 1.0),
        reading(2, float("nan")),
        reading(3, object()),
        Draft("M", T + 4, T, Operation, {"kind": "no"}),
        reading(5, 5.0),
    )
    events = bench.events()
    assert [r[3] for e in events if isinstance(e, Frame) for r in readings(e)] == [1.0, 5.0]
    assert [e.first for e in events if isinstance(e, Frame)] == [1, 2]
    assert [e.number for e in events if type(e).__name__ == "Quarantined"] == [1, 2, 3]


def test_a_gap_is_an_event_and_marks_the_next_frame(bench: Bench) -> None:
    bench.put(reading(1, 1.0))
    bench.put(gap("M", "session_lost", T + 2, T + 8, T + 9, at_least=3), reading(9, 9.0))
    bench.put(reading(11, 11.0))
    event = next(e for e in bench.events() if type(e).__name__ == "Gap")
    frames = [e for e in bench.events() if isinstance(e, Frame)]
    assert (event.t_from, event.t_to, event.at_least, event.of.kind) == (T + 2, T + 8, 3, "signals")
    assert [f.gap_before and f.gap_before.id for f in frames] == [None, event.id, None]


def test_history_is_a_stream_of_its_own_in_the_order_of_the_file(bench: Bench) -> None:
    bench.put(reading(5, 5.0), state(6, "IDLE"), reading(7, 7.0), history=True)
    streams = [name.rpartition("/")[2] for _, name in bench.stored()]
    assert streams == ["production", "history", "history", "history"]
    assert [getattr(e, "first", None) or e.number for e in bench.events()[1:]] == [1, 2, 3]
    assert bench.intake.quiet_frames() == []


def test_times_out_of_the_window_are_kept_and_flagged(bench: Bench) -> None:
    bench.put(reading(-8 * 86_400 * 10**9, 1.0), reading(5, 2.0), reading(2 * 3_600 * 10**9, 3.0))
    frame = next(e for e in bench.events() if isinstance(e, Frame))
    late = [value for at, (_, _, _, value, _, _) in enumerate(readings(frame)) if at in (frame.late or [])]
    assert set(map(str, late)) == {"1.0", "3.0"}


def test_quiet_streams_say_so_while_their_source_is_alive(bench: Bench) -> None:
    bench.put(reading(1, 1.0))
    assert bench.intake.quiet_frames() == []
    bench.now += 2 * 10**9
    assert bench.intake.quiet_frames() == []
    bench.intake.alive("M", bench.now)
    (frame,) = bench.intake.quiet_frames()
    assert (frame.first, frame.count, frame.production, frame.complete_until) == (2, 0, 1, bench.now)
    bench.now += 2 * 10**9
    assert len(bench.intake.quiet_frames()) == 1
    bench.now += 60 * 10**9
    assert bench.intake.quiet_frames() == []


def test_a_keep_alive_that_is_years_ahead_does_not_say_that_all_is_complete_until_then(bench: Bench) -> None:
    bench.put(reading(1, 1.0))
    told = []
    for ahead in (10 * 365 * 86_400, 0, -3_600):  # the last: its clock was set back
        bench.now += 2 * 10**9
        bench.intake.alive("M", bench.now + ahead * 10**9)
        told += [frame.complete_until for frame in bench.intake.quiet_frames()]
    assert [None if at is None else (at - bench.now) // 10**9 for at in told] == [-4, -2, -3_600]


def skew(time: int, ns: int, *, within: bool = False, source: str = "src") -> Draft:
    fields = {"source": source, "skew": ns, "limit": 5, "within": within}
    return Draft("M", T + time, T + time, ClockSkew, fields)


def test_what_a_wrong_clock_says_is_flagged_and_nothing_is_corrected(bench: Bench, tmp_path: Path) -> None:
    bench.put(reading(1, 1.0))
    bench.put(reading(90, 2.0), reading(91, 3.0), skew(100, 60))  # the very message that showed it too
    bench.put(reading(2, 4.0))
    frames = [event for event in bench.events() if isinstance(event, Frame)]
    assert [frame.origin for frame in frames] == [None, Origin(skew=60), Origin(skew=60)]
    assert [time - T for frame in frames for _, _, time, *_ in readings(frame)] == [1, 90, 91, 2]
    assert [frame.first for frame in frames] == [1, 2, 4]  # a step back in time is none in the numbers
    bench.commit.stop()
    again = Bench(tmp_path)
    assert again.intake.skew("src", "M") == 60
    again.put(reading(3, 5.0))
    again.put(reading(4, 6.0), skew(101, 0, within=True))
    origins = [event.origin for event in again.events() if isinstance(event, Frame)]
    assert origins[3:] == [Origin(skew=60), None]
    again.commit.stop()


def test_only_what_came_by_that_source_is_flagged(bench: Bench) -> None:
    bench.put(reading(1, 1.0), skew(100, 60, source="other"))
    (frame,) = [event for event in bench.events() if isinstance(event, Frame)]
    assert frame.origin is None


def test_no_record_is_bigger_than_a_broker_takes(bench: Bench) -> None:
    """512 values of 60 KB each would be one record of 30 MB."""
    bench.put(*[reading(n, "x" * 60_000) for n in range(40)], reading(41, "y" * 600_000))
    frames = [event for event in bench.events() if isinstance(event, Frame)]
    assert [number for frame in frames for number in range(frame.first, frame.end)] == list(range(1, 41))
    assert all(frame.count <= 5 for frame in frames)
    (refused,) = [event for event in bench.events() if isinstance(event, Quarantined)]
    assert "600" in refused.reason


def test_what_no_record_can_hold_and_names_that_are_no_names_go_to_quarantine(bench: Bench) -> None:
    """The log takes no record of more than 1 MiB and the database no key of more than 2704 bytes: both would stand still for good."""
    long = "".join(chr(0x4E00 + n % 5000) for n in range(200_000))
    bench.put(
        Draft("M", T, T, Operation, OPERATION | {"to": long}),
        Draft("M", T, T, Operation, OPERATION | {"outputs": [{"id": long[:501], "type": "serial"}]}),
        state(1, long), state(2, "HELD", product=long[:501]), state(3, "EXECUTE"),
        reading(4, 1.0, channel=long), reading(4, 2.0, channel=long[:500]), reading(5, long), reading(6, 3.0),
    )  # fmt: skip
    kept = [event for event in bench.events() if not isinstance(event, Quarantined)]
    refused = [event for event in bench.events() if isinstance(event, Quarantined)]
    assert len(refused) == 6
    assert all(len(each.reason) < 1_000 and len(each.where) <= 500 for each in refused)
    assert [event.state for event in kept if isinstance(event, MachineStateChanged)] == ["EXECUTE"]
    values = [value for event in kept if isinstance(event, Frame) for _, _, _, value, _, _ in readings(event)]
    assert values == [2.0, 3.0]
