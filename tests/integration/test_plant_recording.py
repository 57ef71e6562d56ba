"""CSV recordings as machines: no row before somebody listens, every row once, with the right times; both formats."""

from __future__ import annotations

import asyncio
import threading
import time
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from asyncua import Client, ua

from shinkei_events.errors import BadConfig
from shinkei_plant.nodes import uri
from shinkei_plant.recording import Recording, play_recording, read_recording
from shinkei_plant.settings import RecordingSettings
from tests.support.plant import Told, listening
from tests.support.ports import free_port
from tests.support.waiting import eventually_async, patient

NAB = Path(str(files("shinkei_plant") / "recordings" / "nab"))


async def connected(url: str) -> Client:
    """A client whose machine listens by now."""
    deadline = time.monotonic() + patient(20.0)
    while True:
        try:
            client = Client(url, timeout=60)
            await client.connect_socket()
            client.disconnect_socket()
            return Client(url, timeout=60)
        except OSError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


class Deaf:
    """Listens to nothing that it is told."""

    def datachange_notification(self, *_: object) -> None:
        """See asyncua."""


async def watch(settings: RecordingSettings, nodes: list[str], timeout: float = 20.0) -> Told:
    """Play it and listen until the recording says that it is done."""
    stop = threading.Event()
    playing = asyncio.create_task(play_recording(settings, stop))
    url = f"opc.tcp://127.0.0.1:{settings.port}/"
    deadline = time.monotonic() + patient(timeout)
    try:
        while True:
            try:
                async with listening(url, settings.name, [*nodes, "State", "Ready", "Started", "RecordingDone"]) as (
                    _,
                    told,
                ):
                    await eventually_async(
                        lambda: any(value for _, value, _ in told.values.get("RecordingDone", [])), timeout
                    )
                    await told.quiet(5)
                    return told
            except OSError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


def expected(recording: Recording, column: int) -> list[tuple[int, float | None]]:
    return [(row.time, row.values[column]) for row in recording.rows]


def test_a_nab_file_as_a_machine() -> None:
    file = NAB / "realAdExchange" / "exchange-3_cpc_results.csv"
    recording = read_recording(file)
    assert len(recording.rows) > 1500
    settings = RecordingSettings(file=file, machine="NAB", port=free_port(), speed=3_600_000.0)
    told = asyncio.run(watch(settings, ["Signals.value"]))
    assert [(time, value) for time, value, _ in told.values["Signals.value"]] == expected(recording, 0)
    assert [value for _, value, _ in told.values["Started"]] in ([False, True], [True])
    assert [value for _, value, _ in told.values["State"]] == ["EXECUTE", "COMPLETE"]


def test_a_machine_that_is_behind_its_recording_answers_all_the_same(tmp_path: Path) -> None:
    """All rows are due at once: reads are answered in between, and so nobody takes the machine for dead."""
    file, rows = tmp_path / "x.csv", 1000
    file.write_text("timestamp,value\n" + "".join(f"{1_700_000_000 + row},{row}\n" for row in range(rows)))

    async def read_while_it_plays() -> int:
        settings = RecordingSettings(file=file, machine="A", port=free_port(), speed=1e9)
        playing = asyncio.create_task(play_recording(settings, threading.Event()))
        try:
            async with await connected(f"opc.tcp://127.0.0.1:{settings.port}/") as client:
                index = await client.get_namespace_index(uri("A"))
                subscription = await client.create_subscription(1000, Deaf())
                await subscription.subscribe_data_change(client.get_node(f"ns={index};s=Ready"))
                node, seen = client.get_node(f"ns={index};s=Signals.value"), set()
                async with asyncio.timeout(patient(20.0)):
                    while rows - 1 not in seen:
                        seen.add(await node.read_value())
                return len(seen)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    assert asyncio.run(read_while_it_plays()) > 40  # 201; 6 when it gives way after 50 rows only


