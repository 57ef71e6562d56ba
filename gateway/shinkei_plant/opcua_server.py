"""A machine as an OPC UA server: its signals, state, setup, energy and the handshake of its cycle.

Namespace ``urn:shinkei:plant:<machine>``; below Objects one object of the machine. Every value carries the source time of the plant's
clock. Handshake: `Cycle.Operation` (JSON) and `Cycle.<Reading>` are written first with the edge's source time, then `Cycle.Done` counts
up. The server holds its first values, of the moment at which the live line begins, before anybody can connect.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds

from shinkei_plant.address_space import SharedSpaceServer
from shinkei_plant.encryption import EncryptedServer, Keys, encrypt
from shinkei_plant.nodes import reading_node, server_uri, uri
from shinkei_plant.records import EnergyCounter, OperationDone, Record, SetupChange, SignalSample, StateChange

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBLE, _STRING, _UINT32 = ua.VariantType.Double, ua.VariantType.String, ua.VariantType.UInt32
_TYPES = {float: _DOUBLE, int: ua.VariantType.Int64, str: _STRING, bool: ua.VariantType.Boolean}
QUEUE = 10_000
_WAITING = 0x80320000
"""BadWaitingForInitialData."""


class SignalNode(msgspec.Struct, frozen=True):
    """A signal's node: name, unit (text and UNECE code) and EURange where they are known."""

    name: str
    unit: str | None = None
    unece: str | None = None
    low: float | None = None
    high: float | None = None
    title: str = ""


