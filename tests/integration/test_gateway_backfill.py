"""A gap is filled from the server's own history: exactly what is missing, once, also when the gateway is killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shinkei_events.settings import strict
from shinkei_gateway.offered import Reading
from shinkei_gateway.opcua import history
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support.counting_machine import CountingMachine, settings
from tests.support.fake_intake import FakeIntake
from tests.support.ports import free_port
from tests.support.waiting import eventually_async


async def with_source(
    machine: CountingMachine,
    intake: FakeIntake,
    work: Callable[[OpcuaMachine], Awaitable[None]],
    *,
    backfill: bool = True,
) -> None:
    made, stop = (
        OpcuaMachine("src", strict(settings(machine.url, backfill=backfill), OpcuaSource, "x"), intake),
        asyncio.Event(),
    )
    task = asyncio.create_task(made.run(stop))
    try:
        await eventually_async(lambda: made.health()["connected"])
        await work(made)
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


def batch_readings(intake: FakeIntake, *, history: bool) -> list[Reading]:
    items = [item for batch in intake.batches if batch.history == history for item in batch.items]
    return [item for item in items if isinstance(item, Reading)]


async def keep_history(machine: CountingMachine) -> None:
    """Of every node that counts."""
    for name in machine.written:
        await machine._server.historize_node_data_change(machine._server.get_node(machine._nodes[name]))


def filled(intake: FakeIntake, name: str) -> list[tuple[int, int]]:
    return [(r.time, r.value) for r in batch_readings(intake, history=True) if r.channel == name]


@pytest.mark.parametrize("killed", [False, True])
def test_what_the_gap_lost_comes_from_the_servers_history_once(monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    monkeypatch.setattr(history, "PAGE", 10)
    monkeypatch.setattr(history, "PAUSE_S", 0.2 if killed else 0.01)

    async def test() -> None:
        machine, intake = CountingMachine(free_port()), FakeIntake()
        await machine.start()
        try:
            await keep_history(machine)

            async def before(_made: OpcuaMachine) -> None:
                for _ in range(5):
                    await machine.step()
                await eventually_async(lambda: intake.readings("t3") and intake.readings("t3")[-1].value == 5)

            async def after(made: OpcuaMachine) -> None:
                await machine.step()
                if killed and not filled(intake, "t1"):
                    await eventually_async(lambda: 0 < len(filled(intake, "t1")) < 30, 20)
                    return
                await eventually_async(lambda: intake.gaps() and made.health()["backfill"] == 0, 30)

            await with_source(machine, intake, before)
            for _ in range(42):
                await machine.step()
            await with_source(machine, intake, after)
            if killed:
                await with_source(machine, intake, after)
            gaps = intake.gaps()
            for name, written in machine.written.items():
                found = filled(intake, name)
                assert found[:41] == written[5:46], name
                live = {(r.time, r.value) for r in batch_readings(intake, history=False) if r.channel == name}
                assert not live & set(found), "what came live is not filled again"
                assert len(set(found)) == len(found)
            of = {(b.fills.t_from, b.fills.t_to) for b in intake.batches if b.fills is not None}
            assert of <= {(gap["t_from"], gap["t_to"]) for gap in gaps}
        finally:
            await machine.stop()

    asyncio.run(asyncio.wait_for(test(), 300))


def test_without_history_the_gap_stays_and_nothing_is_asked_unless_it_is_wanted() -> None:
    async def test(backfill: bool) -> None:
        machine, intake = CountingMachine(free_port()), FakeIntake()
        await machine.start()
        try:

            async def once(made: OpcuaMachine) -> None:
                await machine.step()
                await eventually_async(
                    lambda: intake.readings("t0") and intake.readings("t0")[-1].value == machine.count
                )
                await eventually_async(lambda: made.health()["backfill"] == 0)

            await with_source(machine, intake, once, backfill=backfill)
            await machine.step()
            await with_source(machine, intake, once, backfill=backfill)
            assert intake.gaps()
            assert filled(intake, "t0") == []
        finally:
            await machine.stop()

    for backfill in (True, False):
        asyncio.run(asyncio.wait_for(test(backfill), 300))


def test_a_surprise_costs_one_channel_and_the_others_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "AFTER_SURPRISE_S", 0.05)
    inside, surprises = history.is_inside, 1

    def surprised(*about: int) -> bool:
        nonlocal surprises
        surprises -= 1
        if surprises >= 0:
            raise RuntimeError("nobody thought of this")
        return inside(*about)

    monkeypatch.setattr(history, "is_inside", surprised)

    async def test() -> None:
        machine, intake = CountingMachine(free_port()), FakeIntake()
        await machine.start()
        try:
            await keep_history(machine)

            async def once(made: OpcuaMachine) -> None:
                await machine.step()
                await eventually_async(
                    lambda: intake.readings("t3") and intake.readings("t3")[-1].value == machine.count
                )
                await eventually_async(lambda: made.health()["backfill"] == 0, 30)

            await with_source(machine, intake, once)
            for _ in range(5):
                await machine.step()
            await with_source(machine, intake, once)
            assert surprises < 0
            assert filled(intake, "t0") == []
            for name in ("t1", "t2", "t3"):
                assert filled(intake, name)[:4] == machine.written[name][1:5]
        finally:
            await machine.stop()

    asyncio.run(asyncio.wait_for(test(), 300))
