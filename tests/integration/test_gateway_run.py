"""The gateway as a process of its own: machine to log, books, metrics, commands, its end, a second one on the same spool."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shinkei_events import kafka
from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.envelope import seal
from shinkei_events.identity import StreamId
from shinkei_events.kafka import LogAddress
from shinkei_events.model.numbered import Gap, StreamStarted
from shinkei_events.model.operation import Operation
from shinkei_events.model.progress import Progress, Recorded
from tests.support.completeness import compare
from tests.support.counting_machine import CountingMachine, MachineThread, settings
from tests.support.gateway_site import write_site
from tests.support.log_reader import LogReader
from tests.support.parts import PartProcess, environment, shinkei
from tests.support.ports import free_port
from tests.support.waiting import eventually, patient


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    embedded = EmbeddedLog(tmp_path)
    embedded.start()
    yield embedded
    embedded.stop()


def command(*words: str) -> tuple[int, str]:
    found = subprocess.run(shinkei(*words), capture_output=True, text=True, timeout=180, env=environment(), check=False)
    return found.returncode, found.stdout + found.stderr


def all_came(seen: LogReader, machine: CountingMachine) -> bool:
    """The last value of every tag is there."""
    return all((found := seen.readings("M1", name)) and found[-1][1] == machine.count for name in machine.written)


def said(gateway: PartProcess, words: str) -> dict[str, Any] | None:
    """Its health, when its last error has ``words``; a slow machine may make it say something else before."""
    found = gateway.health()
    return found if found and words in (found["last_error"] or {}).get("text", "") else None


def connected(gateway: PartProcess) -> bool:
    health = gateway.health()
    return bool(health and all(source["connected"] for source in health["details"]["sources"].values()))


def test_machine_to_log_with_books_that_balance(tmp_path: Path, log: EmbeddedLog) -> None:
    machine = CountingMachine(free_port())
    site = write_site(
        tmp_path, {"m1": settings(machine.url), "gone": settings(f"opc.tcp://127.0.0.1:{free_port()}/", machine="M2")}
    )
    where = ("--config", str(site), "--dir", str(tmp_path))
    gateway = PartProcess("gateway", site, tmp_path)
    address = LogAddress(log.bootstrap, log.log_id, embedded=True)
    with MachineThread(machine) as line:
        gateway.start()
        eventually(lambda: (found := gateway.health()) and found["details"]["sources"]["m1"]["connected"], 20)
        line.write()
        eventually(lambda: machine.count >= 100, 20)
        line.rest()
        reader = LogReader(address)
        reader.read(lambda seen: all_came(seen, machine))
        reader.read(lambda seen: len(seen.of(Operation)) == machine.cycles)
        for name, written in machine.written.items():
            arrived = [(at, value) for at, value, _ in reader.readings("M1", name)]
            assert arrived[-len(written) :] == written
        row: dict[str, Any] = {}

        def is_sent() -> bool:  # what is sent is worked out twice a second
            code, text = command("gateway", "reconcile", *where, "--format", "json")
            (found,) = json.loads(text)
            row.update(found)
            return code == 0 and row["numbered"] == row["sent"]

        eventually(is_sent, 20)
        assert (row["source"], row["stored"]) == ("m1", 0)
        assert row["received"] + row["own"] == row["numbered"] + row["duplicate"]
        _say_recorded(address, reader)
        eventually(
            lambda: (
                json.loads(command("gateway", "reconcile", *where, "--format", "json")[1])[0]["stored"]
                == row["numbered"]
            ),
            20,
        )
        eventually(lambda: (found := gateway.health()) and found["lag"] == 0)
        stored = f'shinkei_gateway_values{{source="m1",stage="stored"}} {float(row["numbered"])}'
        eventually(lambda: stored in metrics(tmp_path))
        code, text = command("gateway", "check", *where, "--format", "json")
        assert code == 3
        assert {row["what"]: row["state"] for row in json.loads(text)} == {
            "gateway.sources.m1": "ok",
            "gateway.sources.gone": "absent",
        }
        code, text = command("gateway", "run", *where)
        assert code == 2
        assert "another gateway writes this spool" in text
        assert gateway.stop() == 0
        reader.close()


def metrics(folder: Path) -> str:
    """What the gateway says at ``/metrics`` now."""
    address = json.loads((folder / "run/gateway.json").read_text())["http"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def _say_recorded(address: LogAddress, reader: LogReader) -> None:
    """As the recorder reports: everything of the machine's two streams."""
    started = reader.of(StreamStarted)[0].stream
    producer = kafka.producer(address)
    for kind, topic in (("signals", "shinkei.signals.v1"), ("production", "shinkei.production.v1")):
        stream = StreamId(started.epoch, "M1", kind)  # type: ignore[arg-type]
        progress = Progress(
            recorder="recorder", log_id=address.log_id, topic=topic, partition=_partition(stream), position=1 << 40,
            streams=[Recorded(stream, reader.expected(stream))], time=1_700_000_000_000_000_000,
        )  # fmt: skip
        sealed = seal(progress, "store/recorder")
        producer.produce(sealed.topic, value=sealed.value, key=sealed.key, headers=[*sealed.headers])
    producer.flush(60)


