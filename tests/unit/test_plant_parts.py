"""The plant's small pieces: clock, settings, faults by name, sample configuration, history, truth file."""

from __future__ import annotations

import argparse
import time
import tomllib
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import zstandard

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration, load_plant, section, strict
from shinkei_gateway.machine_json import HistoryLine
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.settings import GatewaySettings, sources_of
from shinkei_plant import catalog, truth
from shinkei_plant.clock import CATCH_UP, PlantClock
from shinkei_plant.encryption import Keys
from shinkei_plant.faults import FAULTS, Planned, story
from shinkei_plant.history import write_history
from shinkei_plant.ledger import Ledger, line_of, read
from shinkei_plant.line import Line
from shinkei_plant.options import add_options, settings_of
from shinkei_plant.parts import campaign
from shinkei_plant.records import OperationDone
from shinkei_plant.sample import ENDPOINTS, plant_toml
from shinkei_plant.settings import PlantSettings
from shinkei_plant.sparkplug_device import Sessions
from shinkei_plant.truth import TruthWriter

S = 10**9
ORIGIN = 1_795_468_800 * S
PORTS = {name: 30_000 + at for at, name in enumerate(ENDPOINTS)}


# ---- clock -----------------------------------------------------------------------------------------------------------------
def test_the_clock_runs_at_its_speed_and_ends() -> None:
    clock = PlantClock(100 * S, 5 * S, 4.0, end=200 * S)
    assert clock.now(6 * S) == 104 * S
    assert clock.now(5 * S) == 104 * S  # the wall's clock was set back
    assert clock.now(29 * S) == 196 * S
    assert not clock.over
    assert clock.now(60 * S) == 200 * S
    assert clock.over


def test_the_clock_catches_up_without_leaving_anything_out() -> None:
    clock = PlantClock(0, 0, 1.0)
    clock.resume(40 * S)
    shown = [clock.now(40 * S + step * S // 10) for step in range(1, 40)]
    assert shown[0] == int(0.1 * CATCH_UP * S)
    assert all(later - earlier <= 0.1 * CATCH_UP * S for earlier, later in pairwise(shown))
    assert shown[-1] == 40 * S + 39 * S // 10
    assert clock.lag(50 * S) == pytest.approx(6.1)


# ---- settings and words ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "planned"),
    [
        ("tool_wear@30", Planned("tool_wear", 30)),
        ("network_cut@12.5:2", Planned("network_cut", 12.5, 2)),
        ("chatter@-60", Planned("chatter", -60)),
    ],
)
def test_faults_by_name(text: str, planned: Planned) -> None:
    assert Planned.parse(text) == planned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tool_wear",
        "tool_wear@",
        "tool_wear@x",
        "tool_wear@3:0",
        "tool_wear@3:x",
        "rust@3",
        "tool_wear@1:11",
        "tool_wear@nan",
        "tool_wear@inf",
        "tool_wear@1e9",
        "tool_wear@3:nan",
    ],
)
def test_a_fault_that_is_none_says_why(text: str) -> None:
    with pytest.raises(BadConfig, match="fault"):
        Planned.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"speed": 0.0},
        {"machines": ("OP99",)},
        {"ports": {"OP30": 1}},
        {"start": "noon"},
        {"start": "2026-11-23T06:00:00"},
        {"faults": ("x@1",)},
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadConfig):
        msgspec.structs.replace(PlantSettings(), **changes).check()


def test_words_win_over_the_section() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    words = [
        "--seed",
        "7",
        "--machines",
        "OP10,OP30",
        "--fault",
        "chatter@5",
        "--fault",
        "chatter@50",
        "--length",
        "10m",
        "--calm",
        "--start",
        "2026-11-23T06:00:00+00:00",
    ]
    settings = settings_of(parser.parse_args(words), PlantSettings(seed=1, faults=("tool_wear@9",), speed=3.0))
    assert (settings.seed, settings.speed, settings.machines, settings.calm) == (7, 3.0, ("OP10", "OP30"), True)
    assert settings.faults == ("tool_wear@9", "chatter@5", "chatter@50")
    assert settings.length == Duration(600.0)
    assert [planned.name for planned in settings.troubles()] == ["tool_wear", "chatter", "chatter"]
    assert settings.start_time(0) == 1_795_413_600 * S


def test_recordings_by_words() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    settings = settings_of(
        parser.parse_args(["--recording", "a/b.csv", "--speed", "30", "--machine", "PUMP", "--port", "4840"]),
        PlantSettings(),
    )
    assert not settings.line
    (one,) = settings.recordings
    assert (one.name, one.port, one.speed, one.times) == ("PUMP", 4840, 30.0, "file")
    with pytest.raises(BadConfig, match="one for each"):
        settings_of(parser.parse_args(["--recording", "a.csv", "--recording", "b.csv", "--port", "1"]), PlantSettings())


def test_the_story_has_trouble_before_and_soon() -> None:
    told = list(story(1))
    assert told == list(story(1)) != list(story(2))
    assert sum(planned.seconds < 0 for planned in told) >= 8
    assert min(planned.seconds for planned in told if planned.seconds > 0) < 120
    assert {planned.name for planned in told} == set(FAULTS)


