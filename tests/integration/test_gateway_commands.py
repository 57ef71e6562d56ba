"""Commands over a real Kafka: what a running gateway browses and previews for somebody who only reaches the log."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from shinkei_events.ask import ask
from shinkei_events.kafka import find_log
from shinkei_events.model.progress import Browse, Preview
from shinkei_events.settings import load_plant
from tests.support.counting_machine import URI, CountingMachine, MachineThread, settings
from tests.support.gateway_site import write_site
from tests.support.kafka import KafkaNode
from tests.support.log_reader import LogReader
from tests.support.parts import PartProcess, environment, shinkei
from tests.support.ports import free_port
from tests.support.waiting import eventually


def test_preview_and_browse_over_the_log(tmp_path: Path, kafka: KafkaNode) -> None:
    machine = CountingMachine(free_port())
    away = settings(f"opc.tcp://127.0.0.1:{free_port()}/", machine="M2")
    site = write_site(tmp_path, {"m1": settings(machine.url), "gone": away}, bootstrap=kafka.bootstrap)

    def preview(*words: str) -> tuple[int, str, str]:
        where = ("--config", str(site), "--dir", str(tmp_path), "--format", "json")
        done = subprocess.run(
            shinkei("gateway", "preview", *words, *where),
            capture_output=True,
            text=True,
            timeout=180,
            env=environment(),
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert preview("m1", "--wait", "1")[0] == 3, "no gateway runs"
    gateway = PartProcess("gateway", site, tmp_path)
    with MachineThread(machine) as line:
        gateway.start()
        try:
            eventually(
                lambda: (
                    (found := gateway.health()) and found["details"]["sources"]["m1"]["connected"] and found["ready"]
                ),
                30,
            )
            line.write()
            eventually(lambda: machine.count > 10)
            line.rest()
            code, text, _ = preview("m1", "t0", f"nsu={URI};s=t1")
            rows = json.loads(text)
            assert (code, [(r["name"], r["value"], r["status"]) for r in rows]) == (
                0,
                [(n, machine.count, "Good") for n in ("t0", "t1")],
            )
            assert all(row["source_time"] for row in rows)
            code, text, _ = preview("m1", f"nsu={URI};s=nothing", "t0")
            assert (code, [row["status"] for row in json.loads(text)]) == (1, ["BadNodeIdUnknown", "Good"])
            assert preview("gone", "t0")[0] == 3
            assert preview("m3", "t0")[0] == 2

            plant = load_plant(site, tmp_path)
            requests = [Browse(source="m1"), Browse(source="m1", most=3), Preview(source="m1", nodes=["ns=2;s=t0"])]
            (whole,), (part,), (wrong,) = ask(plant, "gw-test", f"ui/{os.getpid()}", requests, wait=120)
            assert {row["path"] for row in whole.result["nodes"]} >= {"t0", "t3", "State", "Done"}
            assert (part.result["cut"], len(part.result["nodes"])) == (True, 3)
            assert (wrong.outcome, "nsu=" in (wrong.error or "")) == ("refused", True)

            began = time.monotonic()
            ((refused,),) = ask(plant, "gw-test", "plant/x", [Preview(source="m1", nodes=["i=2258"])], wait=120)
            assert (refused.outcome, time.monotonic() - began < 100) == ("refused", True)
        finally:
            gateway.stop()


def test_send_again_from_a_number(tmp_path: Path, kafka: KafkaNode) -> None:
    machine = CountingMachine(free_port())
    site = write_site(tmp_path, {"m1": settings(machine.url)}, bootstrap=kafka.bootstrap)

    def again(*words: str) -> tuple[int, str, str]:
        where = ("--config", str(site), "--dir", str(tmp_path), "--format", "json")
        done = subprocess.run(
            shinkei("gateway", "send-again", *words, *where),
            capture_output=True, text=True, timeout=180, env=environment(), check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    gateway = PartProcess("gateway", site, tmp_path)
    with MachineThread(machine) as line:
        gateway.start()
        reader = LogReader(find_log(load_plant(site, tmp_path)))
        try:
            eventually(lambda: (found := gateway.health()) and found["details"]["sources"]["m1"]["connected"], 30)
            line.write()
            eventually(lambda: machine.count > 10, 30)
            line.rest()
            reader.read(lambda seen: seen.readings("M1", "t0") and seen.readings("M1", "t0")[-1][1] == machine.count)
            before = reader.repeats
            code, text, _ = again("M1", "--from", "3", "--wait", "60")
            (row,) = json.loads(text)
            assert (code, row["from"], row["asked"]) == (0, 3, 3)
            assert row["numbers"] == row["to"] - 2 > 10
            reader.read(lambda seen: seen.repeats > before)
            code, _, said = again("M9", "--from", "1", "--wait", "60")
            assert (code, "no such stream" in said) == (1, True)
            assert reader.holes == {}
        finally:
            reader.close()
            gateway.stop()
