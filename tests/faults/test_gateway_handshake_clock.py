"""A machine whose clock is set while it makes parts: every cycle is an operation, with its own values, and none is told as missed."""

from __future__ import annotations

import asyncio
from typing import Any

from shinkei_events.model.operation import Operation
from shinkei_events.settings import strict
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support.counting_machine import CountingMachine, settings
from tests.support.fake_intake import FakeIntake
from tests.support.ports import free_port
from tests.support.waiting import eventually_async

HOUR = 3600 * 10**9


def operations(intake: FakeIntake) -> list[tuple[int, list[Any], list[str]]]:
    return [
        (draft.time, [reading.value for reading in draft.fields["readings"]], draft.fields["unknown"])
        for draft in intake.drafts(Operation)
    ]


def operations_of(machine: CountingMachine, offsets: list[int], **more: Any) -> FakeIntake:
    """What a gateway makes of cycles by a clock that is off by ``offsets`` (ns, one a cycle)."""
    intake = FakeIntake()

    async def whole() -> None:
        await machine.start()
        made = strict(settings(machine.url, tags=1, **more), OpcuaSource, "x")
        source, stop = OpcuaMachine("src", made, intake), asyncio.Event()
        running = asyncio.create_task(source.run(stop))
        try:
            await eventually_async(lambda: source.health()["connected"], 60)
            for off in offsets:
                machine.clock_off = off
                await machine.cycle()
                await eventually_async(lambda: len(operations(intake)) >= machine.cycles, 60)
        finally:
            stop.set()
            await asyncio.wait_for(running, 60)
            await machine.stop()

    asyncio.run(whole())
    return intake


def test_a_machine_whose_clock_is_set_back_and_forth_loses_no_cycle() -> None:
    machine = CountingMachine(free_port(), tags=1)
    intake = operations_of(machine, [0, 0, -HOUR, -HOUR, HOUR, HOUR, 0, 0])
    told = [(at, [count / 10], []) for at, count in machine.operations]
    assert operations(intake) == told
    assert len({draft.fields["operation_id"] for draft in intake.drafts(Operation)}) == len(told)
    assert [gap for gap in intake.gaps("production") if "@cycle" in gap["channels"]] == []


def test_values_stamped_after_their_edge_are_that_edges() -> None:
    """Nobody can tell whose the first one is: another value stood there when listening began. That is said; no later cycle is wrong for it."""
    machine = CountingMachine(free_port(), tags=1)
    machine.stamped_late = 20_000_000
    (handshake,) = settings(machine.url)["handshakes"]
    own = {key: value for key, value in handshake.items() if key != "operation"}
    intake = operations_of(machine, [0] * 4, sampling="50ms", handshakes=[own])
    first, *later = [(values, unknown) for _, values, unknown in operations(intake)]
    assert first == ([None], ["readings.leak"])
    assert later == [([count / 10], []) for _, count in machine.operations[1:]]
    assert [(gap["cause"], gap["channels"]) for gap in intake.gaps("production")] == [
        ("handshake_incomplete", ["@cycle.leak"])
    ]
