"""A scripted half hour of three machines with troubles in it, for runs that are compared with each other: same seed, same input."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from shinkei_events.identity import operation_id
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.operation import Operation, QualityReading, Unit
from shinkei_gateway.intake import Draft, Reading

MACHINES = ("A1", "A2", "A3")
SECOND = 10**9
STEP_S = 5
START = 1_790_000_000 * SECOND


def script(seed: int, minutes: int = 30, start: int = START) -> Iterator[list[Reading | Draft]]:
    """Batches of 5 s: two signals at 2 Hz a machine, a part every 30 s from a lot of 10, a jump on A2, a fault on A3."""
    rng = random.Random(seed)
    yield [
        Draft(machine, start, start, MachineStateChanged, {"state": "EXECUTE", "product": "P"}) for machine in MACHINES
    ]
    for step in range(minutes * 60 // STEP_S):
        now = start + (step + 1) * STEP_S * SECOND
        items: list[Any] = []
        for machine in MACHINES:
            items += _signals(machine, now, rng, jump=machine == "A2" and minutes * 6 < step < minutes * 7)
            if step % 6 == 5:
                items.append(_operation(machine, now, step // 6))
        if step == minutes * 9:
            items.append(Draft("A3", now, now, MachineStateChanged, {"state": "ABORTED", "reason": "spindle"}))
        if step == minutes * 10:
            items.append(Draft("A3", now, now, MachineStateChanged, {"state": "EXECUTE", "product": "P"}))
        yield items


def _signals(machine: str, now: int, rng: random.Random, jump: bool) -> list[Reading]:
    found = []
    for tick in range(2 * STEP_S):
        time = now - STEP_S * SECOND + tick * SECOND // 2
        for signal, level in (("torque", 40.0), ("current", 7.0)):
            value = level + math.sin(time / SECOND / 60) * 0.3 + rng.gauss(0, 0.2)
            found.append(Reading(machine, signal, time, value + (9.0 if jump and signal == "torque" else 0.0), 0, now))
    return found


def _operation(machine: str, now: int, part: int) -> Draft:
    serial, stage = f"S-{part:05d}", int(machine[1])
    inputs = [Unit(f"LOT-{part // 10:03d}", "supplier_lot", "BRG")] if stage == 2 else []
    kind = {1: "process", 2: "assemble", 3: "inspect"}[stage]
    fields = {
        "operation_id": operation_id(machine, "cycle", now, part), "kind": kind, "station": machine, "started": now - 25 * SECOND, "ended": now,
        "inputs": [*inputs, Unit(serial, "serial", "PUMP")] if stage > 1 else [], "outputs": [Unit(serial, "serial", "PUMP")],
        "readings": [QualityReading("force", 4.0 + part % 5, "kN")], "result": "pass", "product": "P",
    }  # fmt: skip
    return Draft(machine, now, now, Operation, fields)
