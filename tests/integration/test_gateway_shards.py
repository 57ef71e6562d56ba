"""Shards as the supervisor runs them: one is added while the others go on, a wrong file changes nothing, one account for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from shinkei_cli.status import rows as rows_of
from shinkei_events.kafka import LogAddress
from shinkei_events.model.numbered import StreamClosed
from shinkei_events.runfile import read_run
from tests.support.completeness import compare
from tests.support.counting_machine import CountingMachine, MachineThread, settings
from tests.support.gateway_site import write_site
from tests.support.kafka import KafkaNode
from tests.support.log_reader import LogReader
from tests.support.parts import PartProcess, environment, shinkei
from tests.support.ports import free_port
from tests.support.waiting import eventually

STORE = '[store]\ndsn = "postgresql://nobody@127.0.0.1:1/none"\n'


class Plant:
    """``sources``: name to settings, as plant.toml has them now. `run` supervises the gateway alone."""

    def __init__(self, folder: Path, kafka: KafkaNode) -> None:
        self.folder, self._kafka = folder, kafka

    def write(self, **sources: dict[str, Any]) -> None:
        self.config = write_site(self.folder, sources, bootstrap=self._kafka.bootstrap)
        with self.config.open("a") as file:
            file.write(STORE)  # there is none, and none is needed

    def supervisor(self) -> PartProcess:
        words = ("run", "gateway", *self._where())
        return PartProcess("supervisor", self.config, self.folder, words=words)

    def say(self, *words: str) -> tuple[int, Any]:
        done = subprocess.run(shinkei(*words, *self._where(), "--format", "json"), capture_output=True, text=True, timeout=180,
                              env=environment(), check=False)  # fmt: skip
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def sources(self, part: str) -> dict[str, dict[str, Any]] | None:
        """Its sources as it says itself; None when it does not answer (now)."""
        found = read_run(self.folder, part)
        if found is None:
            return None
        try:
            with urllib.request.urlopen(f"http://{found['http']}/health", timeout=30) as answer:
                said: dict[str, dict[str, Any]] | None = json.load(answer)["details"].get("sources")
                return said
        except OSError:
            return None

    def connected(self, part: str, source: str) -> bool:
        return bool((self.sources(part) or {}).get(source, {}).get("connected"))

    def connections(self, part: str, source: str) -> int:
        """How many there were, once it says so."""
        return int(eventually(lambda: (self.sources(part) or {}).get(source, {}).get("connections"), 30))

    def balanced(self) -> list[dict[str, Any]]:
        """The books, when they balance (what is sent is worked out twice a second); else nothing."""
        code, books = self.say("gateway", "reconcile")
        return books if code == 0 else []

    def _where(self) -> tuple[str, ...]:
        return ("--config", str(self.config), "--dir", str(self.folder))


@pytest.fixture
def plant(tmp_path: Path, kafka: KafkaNode) -> Plant:
    return Plant(tmp_path / "site", kafka)


def test_a_shard_and_a_source_are_added_while_the_others_go_on(plant: Plant, kafka: KafkaNode) -> None:
    machines = {name: CountingMachine(free_port(), tags=2) for name in ("M1", "M2", "M3", "M4")}
    source = {name: settings(machine.url, tags=2, machine=name, timeout="20s") for name, machine in machines.items()}
    plant.write(one=source["M1"], two=source["M2"] | {"shard": "b"})
    supervisor = plant.supervisor()
    lines = [MachineThread(machine) for machine in machines.values()]
    try:
        for line in lines:
            line.__enter__()
        supervisor.start(60, ready=False)
        eventually(lambda: plant.connected("gateway", "one") and plant.connected("gateway-b", "two"), 60)
        before = {part: read_run(plant.folder, part) for part in ("gateway", "gateway-b")}
        for line in lines:
            line.write()
        # A wrong file: refused whole, with the reason, and everything goes on.
        plant.write(one=source["M1"] | {"publish": "soon"}, two=source["M2"] | {"shard": "b"})
        code, text = plant.say("gateway", "reload")
        assert (code, "gateway.sources.one.publish" in text) == (2, True)
        # A new source beside an old one, and a new shard.
        plant.write(
            one=source["M1"], two=source["M2"] | {"shard": "b"}, three=source["M3"], four=source["M4"] | {"shard": "c"}
        )
        code, rows = plant.say("gateway", "reload")
        assert code == 0, rows
        said = {row["shard"]: (row["outcome"], row["added"], row["untouched"]) for row in rows}
        assert said == {"0": ("done", "three", 1), "b": ("done", "", 1), "c": ("started", None, None)}
        eventually(lambda: plant.connected("gateway", "three") and plant.connected("gateway-c", "four"), 60)
        assert {part: read_run(plant.folder, part) for part in before} == before  # the same processes
        assert [plant.connections("gateway", "one"), plant.connections("gateway-b", "two")] == [1, 1]
        assert {row["part"] for row in rows_of(plant.folder)} >= {"gateway", "gateway-b", "gateway-c"}
        # One less, by SIGHUP: its stream is closed, the neighbour in the same process is not touched.
        plant.write(one=source["M1"], two=source["M2"] | {"shard": "b"}, four=source["M4"] | {"shard": "c"})
        os.kill(int((read_run(plant.folder, "gateway") or {})["pid"]), signal.SIGHUP)
        eventually(lambda: (found := plant.sources("gateway")) is not None and "three" not in found, 30)
        assert plant.connections("gateway", "one") == 1
        for line in lines:
            line.rest()
        reader = LogReader(LogAddress(kafka.bootstrap, "", embedded=False))
        names = ("M1", "M2", "M4")
        reader.read(
            lambda seen: all(
                seen.readings(n, "t1")[-1:] and seen.readings(n, "t1")[-1][1] == machines[n].count for n in names
            ),
            60,
        )
        reader.read(
            lambda seen: (
                seen.holes == {}
                # Events are another topic than values: they may be read later.
                and seen.of(StreamClosed)
                and all(seen.epochs(name) for name in names)
            )
        )
        books = eventually(plant.balanced, 20, every=0.3)
        assert {row["source"] for row in books} >= {"one", "two", "three", "four"}
    finally:
        for line in lines:
            line.__exit__(None, None, None)
        supervisor.stop()
    for name in names:
        arrived = {tag: [(at, value) for at, value, _ in reader.readings(name, tag)] for tag in machines[name].written}
        found = compare(machines[name].written, arrived, [])
        assert (found.missing, found.doubled) == (0, 0)
    assert reader.holes == {}
    closed = reader.of(StreamClosed)
    assert [(event.machine, event.reason) for event in closed] == [("M3", "not in plant.toml any more")]
    assert len(set().union(*(reader.epochs(name) for name in names))) == 3  # a spool and numbers each
    reader.close()
