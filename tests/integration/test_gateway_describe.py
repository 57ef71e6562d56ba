"""Units and ranges of the plant's own machines, read from their server."""

from __future__ import annotations

import asyncio

import pytest
from asyncua import ua
from asyncua.server.address_space import ViewService

from shinkei_events.model.numbered import SignalDescribed
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft
from shinkei_gateway.opcua.describe import Description, describe
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.telemetry import SignalsUnread
from shinkei_plant.nodes import uri
from shinkei_plant.opcua_server import MachineServer, SignalNode
from tests.support.asking_client import asking
from tests.support.fake_intake import FakeIntake
from tests.support.machinery_server import refuse
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


def test_a_node_whose_properties_are_refused_or_have_to_wait_costs_its_neighbours_nothing(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A server with one continuation point: all nodes of a call but the first are told to ask again."""
    browsed, intake = ViewService.browse, FakeIntake()

    def one_at_a_time(view: ViewService, asked: ua.BrowseParameters) -> list[ua.BrowseResult]:
        found = browsed(view, asked)
        for result in found[1:]:
            result.References = []
            result.StatusCode = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNoContinuationPoints))
        return found

    async def run() -> None:
        machine = MachineServer("op20", "127.0.0.1", free_port())
        names = ["heat", "force", "speed"]
        await machine.make([SignalNode(name, "kN", "B47", 0.0, 9.0) for name in names], [], [])
        await machine.start()
        base = f"nsu={uri('op20')};s=Signals."
        said = {"type": "opcua", "url": machine.url, "machine": "op20", "security": "none",
                "signals": [{"node": base + name, "name": name} for name in names]}  # fmt: skip
        source = OpcuaMachine("press", strict(said, OpcuaSource, "x"), intake)
        told: list[object] = []
        monkeypatch.setattr("shinkei_gateway.opcua.signals.emit", told.append)
        monkeypatch.setattr(ViewService, "browse", one_at_a_time)
        refuse(monkeypatch, "Signals.force")
        stop = asyncio.Event()
        task = asyncio.create_task(source.run(stop))
        try:
            await eventually_async(lambda: told, 60)
        finally:
            stop.set()
            await task
            await machine.close()
        (event,) = told
        assert isinstance(event, SignalsUnread)
        assert f"the first: {base}force (BadUserAccessDenied)" in event.why

    asyncio.run(run())
    drafts = intake.drafts(SignalDescribed)
    assert {one.fields["name"]: one.fields["unit"] for one in drafts} == {"heat": "kN", "force": None, "speed": "kN"}


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