def test_semicolons_labels_and_empty_cells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The format of a test bed: several signals, labels left out, a cell without a number is a bad value, not an old one."""
    file = tmp_path / "bench.csv"
    file.write_text("datetime;Current;Volume Flow RateRMS;anomaly;changepoint\n2020-03-09 10:14:33;1.33;32.0;0.0;0.0\n"
                    "2020-03-09 10:14:34;;31.5;1.0;0.0\n2020-03-09 10:14:35;1.41;nan;0.0;0.0\n")  # fmt: skip
    settings = RecordingSettings(file=file, port=free_port(), speed=20.0)
    with caplog.at_level("INFO", "shinkei"):
        told = asyncio.run(watch(settings, ["Signals.Current", "Signals.Volume_Flow_RateRMS"]))
    said = [record.getMessage() for record in caplog.records if f":{settings.port}/" in record.getMessage()]
    assert any(f"opc.tcp://127.0.0.1:{settings.port}/" in line for line in said), "where it listens is said"
    begin = 1583748873 * 10**9
    bad = ua.StatusCodes.BadNoData
    assert told.values["Signals.Current"] == [
        (begin, 1.33, 0),
        (begin + 10**9, None, bad),
        (begin + 2 * 10**9, 1.41, 0),
    ]
    assert told.values["Signals.Volume_Flow_RateRMS"] == [
        (begin, 32.0, 0),
        (begin + 10**9, 31.5, 0),
        (begin + 2 * 10**9, None, bad),
    ]


@pytest.mark.parametrize("times", ["now", "played"])
def test_times_can_begin_now(times: str, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("timestamp,value\n" + "".join(f"2014-04-01 00:{minute:02d}:00,{minute}\n" for minute in range(30)))
    before = time.time_ns()
    settings = RecordingSettings(file=file, port=free_port(), speed=6000.0, times=times)  # type: ignore[arg-type]
    told = asyncio.run(watch(settings, ["Signals.value"])).values["Signals.value"]
    assert [value for _, value, _ in told] == [float(minute) for minute in range(30)]
    assert before - 10**9 < told[0][0] < time.time_ns()
    steps = {later[0] - earlier[0] for earlier, later in pairwise(told[1:])}
    assert steps == {60 * 10**9} if times == "now" else all(0 < step < patient(1.0) * 10**9 for step in steps)


def test_no_row_before_somebody_listens(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("time,v\n0,1\n1,2\n2,3\n")
    settings = RecordingSettings(file=file, port=free_port(), speed=1000.0)

    async def late() -> Told:
        async def listen_late() -> Told:
            await asyncio.sleep(1.0)  # the rows would be over three hundred times by now
            return await watch_only(settings)

        playing = asyncio.create_task(play_recording(settings, threading.Event()))
        try:
            return await listen_late()
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    async def watch_only(settings: RecordingSettings) -> Told:
        deadline = time.monotonic() + patient(20)
        while True:
            try:
                async with listening(f"opc.tcp://127.0.0.1:{settings.port}/", settings.name, ["Signals.v"]) as (
                    _,
                    told,
                ):
                    await eventually_async(lambda: len(told.values.get("Signals.v", [])) >= 3, 20)
                    return told
            except OSError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)

    told = asyncio.run(late())
    assert told.values["Signals.v"] == [(0, 1.0, 0), (10**9, 2.0, 0), (2 * 10**9, 3.0, 0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no time column"),
        ("a,b\n1,2\n", "no time column"),
        ("time,anomaly\n1,2\n", "no signal column"),
        ("time,v\nnever,2\n", "is not a time"),
    ],
)
def test_a_file_that_is_no_recording_says_why(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(BadConfig, match=words):
        read_recording(file, ("anomaly",))
    with pytest.raises(BadConfig, match="cannot be read"):
        read_recording(tmp_path / "none.csv")


def test_all_kept_recordings_can_be_read() -> None:
    found = sorted(NAB.glob("*/*.csv"))
    assert len(found) == 5
    for file in found:
        assert len(read_recording(file).rows) > 1000
        assert file.stat().st_size <= 150_000
    assert (NAB / "LICENSE.txt").is_file()
