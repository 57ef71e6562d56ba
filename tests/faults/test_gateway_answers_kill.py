"""kill -9 of a gateway that answers a machine: no operation is answered twice, and every answer is told, also those nobody can be sure of."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress
from shinkei_events.model.numbered import NodeWrite
from shinkei_events.model.operation import Operation
from shinkei_events.settings import load_plant
from shinkei_gateway.opcua.pki import pki_of
from tests.integration.test_gateway_answers import ACK, PASSWORDS, READS, WRITES, AnsweredMachine
from tests.support.counting_machine import MachineThread, settings
from tests.support.gateway_site import write_site
from tests.support.log_reader import LogReader
from tests.support.parts import PartProcess
from tests.support.sizes import Sizes
from tests.support.waiting import eventually


@pytest.mark.long
def test_no_operation_is_answered_twice_by_kills_of_the_gateway(
    tmp_path: Path, rng: random.Random, sizes: Sizes
) -> None:
    machine = AnsweredMachine()
    (handshake,) = settings(machine.url)["handshakes"]
    answers = {"user": WRITES, "nodes": [{"node": ACK, "values": [1, 2]}], "within": "60s"}
    wish = {"security": "Basic256Sha256", "user": READS, "timeout": "10s", "answers": answers}
    wish["handshakes"] = [handshake | {"answer": {"node": ACK, "good": 1, "bad": 2}}]
    site = write_site(tmp_path, {"m1": settings(machine.url, **wish)})
    pki_of(load_plant(site, tmp_path)).trust(machine.identity.certificate)
    log = EmbeddedLog(tmp_path)
    log.start()
    secrets = {"SHINKEI_TEST_READS": PASSWORDS["shinkei"], "SHINKEI_TEST_WRITES": PASSWORDS["shinkei-answers"]}
    gateway = PartProcess("gateway", site, tmp_path, env=secrets)
    reader = LogReader(LogAddress(log.bootstrap, log.log_id, embedded=True))
    try:
        with MachineThread(machine, cycle_every=0.1) as line:
            gateway.start()
            line.write()
            eventually(lambda: machine.writes, 60)
            kills = sizes.of("kills of a gateway that answers", sample=5, full=30)
            for _ in range(kills):
                more = len(machine.writes) + rng.randint(1, 8)  # it is killed while it answers: as the write arrives
                eventually(lambda more=more: len(machine.writes) >= more, 60, every=0.0005)
                gateway.kill()
                gateway.start()
            more = len(machine.writes) + 3
            eventually(lambda: len(machine.writes) >= more, 60)
            line.rest()

            def all_told(seen: LogReader) -> bool:
                done = {event.operation_id for event in seen.of(Operation)}
                return len(done) == len(machine.operations) and done == {e.operation_id for e in seen.of(NodeWrite)}

            reader.read(all_told)
            gateway.stop()
    finally:
        reader.close()
        log.stop()
    told = Counter(event.operation_id for event in reader.of(NodeWrite))
    assert max(told.values()) == 1, "each answer is told once"
    outcomes = Counter(event.outcome for event in reader.of(NodeWrite))
    assert set(outcomes) <= {"written", "unproven", "superseded", "late"}, outcomes
    assert outcomes["written"] <= len(machine.writes) <= outcomes["written"] + outcomes["unproven"], outcomes
    assert outcomes["unproven"] <= kills, outcomes
    assert reader.holes == {}