# ---- sample configuration ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_sample_is_a_valid_plant(language: str, tmp_path: Path) -> None:
    file = tmp_path / "plant.toml"
    history = tmp_path / 'with "quotes" and spaces' / "history.jsonl.zst"
    file.write_text(
        plant_toml(
            ports=PORTS, ui_port=8600, language=language, history=history, seed=5, speed=2, faults=("chatter@9",)
        )
    )
    plant = load_plant(file)
    settings = section(plant, "plant", PlantSettings)
    settings.check()
    assert (settings.seed, settings.speed, settings.faults, settings.history) == (5, 2.0, ("chatter@9",), history)
    sources = sources_of(section(plant, "gateway", GatewaySettings))
    assert [source.machine for source in sources.values() if isinstance(source, OpcuaSource)] == [
        name for name in ENDPOINTS if name != "broker"
    ]
    assert {(entry.machine, entry.signal) for entry in plant.signals} == {
        (spec.machine, spec.name) for spec in catalog.SIGNALS
    }
    assert len(plant.master["characteristics"]) == len(catalog.PRODUCTS) * len(catalog.CHARACTERISTICS)
    reasons = {reason.name for reason in plant.master["reasons"]}
    assert {stop.reason for machine in catalog.MACHINES for stop in machine.stops} <= reasons
    for condition in plant.conditions:
        assert set(condition.reasons) <= reasons
        assert set(condition.title) == {"ja", "en"} == set(condition.action)


def test_the_sample_speaks_encrypted_when_the_machines_have_certificates_and_in_the_clear_by_name() -> None:
    for pki, policy in ((None, "none"), (Path("here/machines-pki"), "Basic256Sha256")):
        read = tomllib.loads(plant_toml(ports=PORTS, pki=pki))
        sources = [source for source in read["gateway"]["sources"].values() if source["type"] == "opcua"]
        assert len(sources) == len(ENDPOINTS) - 1
        assert {strict(source, OpcuaSource, "x").security for source in sources} == {policy}
        assert read["plant"].get("pki") == (None if pki is None else str(pki))


def test_a_machine_without_its_key_says_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "OP10.pem").write_text("no key")
    for name in ("OP10", "OP20"):
        with pytest.raises(BadConfig, match=rf"own/{name}\.pem"):
            Keys(tmp_path, name).own()


# ---- history, ledger, truth ------------------------------------------------------------------------------------------------
def test_history_is_read_by_the_gateway_and_the_line_goes_on(tmp_path: Path) -> None:
    line, path = Line(3, ORIGIN), tmp_path / "folder" / "history.jsonl.zst"
    half_hour = ORIGIN + 1800 * S
    count = write_history(path, line, half_hour)
    lines = [
        msgspec.json.decode(text, type=HistoryLine)
        for text in zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().splitlines()
    ]
    assert len(lines) == count + 1
    assert lines[-1].end == half_hour
    times = [entry.t for entry in lines[:-1]]
    assert times == sorted(times)
    signals = [entry for entry in lines if entry.signal is not None]
    assert len(signals) == 180 * len(catalog.SIGNALS)
    later = [record for record in line.play(half_hour + 300 * S) if isinstance(record, OperationDone)]
    before = {entry.m: entry.operation.counter for entry in lines if entry.operation is not None}
    for done in later:
        assert done.counter == (before.get(done.machine) or 0) + 1
        before[done.machine] = done.counter
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_eight_hours_are_written_quickly(tmp_path: Path) -> None:
    """1.5 s of CPU alone on the reference machine (must: 4 s); neighbours can multiply what a process is charged."""
    began = time.process_time()
    count = write_history(
        tmp_path / "history", Line(1, ORIGIN, start=ORIGIN + 28_800 * S, troubles=story(1)), ORIGIN + 28_800 * S
    )
    assert time.process_time() - began < 15.0
    assert count > 90_000


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    line = Line(1, ORIGIN)
    ledger = Ledger(tmp_path / "ledger")
    written = 0
    for record in line.play(ORIGIN + 60 * S):
        ledger.write(record)
        written += line_of(record) is not None
    ledger.close()
    with (tmp_path / "ledger").open("ab") as file:
        file.write(b'{"m":"OP')
    assert len(list(read(tmp_path / "ledger"))) == written


def test_truth_is_folded_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    memory, disk = TruthWriter(), TruthWriter(path)
    for writer in (memory, disk):
        line = Line(6, ORIGIN, troubles=(Planned("bad_bearing_lot", 60), Planned("sensor_stuck", 100)), watch=writer)
        for record in line.play(ORIGIN + 1500 * S):
            writer.see(record)
        writer.close()
    with path.open("ab") as file:
        file.write(b'{"id":"bad')
    assert truth.read(path) == memory.truths()
    found = {one.name: one for one in memory.truths().values()}
    assert len(found["bad_bearing_lot"].hit) == 96
    assert any(unit.startswith("BX-") for unit in found["bad_bearing_lot"].affected)
    assert not found["sensor_stuck"].affected


def test_no_two_starts_share_a_serial() -> None:
    names = {campaign(ORIGIN + seconds * S) for seconds in range(5000)}
    assert len(names) == 5000
    assert all(len(name) == 6 for name in names)


# ---- the Sparkplug device ----------------------------------------------------------------------------------------------------
def test_bdseq_goes_on_after_a_kill_and_counts_sessions_not_attempts(tmp_path: Path) -> None:
    file = tmp_path / "OP30-edge.bdseq"
    sessions = Sessions(file)
    assert (sessions.next(), sessions.next()) == (0, 0), "nobody was connected to with the first"
    sessions.is_used = True
    assert sessions.next() == 1
    assert Sessions(file).next() == 2, "whether there was a CONNECT is not known after a kill"
    file.write_text("255\n")
    assert Sessions(file).next() == 0
    file.write_text("what")
    assert Sessions(file).next() == 0
