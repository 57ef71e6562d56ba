"""Real recordings of a pump test bed through the whole chain on real Kafka: files → OPC UA → gateway → Kafka → detector → anomalies."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from shinkei_detect.recording import Recording
from shinkei_detect.score import Score, alarm_rows, compare
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.settings import load_plant
from shinkei_plant.nodes import uri
from shinkei_store.pool import connect
from tests.support.parts import PartProcess
from tests.support.ports import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.kafka import KafkaNode

SPEED = 16
LEARNED = 400
SCORER = Path(
    os.environ.get("SHINKEI_SCORER") or Path(__file__).resolve().parents[3] / "shared" / "tools" / "score_anomaly.py"
)
PARTS = ("store", "detect", "gateway")


class TestBed:
    """Recordings of ``folder`` as machines ``valve1-N``, their sources, and the parts that listen."""

    __test__ = False

    def __init__(self, files: list[Path], folder: Path, log: str, dsn: str) -> None:
        self.recordings = {f"valve1-{path.stem}": Recording(path) for path in files}
        self.config = folder / "plant.toml"
        self.config.write_text(_config(dict(zip(self.recordings, files, strict=True)), self.recordings, log, dsn))
        self.plant = load_plant(self.config, folder)
        self.parts = [PartProcess(name, self.config, folder) for name in PARTS]
        self.machines = PartProcess("plant", self.config, folder)

    def play(self) -> None:
        """From the first row to the last, until everything said is recorded and judged."""
        for part in self.parts:
            part.start(60, ready=part.part != "gateway")
        self.machines.start(60, ready=False)
        values = sum(len(one.times) * len(one.signals) for one in self.recordings.values())
        eventually(lambda: self._ask("select count(*) from reading")[0][0] >= values, 240, every=0.5)
        eventually(self._judged, 60, every=0.5)
        assert self._ask("select count(*) from reading") == [(values,)]

    def _judged(self) -> bool:
        """The detector has used every number that is recorded."""
        sql = """select count(*) from v_recorded r left join watermark w
            on w.consumer = 'detect' and w.stream = r.epoch || '/' || r.machine || '/' || r.kind
            where r.kind = 'signals' and coalesce(w.next_number, 1) < r.next_number"""
        return bool(self._ask(sql) == [(0,)])

    def revisions(self, machine: str) -> list[AnomalyChanged]:
        rows = self._ask(
            "select e.body from anomaly_event e join anomaly a on a.id = e.id where a.machine = %s order by e.time, e.revision",
            machine,
        )
        return [msgspec.convert(body, AnomalyChanged) for (body,) in rows]

    def times(self, machine: str) -> list[int]:
        """Source times of the rows as they were played."""
        sql = """select distinct r.t_ns from reading r join signal s on s.id = r.signal_id where s.machine = %s order by 1"""
        return [row[0] for row in self._ask(sql, machine)]

    def _ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(self.plant, "ui") as conn:
            return conn.execute(sql, values).fetchall()

    def stop(self) -> None:
        for part in [self.machines, *reversed(self.parts)]:
            if part.alive():
                part.kill()


def _config(files: dict[str, Path], recordings: dict[str, Recording], log: str, dsn: str) -> str:
    lines = ['[site]\nid = "testbed"', f'[log]\nbootstrap = "{log}"', f'[store]\ndsn = "{dsn}"', '[gateway]\nid = "gw"']
    played = []
    for name, path in files.items():
        port = free_port()
        nodes = [
            (signal, f"nsu={uri(name)};s=Signals.{signal.replace(' ', '_')}") for signal in recordings[name].signals
        ]
        signals = ", ".join(f"{{ name = {json.dumps(signal)}, node = {json.dumps(node)} }}" for signal, node in nodes)
        lines += [
            f"[gateway.sources.{name}]",
            f'type = "opcua"\nurl = "opc.tcp://127.0.0.1:{port}/"\nmachine = "{name}"\nsecurity = "none"\nsampling = "10ms"',
            f"signals = [ {signals} ]",
            f"state = {{ node = \"nsu={uri(name)};s=State\" }}",
        ]  # fmt: skip
        played.append(
            f'{{ file = {json.dumps(str(path))}, machine = "{name}", port = {port}, speed = {SPEED}, times = "now" }}'
        )
    lines.append(f"[plant]\nline = false\nrecordings = [ {', '.join(played)} ]")
    lines += [f'[[machines]]\nname = "{name}"\npath = "testbed/water/loop/{name}"' for name in files]
    return "\n".join(lines) + "\n"


@pytest.fixture
def bed(kafka: KafkaNode, postgres: str, skab: Path, tmp_path: Path) -> Iterator[TestBed]:
    files = sorted((skab / "valve1").glob("*.csv"), key=lambda path: int(path.stem))
    made = TestBed(files, tmp_path, kafka.bootstrap, postgres)
    try:
        yield made
    finally:
        made.stop()


def test_faults_of_a_real_pump_are_found(bed: TestBed, skab: Path, tmp_path: Path) -> None:
    bed.play()
    score = Score()
    for machine, recording in bed.recordings.items():
        assert recording.truth is not None
        times = bed.times(machine)
        assert len(times) == len(recording.times), machine
        alarm = alarm_rows(times, bed.revisions(machine))
        score += compare(recording.truth, alarm, LEARNED)
        _write(tmp_path / "scores" / "valve1" / f"{machine.removeprefix('valve1-')}.csv", skab, machine, alarm)
    print(
        f"SKAB valve1 through OPC UA, gateway, Kafka and detector: F1 {score.f1:.3f}, FAR {score.far:.1f} %, MAR {score.mar:.1f} %"
    )
    if SCORER.exists():
        command = [
            sys.executable,
            str(SCORER),
            "--dataset",
            "skab",
            "--data",
            str(skab),
            "--scores",
            str(tmp_path / "scores"),
        ]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert score.f1 >= 0.60
    assert score.far <= 30.0


def _write(path: Path, skab: Path, machine: str, alarm: list[bool]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (skab / "valve1" / f"{machine.removeprefix('valve1-')}.csv").open() as data, path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["timestamp", "is_anomaly"])
        for row, flag in zip(list(csv.reader(data, delimiter=";"))[1:], alarm, strict=True):
            writer.writerow([row[0], int(flag)])
