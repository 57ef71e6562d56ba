"""Structures whose definitions a real server offers become objects; their values come as the library's server encodes them."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua import Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field

from shinkei_gateway.opcua.asking import browse, read
from shinkei_gateway.opcua.definitions import learn
from shinkei_gateway.opcua.structures import Structures
from tests.support.asking_client import AskingClient, asking
from tests.support.ports import free_port

URN = "urn:press"
VALUE, DATA_TYPE = 13, 14


async def server_with_types(url: str) -> tuple[Server, dict[str, Any]]:
    """A server with a recipe: an enumeration, an inner structure, arrays, optional fields."""
    server = Server()
    await server.init()
    server.set_endpoint(url)
    index = await server.register_namespace(URN)
    mode = await new_enum(server, index, "Mode", ["Idle", "Run"])
    step, _ = await new_struct(server, index, "Step", [
        new_struct_field("Name", ua.VariantType.String), new_struct_field("Limits", ua.NodeId(884, 0)),
        new_struct_field("Counts", ua.VariantType.UInt16, array=True),
    ])  # fmt: skip
    recipe, _ = await new_struct(server, index, "Recipe", [
        new_struct_field("Mode", mode), new_struct_field("Steps", step, array=True),
        new_struct_field("Heat", ua.VariantType.Double, optional=True), new_struct_field("Note", ua.VariantType.LocalizedText, optional=True),
    ])  # fmt: skip
    await server.load_data_type_definitions()
    steps = [ua.Step("warm", ua.Range(1.0, 2.0), [1, 2]), ua.Step("press", ua.Range(3.0, 4.0), [])]
    value = ua.Recipe(Mode=ua.Mode.Run, Steps=steps, Note=ua.LocalizedText("ok"))
    node = await server.nodes.objects.add_variable(ua.NodeId("Recipe", index), "Recipe", value, datatype=recipe.nodeid)
    several = await server.nodes.objects.add_variable(ua.NodeId("Steps", index), "Steps", steps, datatype=step.nodeid)
    return server, {"recipe": node, "steps": several}


WARM = {"Name": "warm", "Limits": {"Low": 1.0, "High": 2.0}, "Counts": [1, 2]}
PRESS = {"Name": "press", "Limits": {"Low": 3.0, "High": 4.0}, "Counts": []}


async def met_in_a_value(asks: AskingClient) -> None:
    """A type that no node at hand names is asked for by the encoding its value came in."""
    structures = Structures(asks.namespaces)
    await read(asks, structures, [(f"nsu={URN};s=Steps", VALUE)])
    assert len(structures.unknown) == 1
    assert await learn(asks, structures, []) == 1
    (found,) = await read(asks, structures, [(f"nsu={URN};s=Steps", VALUE)])
    assert found[1] == [WARM, PRESS]


def test_structures_of_a_server_become_objects() -> None:
    async def run() -> None:
        url = f"opc.tcp://127.0.0.1:{free_port()}"
        server, _ = await server_with_types(url)
        nodes = [f"nsu={URN};s=Recipe", f"nsu={URN};s=Steps", f"nsu={URN};s=Nowhere", "nsu=urn:none;s=x"]
        async with server, asking(url, {"reads": 3, "browses": 1}) as asks:
            structures = Structures(asks.namespaces)
            before = await read(asks, structures, [(node, VALUE) for node in nodes])
            assert isinstance(before[0][1], dict)
            assert set(before[0][1]) == {"type_id", "body"}
            assert [item[2] for item in before] == [0, 0, 0x80340000, 0x80340000]
            types = await read(asks, structures, [(node, DATA_TYPE) for node in nodes[:2]])
            assert await learn(asks, structures, [str(item[1]) for item in types]) == 2
            assert structures.unknown == set()
            after = await read(asks, structures, [(node, VALUE) for node in nodes[:2]])
            assert after[0][1] == {"Mode": 1, "Steps": [WARM, PRESS], "Note": "ok"}
            assert after[1][1] == [WARM, PRESS]
            assert await learn(asks, structures, [str(item[1]) for item in types]) == 0, "known already"
            await met_in_a_value(asks)
            (objects, _), (nowhere, _) = await browse(asks, ["i=85", nodes[2]], "i=47")
            assert {nodes[0], nodes[1]} <= {one.node for one in objects}
            assert "Recipe" in {one.name for one in objects}
            assert nowhere == []

    asyncio.run(run())
