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


def test_a_machine_whose_clock_is_set_back_and_forth_loses_no_cycle() -> None:
    machine, intake = CountingMachine(free_port(), tags=1), FakeIntake()

    async def whole() -> None:
        await machine.start()
        source = OpcuaMachine("src", strict(settings(machine.url, tags=1), OpcuaSource, "x"), intake)
        stop = asyncio.Event()
        running = asyncio.create_task(source.run(stop))
        try:
            await eventually_async(lambda: source.health()["connected"], 60)
            for off in (0, 0, -HOUR, -HOUR, HOUR, HOUR, 0, 0):
                machine.clock_off = off
                await machine.cycle()
                await eventually_async(lambda: len(operations(intake)) >= machine.cycles, 60)
        finally:
            stop.set()
            await asyncio.wait_for(running, 60)
            await machine.stop()

    asyncio.run(whole())
    told = [(at, [count / 10], []) for at, count in machine.operations]
    assert operations(intake) == told
    assert len({draft.fields["operation_id"] for draft in intake.drafts(Operation)}) == len(told)
    assert [gap for gap in intake.gaps("production") if "@cycle" in gap["channels"]] == []
