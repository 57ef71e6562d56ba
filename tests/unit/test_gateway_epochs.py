"""A spool that is lost, went back in time or is a copy begins an epoch of its own: nothing is lost or doubled, and its gap is told."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shinkei_events.codec import decode
from shinkei_events.frames import readings
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Gap, StreamClosed, StreamStarted
from shinkei_events.model.progress import Progress, Recorded
from shinkei_events.topics import TOPIC_OF_KIND, partition_of
from shinkei_gateway import standing
from shinkei_gateway.core import Core
from shinkei_gateway.epoch_change import Evidence
from shinkei_gateway.intake import Batch, Draft, Reading

T = 1_700_000_000_000_000_000


def opened(folder: Path, gateway: str = "gw") -> Core:
    core = Core(folder, gateway, "0")
    asyncio.run(core.begin())
    core.commit.call(lambda: None).result(60)  # no life claims anything before the next one would know it
    return core


def say(core: Core, begin: int, end: int, machine: str = "M") -> None:
    items: list[Reading | Draft] = [Reading(machine, "counter", T + n, n, 0, T + n) for n in range(begin, end)]
    core.intake.put(Batch("src", items, end)).result(60)


def report(core: Core, stream: StreamId, number: int) -> None:
    """The recorder has all of ``stream`` below ``number``."""
    topic, partition = TOPIC_OF_KIND[stream.kind].name, partition_of(stream.machine)
    recorded = [Recorded(stream, number)]
    ahead = core.forwarder.on_progress(partition, recorded, (stream.kind,))
    core.standing.on_progress(
        Progress(recorder="r", log_id="l", topic=topic, partition=partition, position=0, streams=recorded, time=T),
        ahead,
    )


def sent(core: Core) -> list[Any]:
    core.commit.call(lambda: None).result(60)
    return [send.event for step in range(200) for send in core.forwarder.poll(step * 10**9)]


def counters(events: list[Any]) -> list[tuple[str, int, Any]]:
    return [(e.stream.epoch, n, value) for e in events if isinstance(e, Frame) for n, _, _, value, _, _ in readings(e)]


def test_what_a_restored_spool_numbered_again_gets_free_numbers(tmp_path: Path) -> None:
    """Restored with the whole disk (same inodes), two starts without the log; then the recorder turns out to have more."""
    core = opened(tmp_path)
    say(core, 1, 11)
    old = core.intake.stream("M", "signals")
    core.close(5)
    for begin in (11, 16):
        core = opened(tmp_path)
        say(core, begin, begin + 5)
        if begin == 11:
            core.close(5)
    report(core, old, 31)
    asyncio.run(core.standing.settle())
    say(core, 21, 24)
    events = sent(core)
    new = core.spool.epoch
    assert new != old.epoch
    assert counters(events) == [(new, n, n) for n in range(1, 24)]
    (started,) = [e for e in events if isinstance(e, StreamStarted) and e.stream.epoch == new]
    assert started.follows == old.sibling("production")
    gaps = {e.of.kind: e for e in events if isinstance(e, Gap)}
    assert (gaps["signals"].of, gaps["signals"].begin, gaps["signals"].cause) == (old, 31, "spool_went_back")
    core.close(5)
    again = opened(tmp_path)
    assert again.spool.epoch == new
    report(again, old, 31)
    asyncio.run(again.standing.settle())
    assert again.spool.epoch == new, "what an ended epoch has recorded is no reason to end another"
    again.close(5)


def test_proved_numbers_are_not_given_anew(tmp_path: Path) -> None:
    core = opened(tmp_path)
    say(core, 1, 11)
    old = core.intake.stream("M", "signals")
    for stream in (old, old.sibling("production")):
        report(core, stream, 1)
    claim = core.standing.claim()
    assert claim is not None
    core.standing.on_claim(claim, 0)
    asyncio.run(core.standing.settle())
    core.commit.call(lambda: None).result(60)
    core.close(5)
    core = opened(tmp_path)
    say(core, 11, 13)
    report(core, old, 40)
    asyncio.run(core.standing.settle())
    events = sent(core)
    assert [value for epoch, _, value in counters(events) if epoch != old.epoch] == [11, 12]
    core.close(5)


def test_a_copied_folder_begins_its_own_epoch(tmp_path: Path) -> None:
    core = opened(tmp_path / "a")
    say(core, 1, 11)
    old = core.spool.epoch
    core.close(5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = opened(tmp_path / "b")
    assert copy.spool.epoch != old
    say(copy, 11, 13)
    events = sent(copy)
    assert counters(events) == [(old, n, n) for n in range(1, 11)] + [(copy.spool.epoch, n - 10, n) for n in (11, 12)]
    assert {(e.of.kind, e.begin, e.possible) for e in events if isinstance(e, Gap)} == {("signals", 11, True), ("production", 2, True)}  # fmt: skip
    copy.close(5)
    original = opened(tmp_path / "a")
    assert original.spool.epoch == old, "the original goes on"
    original.close(5)


def test_two_lives_of_one_epoch_are_noticed_by_their_claims(tmp_path: Path) -> None:
    core = opened(tmp_path)
    first = core.standing.claim()
    assert first is not None
    core.close(5)
    core = opened(tmp_path)
    core.standing.on_claim(first, 0)
    asyncio.run(core.standing.settle())
    assert core.spool.epoch == first.epoch, "a restart is no copy"
    say(core, 1, 6)
    stranger = type(first)(gateway="gw", shard="0", epoch=first.epoch, instance="stranger", host="elsewhere", time=T)
    core.standing.on_claim(stranger, 1)
    asyncio.run(core.standing.settle())
    assert core.spool.epoch != first.epoch
    assert counters(sent(core)) == [(core.spool.epoch, n, n) for n in range(1, 6)]
    core.close(5)


def test_a_lost_spool_follows_what_was_recorded(tmp_path: Path) -> None:
    for is_late in (True, False):
        core = opened(tmp_path / str(is_late))
        old = StreamId("018bcfe5-6800-7002-ab54-a98ceb1f0ad2", "M", "signals")
        if is_late:
            say(core, 1, 4)
        report(core, old, 31)
        report(core, old.sibling("production"), 3)
        asyncio.run(core.standing.settle())
        say(core, 4, 6)
        core.standing.follow()
        core.standing.follow()
        events = sent(core)
        follows = [e.follows for e in events if isinstance(e, StreamStarted)]
        assert follows == ([None] if is_late else []) + [old.sibling("production")]
        assert {(e.of, e.begin, e.cause) for e in events if isinstance(e, Gap)} == {(old, 31, "spool_lost"), (old.sibling("production"), 3, "spool_lost")}  # fmt: skip
        core.close(5)


def test_a_machine_that_moved_is_followed_without_a_gap_and_may_come_back(tmp_path: Path) -> None:
    a, b = opened(tmp_path / "a", "a"), opened(tmp_path / "b", "b")
    say(a, 1, 6)
    a.intake.put(
        Batch("@moved", [Draft("M", T + 9, T + 9, StreamClosed, {"reason": "moved to another shard"})])
    ).result(60)
    claim = a.standing.claim()
    assert claim is not None
    b.standing.on_claim(claim, 0)
    say(b, 6, 9)
    events = sent(b)
    (started,) = [e for e in events if isinstance(e, StreamStarted)]
    assert (started.follows, started.follows_number) == (a.intake.stream("M", "production"), 2)
    assert not [e for e in events if isinstance(e, Gap)]
    say(a, 9, 11)
    back = [e for e in sent(a) if isinstance(e, StreamStarted)]
    assert len(back) == 2
    assert a.intake.ownership.closed == {}
    for core in (a, b):
        core.close(5)


def test_an_interrupted_change_is_finished_at_the_next_start(tmp_path: Path) -> None:
    core = opened(tmp_path)
    for n in range(1, 31):
        say(core, n, n + 1)
    old = core.intake.stream("M", "signals")
    core.intake.hold()
    core.epochs.begin("spool_went_back", Evidence("test")).result(60)
    steps = core.epochs.steps()
    for _ in range(7):
        next(steps)
    core.commit.call(lambda: None).result(60)
    core.close(5)  # killed here
    again = opened(tmp_path)
    assert counters(sent(again)) == [(again.spool.epoch, n, n) for n in range(1, 31)]
    assert again.spool.epoch != old.epoch
    again.close(5)


def test_what_is_decoded_is_what_was_said(tmp_path: Path) -> None:
    """What is read above is what the forwarder sends; the spool holds the same."""
    core = opened(tmp_path)
    say(core, 1, 4)
    batch = core.spool.read(core.spool.begin())
    values = []
    while batch is not None:
        found, at = batch
        values += [decode(e.type, p) for e, p in zip(found.index.entries, found.payloads(), strict=True)]
        batch = core.spool.read(at)
    assert [v for _, _, v in counters(values)] == [1, 2, 3]
    core.close(5)


def test_a_claim_is_repeated_so_that_a_quiet_gateway_is_not_taken_for_a_lost_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = opened(tmp_path)
    first = core.standing.claim()
    assert first is not None
    assert core.standing.claim() is None
    core.standing.on_claim(first, 7)
    monkeypatch.setattr(standing, "CLAIM_AGAIN_S", 0.0)
    again = core.standing.claim()
    assert again is not None
    assert (again.epoch, again.instance) == (first.epoch, first.instance)
    core.standing.on_claim(again, 9)
    core.standing.on_claim(msgspec.structs.replace(first, instance="copy"), 8)
    asyncio.run(core.standing.settle())
    assert core.intake.ownership.epoch == first.epoch, "a claim behind our first one is the copy's business"
    core.close(5)


def photographed(folder: Path, to: Path) -> Path:
    """A copy of the whole disk: nothing in the folder tells it from the original."""
    shutil.copytree(folder, to)
    (to / ".home").unlink()
    os.link(folder / ".home", to / ".home")
    return to


def test_a_copy_made_while_the_gateway_runs_is_noticed_by_what_the_original_wrote_on(tmp_path: Path) -> None:
    core = opened(tmp_path / "a")
    say(core, 1, 11)
    old = core.spool.epoch
    to = photographed(tmp_path / "a", tmp_path / "b")
    say(core, 11, 13)
    claim = core.standing.claim()
    assert claim is not None
    copy = opened(to)
    assert copy.spool.epoch == old, "nothing but the log can tell"
    say(copy, 11, 14)
    copy.standing.on_claim(claim, 0)
    asyncio.run(copy.standing.settle())
    new = copy.spool.epoch
    assert new != old
    assert counters(sent(copy)) == [(old, n, n) for n in range(1, 11)] + [(new, n - 10, n) for n in (11, 12, 13)]
    later = copy.standing.claim()
    assert later is not None
    core.standing.on_claim(later, 1)
    asyncio.run(core.standing.settle())
    assert core.spool.epoch == old, "the original goes on"
    for each in (core, copy):
        each.close(5)


def test_a_spool_restored_from_the_life_that_just_ended_is_noticed_also_at_its_second_start(tmp_path: Path) -> None:
    core = opened(tmp_path / "a")
    say(core, 1, 11)
    to = photographed(tmp_path / "a", tmp_path / "b")
    say(core, 11, 21)
    claim = core.standing.claim()
    assert claim is not None
    core.close(5)
    core = opened(to)
    say(core, 11, 41)  # without the log, and beyond what was claimed
    core.close(5)
    core = opened(to)
    old = core.spool.epoch
    core.standing.on_claim(claim, 0)
    asyncio.run(core.standing.settle())
    events = sent(core)
    assert counters(events) == [(old, n, n) for n in range(1, 11)] + [(core.spool.epoch, n - 10, n) for n in range(11, 41)]  # fmt: skip
    assert {(e.of.kind, e.begin) for e in events if isinstance(e, Gap)} >= {("signals", 11)}
    core.close(5)


def test_a_gateway_says_nothing_of_a_machine_that_has_left_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "PATIENCE_S", 0.0)
    a = opened(tmp_path, "a")
    say(a, 1, 6)
    a.intake.put(Batch("@moved", [Draft("M", T + 9, T + 9, StreamClosed, {"reason": "moved"})])).result(60)
    report(a, StreamId("ffffffff-6800-7002-ab54-a98ceb1f0ad2", "M", "signals"), 9)
    a.standing.follow()
    events = [e for e in sent(a) if not isinstance(e, Frame)]
    assert isinstance(events[-1], StreamClosed)
    assert not [e for e in events if isinstance(e, Gap)]
    a.close(5)


def test_what_a_machine_left_behind_is_a_gap_when_that_spool_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = opened(tmp_path / "a", "a"), opened(tmp_path / "b", "b")
    say(a, 1, 6)
    a.intake.put(Batch("@moved", [Draft("M", T + 9, T + 9, StreamClosed, {"reason": "moved"})])).result(60)
    claim = a.standing.claim()
    assert claim is not None
    a.close(5)
    b.standing.on_claim(claim, 0)
    say(b, 6, 9)
    report(b, a.intake.stream("M", "signals"), 3)
    fresh = opened(tmp_path / "c", "a")
    b.standing.on_claim(msgspec.structs.replace(claim, epoch=fresh.spool.epoch, instance="n", closed=[]), 1)
    monkeypatch.setattr(standing, "PATIENCE_S", 0.0)
    b.standing.follow()
    gaps = [(e.of, e.begin, e.cause) for e in sent(b) if isinstance(e, Gap) and e.of.kind == "signals"]
    assert gaps == [(a.intake.stream("M", "signals"), 3, "spool_lost")]
    for core in (b, fresh):
        core.close(5)


def test_what_is_heard_late_of_a_lost_spool_is_told_by_who_writes_the_machine_then(tmp_path: Path) -> None:
    lost = StreamId("018bcfe5-6800-7002-ab54-a98ceb1f0ad2", "M", "signals")
    for is_told in (True, False):
        a, b = opened(tmp_path / f"a{is_told}", "a"), opened(tmp_path / f"b{is_told}", "b")
        if is_told:
            report(a, lost, 31)
        say(a, 1, 6)
        a.intake.put(Batch("@moved", [Draft("M", T + 9, T + 9, StreamClosed, {"reason": "moved"})])).result(60)
        report(a, lost, 31)  # when it has no stream of the machine any more to tell it in
        claim = a.standing.claim()
        assert claim is not None
        b.standing.on_claim(claim, 0)
        report(b, lost, 31)
        say(b, 6, 9)
        for _ in range(3):
            b.standing.follow()
        gaps = [(e.of, e.begin, e.cause) for core in (a, b) for e in sent(core) if isinstance(e, Gap)]
        assert [gap for gap in gaps if gap[0].kind == "signals"] == [(lost, 31, "spool_lost")]
        for core in (a, b):
            core.close(5)


def test_the_old_gateway_has_time_to_say_where_it_ended_from_when_the_machine_speaks_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    a, b = opened(tmp_path / "a", "a"), opened(tmp_path / "b", "b")
    monkeypatch.setattr(b.standing, "_clock", lambda: now[-1])
    say(a, 1, 6)
    claim = a.standing.claim()
    assert claim is not None
    b.standing.on_claim(claim, 0)
    report(b, a.intake.stream("M", "signals"), 6)
    now.append(2000.0)
    b.standing.follow()
    say(b, 6, 9)
    now.append(2050.0)
    b.standing.follow()
    a.intake.put(Batch("@moved", [Draft("M", T + 9, T + 9, StreamClosed, {"reason": "moved"})])).result(60)
    closing = a.standing.claim()
    assert closing is not None
    b.standing.on_claim(closing, 1)
    b.standing.follow()
    events = sent(b)
    assert [e.follows_number for e in events if isinstance(e, StreamStarted)] == [None, 2]
    assert not [e for e in events if isinstance(e, Gap)]
    for core in (a, b):
        core.close(5)


def test_what_lost_spools_gave_of_a_machine_is_counted(tmp_path: Path) -> None:
    core = opened(tmp_path)
    assert core.intake.ownership.recorded_before("M", "history") == 0
    old = StreamId("018bcfe5-6800-7002-ab54-a98ceb1f0ad2", "M", "history")
    for stream, number in ((old, 31), (StreamId(core.spool.epoch, "M", "history"), 7)):
        core.intake.ownership.on_progress([Recorded(stream, number)])
    assert core.intake.ownership.recorded_before("M", "history") == 30
    core.close(5)