def source_time(time: int) -> datetime:
    """``time`` (ns UTC) as OPC UA's library has it, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=time // 1000)


def unit_id(code: str) -> int:
    """UNECE Rec. 20 code as UnitId (OPC UA Part 8, 5.6.4.3): its characters as one number."""
    return int.from_bytes(code.encode(), "big")


class MachineServer:
    """One machine's server; `start` after the first values are written. ``keys``: it speaks encrypted, and no other way."""

    def __init__(self, machine: str, host: str, port: int, keys: Keys | None = None) -> None:
        self.machine, self.url = machine, f"opc.tcp://{host}:{port}/"
        self.subscribed_items = 0
        self._keys = keys
        self._iserver = SharedSpaceServer() if keys is None else EncryptedServer()
        self._server = Server(iserver=self._iserver)
        self._nodes: dict[str, ua.NodeId] = {}
        self._index = 0
        self._cut = False

    # ---- making the nodes --------------------------------------------------------------------------------------------------
    async def make(
        self, signals: list[SignalNode], readings: list[str], slots: list[str], *, cycle: bool = True
    ) -> None:
        """Make the address space. ``cycle`` False: a machine that only has signals and a state. Raises `BadConfig` for keys that are not there."""
        logging.getLogger("asyncua").setLevel(logging.ERROR)
        server = self._server
        await server.init()
        server.set_endpoint(self.url)
        server.set_server_name(f"Shinkei plant {self.machine}")
        await server.set_application_uri(server_uri(self.machine))
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if self._keys is not None and isinstance(self._iserver, EncryptedServer):
            encrypt(server, self._iserver, self._keys)
        server.iserver.max_monitored_item_queue_size = QUEUE
        self._index = await server.register_namespace(uri(self.machine))
        machine = await server.nodes.objects.add_object(self._id("Machine"), self._name(self.machine))
        folder = await machine.add_folder(self._id("Signals"), self._name("Signals"))
        for signal in signals:
            await self._signal(folder, signal)
        for name in ("State", "StateReason", "Product", "Recipe", "Tool"):
            await self._variable(machine, name, None, _STRING)
        if cycle:
            await self._cycle_nodes(machine, readings, slots)
        server.subscribe_server_callback(CallbackType.ItemSubscriptionCreated, self._subscribed)

    async def _cycle_nodes(self, machine: Any, readings: list[str], slots: list[str]) -> None:
        await self._variable(machine, "Energy", 0.0, _DOUBLE)
        setup = await machine.add_folder(self._id("Setup"), self._name("Setup"))
        for slot in slots:
            await self._variable(setup, f"Setup.{slot}", None, _STRING)
        cycle = await machine.add_folder(self._id("Cycle"), self._name("Cycle"))
        await self._variable(cycle, "Cycle.Operation", None, _STRING)
        for name in readings:
            await self._variable(cycle, reading_node(name), 0.0, _DOUBLE)
        await self._variable(cycle, "Cycle.Done", 0, _UINT32)

    async def _signal(self, folder: Any, signal: SignalNode) -> None:
        node = await self._variable(folder, f"Signals.{signal.name}", 0.0, _DOUBLE)
        if signal.title:
            await self._server.iserver.isession.write(_description(node.nodeid, signal.title))
        if signal.low is not None and signal.high is not None:
            await node.add_property(
                self._id(f"Signals.{signal.name}.EURange"),
                ua.QualifiedName("EURange", 0),
                ua.Range(signal.low, signal.high),
            )
        if signal.unit is not None:
            unit = ua.EUInformation()
            unit.NamespaceUri = "http://www.opcfoundation.org/UA/units/un/cefact"
            unit.UnitId = unit_id(signal.unece) if signal.unece else -1
            unit.DisplayName = ua.LocalizedText(signal.unit)
            await node.add_property(
                self._id(f"Signals.{signal.name}.EngineeringUnits"), ua.QualifiedName("EngineeringUnits", 0), unit
            )

    async def _variable(self, parent: Any, path: str, value: Any, kind: ua.VariantType) -> Any:
        node = await parent.add_variable(
            self._id(path), self._name(path.rpartition(".")[2]), ua.Variant(value, kind), kind
        )
        self._nodes[path] = node.nodeid
        return node

    async def flag(self, path: str, value: bool, time: int) -> None:
        """Write a Boolean node below the machine, made when it is not there."""
        if path not in self._nodes:
            await self._variable(self._server.get_node(self._id("Machine")), path, value, ua.VariantType.Boolean)
        await self._write(path, value, ua.VariantType.Boolean, time)

    def _id(self, path: str) -> ua.NodeId:
        return ua.NodeId(ua.String(path), ua.Int16(self._index))

    def _name(self, name: str) -> ua.QualifiedName:
        return ua.QualifiedName(name, self._index)

    # ---- life --------------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        await self._server.start()

    async def close(self) -> None:
        """Stop listening; safe after a failed `start`."""
        if self._server.bserver is not None:
            await self._server.stop()

    async def cut(self, cut: bool) -> None:
        """Cut the machine from the network, its subscriptions are lost with it; or (False) let clients in again."""
        server = self._server.iserver
        self._cut = cut
        server.max_connections = 0 if cut else 1000
        if cut:
            for client in list(self._server.bserver.clients if self._server.bserver is not None else []):
                if client.transport is not None:
                    client.transport.abort()
            await server.subscription_service.delete_subscriptions(list(server.subscription_service.subscriptions))

    async def heard(self) -> bool:
        """Whether a client monitors any of the nodes."""
        return self.subscribed_items > 0

    def _subscribed(self, event: Any, dispatcher: Any = None) -> None:
        self.subscribed_items += len(event.response_params)

    # ---- values ------------------------------------------------------------------------------------------------------------
    async def write(self, record: Record) -> None:
        """Put ``record`` into the nodes; a document is nothing to a machine."""
        match record:
            case SignalSample():
                kind = _DOUBLE if type(record.value) is float else _TYPES.get(type(record.value), _DOUBLE)
                await self._write(f"Signals.{record.signal}", record.value, kind, record.time, record.status)
            case OperationDone():
                await self._operation(record)
            case StateChange():
                for path, text in (
                    ("StateReason", record.reason),
                    ("Product", record.product),
                    ("Recipe", record.recipe),
                    ("Tool", record.tool),
                ):
                    await self._write(path, text, _STRING, record.time)
                await self._write("State", record.state, _STRING, record.time)
            case SetupChange():
                if record.action == "mounted":
                    await self._write(f"Setup.{record.slot}", _mounted(record), _STRING, record.time)
            case EnergyCounter():
                await self._write("Energy", record.value, _DOUBLE, record.time)

    async def _operation(self, done: OperationDone) -> None:
        await self._write("Cycle.Operation", msgspec.json.encode(done).decode(), _STRING, done.ended)
        for reading in done.readings:
            path = reading_node(reading.name)
            if path in self._nodes:
                await self._write(path, reading.value, _DOUBLE, done.ended)
        await self._write("Cycle.Done", done.counter, _UINT32, done.ended)

    async def counted(self, cycles: int, time: int) -> None:
        """Write how many cycles there were when the line began to live; no edge, and nothing to hand out yet."""
        for path in self._nodes:
            if path.startswith("Cycle.") and path != "Cycle.Done":
                await self._write(path, None, _STRING, time, _WAITING)
        await self._write("Cycle.Done", cycles, _UINT32, time)

    async def _write(self, path: str, value: Any, kind: ua.VariantType, time: int, status: int = 0) -> None:
        variant = (
            ua.Variant(None, ua.VariantType.Null) if value is None and kind is not _STRING else ua.Variant(value, kind)
        )
        data = ua.DataValue(variant, ua.StatusCode(status), source_time(time))  # type: ignore[arg-type]
        await self._server.write_attribute_value(self._nodes[path], data)


def _mounted(change: SetupChange) -> str:
    """What a slot's node says: the unit's id, or a JSON object when more is known about it (or less: when it was changed)."""
    if change.item is None and change.certainty == 1.0:
        return change.unit
    said: dict[str, Any] = {"unit": change.unit, "item": change.item, "certainty": change.certainty,
                            "not_before": change.not_before, "not_after": change.not_after}  # fmt: skip
    return msgspec.json.encode({key: value for key, value in said.items() if value is not None}).decode()


def _description(node: ua.NodeId, text: str) -> Any:
    item = ua.WriteValue()
    item.NodeId, item.AttributeId = node, AttributeIds.Description
    item.Value = ua.DataValue(ua.Variant(ua.LocalizedText(text)))
    write = ua.WriteParameters()
    write.NodesToWrite.append(item)
    return write
