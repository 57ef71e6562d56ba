"""An OPC UA server with the objects of OPC 40001-1 and folders of counters, in a thread with a loop of its own. A context manager."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.server.address_space import ViewService

from shinkei_gateway.opcua.companion import MACHINERY
from shinkei_plant.address_space import SharedSpaceServer
from tests.support.ports import free_port

URI = "urn:shinkei:test:machinery"


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Every server of this process says BadUserAccessDenied to whoever browses one of these nodes."""
    browsed = ViewService._browse

    def refusing(view: ViewService, wanted: ua.BrowseDescription) -> ua.BrowseResult:
        if wanted.NodeId.Identifier in names:
            return ua.BrowseResult(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadUserAccessDenied)))
        return browsed(view, wanted)

    monkeypatch.setattr(ViewService, "_browse", refusing)


class MachineryServer:
    """``folders`` of ``a_folder`` variables below the machine ``Press``. `call` runs a coroutine function in the server's loop."""

    def __init__(self, folders: int = 3, a_folder: int = 4) -> None:
        self.url = f"opc.tcp://127.0.0.1:{free_port()}/"
        self._folders, self._a_folder = folders, a_folder
        self.server: Server = Server(iserver=SharedSpaceServer())
        self.index = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="machinery", daemon=True)

    def __enter__(self) -> MachineryServer:
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(900)

    async def _start(self) -> None:
        server = self.server
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        machinery = await server.register_namespace(MACHINERY)
        self.index = await server.register_namespace(URI)
        machines = await server.nodes.objects.add_folder(
            ua.NodeId(1001, machinery), ua.QualifiedName("Machines", machinery)
        )
        press = await machines.add_object(self._id("Press"), self._name("Press"))
        await server.nodes.objects.add_reference(press, ua.ObjectIds.Organizes)  # a second way to it
        about = await press.add_object(self._id("Press.Id"), ua.QualifiedName("Identification", machinery))
        for name, value in (("Manufacturer", ua.LocalizedText("Maker")), ("SerialNumber", "0042")):
            await about.add_property(self._id(f"Press.Id.{name}"), self._name(name), value)
        item_state = await press.add_object(self._id("Press.St"), ua.QualifiedName("MachineryItemState", machinery))
        await item_state.add_variable(
            self._id("Press.St.Cur"), ua.QualifiedName("CurrentState", 0), ua.LocalizedText("Executing")
        )
        for folder in range(self._folders):
            parent = await press.add_folder(self._id(f"F{folder}"), self._name(f"F{folder}"))
            for at in range(self._a_folder):
                await self.variable(parent, f"F{folder}.V{at}", f"V{at}", 1.5 * at)
        first = server.get_node(self._id("F0.V0"))
        await first.add_property(self._id("F0.V0.r"), ua.QualifiedName("EURange", 0), ua.Range(Low=0.0, High=8.5))
        unit = ua.EUInformation(
            "http://www.opcfoundation.org/UA/units/un/cefact",
            4408652,
            ua.LocalizedText("°C"),
            ua.LocalizedText("degree Celsius"),
        )
        await first.add_property(self._id("F0.V0.u"), ua.QualifiedName("EngineeringUnits", 0), unit)
        first_folder = server.get_node(self._id("F0"))
        await first_folder.add_reference(machines, ua.ObjectIds.Organizes)  # a loop
        await server.start()

    async def variable(self, parent: Any, identifier: str, name: str, value: Any) -> Any:
        return await parent.add_variable(self._id(identifier), self._name(name), value)

    def _id(self, text: str) -> ua.NodeId:
        return ua.NodeId(text, self.index)

    def _name(self, text: str) -> ua.QualifiedName:
        return ua.QualifiedName(text, self.index)
