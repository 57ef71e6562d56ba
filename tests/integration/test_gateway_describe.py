"""Units and ranges of the plant's own machines, read from their server."""

from __future__ import annotations

import asyncio

from shinkei_events.model.numbered import SignalDescribed
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft
from shinkei_gateway.opcua.describe import Description, describe
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from shinkei_gateway.opcua.structures import Structures
from shinkei_plant.nodes import uri
from shinkei_plant.opcua_server import MachineServer, SignalNode
from tests.support.asking_client import asking
from tests.support.fake_intake import FakeIntake
from tests.support.ports import free_port
from tests.support.waiting import eventually_async


def test_units_and_ranges_of_a_machine() -> None:
    async def run() -> list[Description]:
        machine = MachineServer("op20", "127.0.0.1", free_port())
        signals = [
            SignalNode("heat", "°C", "CEL", 0.0, 90.0, "bearing"),
            SignalNode("force", "kN"),
            SignalNode("plain"),
        ]
        signals += [SignalNode(f"many{at}", "bar", "BAR", 0.0, 1.0 + at) for at in range(300)]
        await machine.make(signals, [], [])
        await machine.start()
        nodes = [f"nsu={uri('op20')};s=Signals.{one.name}" for one in signals] + [
            f"nsu={uri('op20')};s=State",
            "nsu=urn:gone;s=x",
        ]
        try:
            async with asking(machine.url, {"reads": 50, "browses": 30}) as asks:
                return [one async for part in describe(asks, Structures(asks.namespaces), nodes) for one in part]
        finally:
            await machine.close()

    heat, force, plain, *many = asyncio.run(run())
    base = f"nsu={uri('op20')};s=Signals."
    assert heat == Description(base + "heat", "Double", "bearing", "°C", "CEL", 0.0, 90.0)
    assert force == Description(base + "force", "Double", "force", "kN")
    assert plain == Description(base + "plain", "Double", "plain")
    assert [one.high for one in many[:300]] == [1.0 + at for at in range(300)]
    assert [one.data_type for one in many[300:]] == ["String"], "a node that is not there is left out"


def test_the_source_tells_a_description_once_also_over_a_restart() -> None:
    async def run() -> None:
        machine, intake = MachineServer("op20", "127.0.0.1", free_port()), FakeIntake()
        await machine.make([SignalNode("heat", "°C", "CEL", 0.0, 90.0, "bearing")], [], [])
        await machine.start()
        said = {"type": "opcua", "url": machine.url, "machine": "op20", "security": "none",
                "signals": [{"node": f"nsu={uri('op20')};s=Signals.heat", "name": "heat"}]}  # fmt: skip
        settings = strict(said, OpcuaSource, "x")

        def told() -> list[dict[str, object]]:
            return [item.fields for batch in intake.batches for item in batch.items
                    if isinstance(item, Draft) and item.type is SignalDescribed]  # fmt: skip

        try:
            for _ in range(2):
                stop, made = asyncio.Event(), OpcuaMachine("src", settings, intake)
                task = asyncio.create_task(made.run(stop))
                await eventually_async(lambda made=made: bool(told()) and made.health()["connected"])
                await asyncio.sleep(1.0)  # nothing tells that nothing more comes
                stop.set()
                await asyncio.wait_for(task, 60)
        finally:
            await machine.close()
        (once,) = told()
        wanted = {
            "name": "heat",
            "source": "src",
            "unit": "°C",
            "unece": "CEL",
            "low": 0.0,
            "high": 90.0,
            "data_type": "Double",
        }
        assert wanted.items() <= once.items()
        assert once["queue_size"] == made.health()["queue"]

    asyncio.run(run())