def _partition(stream: StreamId) -> int:
    from shinkei_events.topics import partition_of

    return partition_of(stream.machine)


def test_it_spools_without_a_log_and_sends_when_there_is_one(tmp_path: Path) -> None:
    machine = CountingMachine(free_port())
    site = write_site(tmp_path, {"m1": settings(machine.url)})
    gateway = PartProcess("gateway", site, tmp_path)
    with MachineThread(machine) as line:
        gateway.start(ready=False)
        eventually(lambda: connected(gateway), 20)
        line.write()
        eventually(lambda: machine.count >= 50, 20)
        health = eventually(lambda: said(gateway, "run/log.json"))
        assert not health["ready"]
        line.rest()
        first = EmbeddedLog(tmp_path)
        first.start()
        reader = LogReader(LogAddress(first.bootstrap, first.log_id, embedded=True))
        reader.read(lambda seen: all_came(seen, machine))
        numbers = reader.readings("M1")
        reader.close()
        first.stop()
        second = EmbeddedLog(tmp_path)  # the log's memory is gone: everything that is not recorded comes again
        second.start()
        reader = LogReader(LogAddress(second.bootstrap, second.log_id, embedded=True))
        reader.read(lambda seen: len(seen.readings("M1")) == len(numbers))
        assert reader.readings("M1") == numbers
        reader.close()
        assert gateway.stop() == 0
        second.stop()


def test_check_connects_to_machines_node_by_node(tmp_path: Path, log: EmbeddedLog) -> None:
    machine = CountingMachine(free_port(), tags=2)
    site = write_site(
        tmp_path, {"m1": settings(machine.url, tags=3, outage="1h"), "past": {"type": "file", "path": "x"}}
    )
    with MachineThread(machine):
        code, text = command("check", "--connect", "--config", str(site), "--dir", str(tmp_path), "--format", "json")
    rows = {row["what"]: row for row in json.loads(text)}
    assert code == 2
    assert (rows["log"]["state"], rows["gateway.sources.past"]["state"]) == ("ok", "absent")
    found = rows["gateway.sources.m1"]
    assert found["state"] == "wrong"
    assert "6 of 7 nodes" in found["detail"]
    assert "s=t2: BadNodeIdUnknown" in found["detail"]
    assert "promised are 3600 s" in found["detail"]


def test_a_full_spool_stops_taking_and_what_the_end_then_costs_is_a_gap_record(
    tmp_path: Path, log: EmbeddedLog
) -> None:
    """Nobody records: the spool fills up, the gateway says so and ends in time; with room again all that was taken follows."""
    machine = CountingMachine(free_port(), tags=20)
    source = settings(machine.url, tags=20) | {"queue": 5000}
    gateway = PartProcess("gateway", write_site(tmp_path, {"m1": source}, spool={"max_bytes": "60kB"}), tmp_path)
    with MachineThread(machine, every=0.005) as line:
        gateway.start()
        eventually(lambda: connected(gateway), 20)
        line.write()
        full = eventually(lambda: said(gateway, "nothing more is taken"), 30)
        assert not full["ready"]
        at_full = machine.count
        eventually(lambda: machine.count > at_full + 50, 20)
        line.rest()
        began = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - began < patient(5.0)
        write_site(tmp_path, {"m1": source}, spool={"max_bytes": "1GB"})
        gateway.start()
        reader = LogReader(LogAddress(log.bootstrap, log.log_id, embedded=True))
        reader.read(lambda seen: all_came(seen, machine))
        gateway.stop()
        reader.close()
    gaps = [
        {"t_from": g.t_from, "t_to": g.t_to, "channels": g.channels} for g in reader.of(Gap) if g.of.kind == "signals"
    ]
    arrived = {name: [(at, value) for at, value, _ in reader.readings("M1", name)] for name in machine.written}
    found = compare(machine.written, arrived, gaps)
    assert (found.doubled, found.unexplained) == (0, [])
    assert (
        found.missing == found.covered
    )  # nothing, while the machine keeps the subscription and its queue over the stop
