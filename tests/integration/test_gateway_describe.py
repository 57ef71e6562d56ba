"""Units and ranges of the plant's own machines, read from their server."""

from __future__ import annotations

import asyncio

from shinkei_gateway.opcua.describe import Description, describe
from shinkei_gateway.opcua.structures import Structures
from shinkei_plant.nodes import uri
from shinkei_plant.opcua_server import MachineServer, SignalNode
from tests.support.asking_client import asking
from tests.support.ports import free_port


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
