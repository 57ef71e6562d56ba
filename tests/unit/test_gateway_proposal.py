"""What a browsed address space means, the part of plant.toml made of it, and what changed since."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shinkei_gateway.opcua.companion import MACHINERY, PACKML, machines
from shinkei_gateway.opcua.difference import Change, Known, configured, differences
from shinkei_gateway.opcua.listing import known, known_of_rows, matches, rows
from shinkei_gateway.opcua.proposal import propose, signal_name, toml_of
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.tree import Kind, Tree
from shinkei_gateway.settings import GatewaySettings, sources_of

BASE = {"url": "opc.tcp://192.0.2.1:4840/", "security": "none"}


class Builder:
    def __init__(self) -> None:
        self.tree = Tree(["", "urn:server", "urn:maker", MACHINERY, PACKML])
        self.root = self.tree.add((0, 85), "Objects", "", "object")
        self._last = 0

    def add(self, parent: int, name: str, kind: Kind = "object", uri: str = "urn:maker", **more: Any) -> int:
        self._last += 1
        place = self.tree.add((2, f"n{self._last}"), name, uri, kind, parent)
        assert place is not None
        for key, value in more.items():
            setattr(self.tree.nodes[place], key, value)
        return place

    def variable(self, parent: int, name: str, data_type: str = "Double", **more: Any) -> int:
        return self.add(parent, name, "variable", data_type=data_type, **more)

    def state(self, parent: int, name: str, uri: str) -> int:
        return self.variable(self.add(parent, name, uri=uri), "CurrentState", "LocalizedText")


def machinery() -> Builder:
    made = Builder()
    folder = made.add(0, "Machines", uri=MACHINERY)
    for name in ("Press", "Press"):
        machine = made.add(folder, name)
        about = made.add(machine, "Identification")
        made.add(about, "Manufacturer", "property", value="Maker")
        made.add(about, "SerialNumber", "property", value="0042")
        made.variable(about, "AssetName", "String")
        made.state(machine, "MachineryItemState", MACHINERY)
        made.state(machine, "MachineryOperationMode", MACHINERY)
        monitoring = made.add(machine, "Monitoring")
        made.variable(monitoring, "Oil temperature", unit="°C", unece="CEL", low=0.0, high=120.0)
        made.variable(monitoring, "Oil temperature", "Float")
        made.variable(monitoring, "Recipe", "nsu=urn:maker;i=5")
        made.variable(monitoring, "Secret", readable=False)
    return made


def valid(text: str) -> dict[str, OpcuaSource]:
    found = sources_of(GatewaySettings(id="g", sources=tomllib.loads(text)["gateway"]["sources"]))
    return {name: source for name, source in found.items() if isinstance(source, OpcuaSource)}


def test_the_machines_folder_gives_a_source_each_with_nameplate_state_and_units() -> None:
    text = toml_of(propose(machinery().tree, BASE), BASE["url"])
    found = valid(text)
    assert list(found) == ["Press", "Press_2"]
    press = found["Press"]
    assert [s.name for s in press.signals] == ["Oil_temperature", "Oil_temperature_2"]
    assert press.state is not None
    assert press.state.map["NotExecuting"] == "IDLE"
    assert "Manufacturer Maker, SerialNumber 0042" in text
    assert "# Double 0 … 120 °C (CEL)" in text
    assert "left out, because they cannot be read or are structures: 2 variables" in text


def test_packml_is_found_by_its_state_machine_and_the_number_is_preferred() -> None:
    made = Builder()
    for name in ("A", "B"):
        unit = made.add(0, name)
        made.add(unit, "Admin", uri=PACKML)
        status = made.add(unit, "Status", uri=PACKML)
        made.variable(status, "CurMachSpeed", "Float")
        base = made.add(unit, "BaseStateMachine", uri=PACKML)
        made.variable(base, "CurrentState", "LocalizedText")
        inner = made.add(made.add(base, "MachineState", uri=PACKML), "ExecuteState", uri=PACKML)
        made.variable(inner, "CurrentState", "LocalizedText")
        if name == "B":
            made.variable(status, "StateCurrent", "Int32")
    found = machines(made.tree)
    assert [(m.name, m.by) for m in found] == [("A", "OPC 30050"), ("B", "OPC 30050")]
    assert [m.state and m.state.by for m in found] == ["PackML ExecuteState", "PackML Status.StateCurrent"]
    sources = valid(toml_of(propose(made.tree, BASE), "x"))
    state = sources["B"].state
    assert state is not None
    assert state.map["6"] == "EXECUTE"
    assert [s.name for s in sources["B"].signals] == ["CurMachSpeed"], (
        "the state is no signal, nor is what is inside its machine"
    )


def test_a_server_without_companions_is_one_machine() -> None:
    made = Builder()
    line = made.add(0, "M1")
    folder = made.add(line, "Signals")
    made.variable(folder, "a")
    made.variable(folder, "b", "Boolean")
    assert [s.name for s in valid(toml_of(propose(made.tree, BASE), "x"))["M1"].signals] == ["a", "b"]
    made.variable(line, "State", "String", value="Execute")
    found = valid(toml_of(propose(made.tree, BASE, "PRESS7"), "x"))["PRESS7"]
    assert [s.name for s in found.signals] == ["a", "b"]
    assert found.state is not None


@given(st.lists(st.text(max_size=12), min_size=1, max_size=12), st.text(max_size=30))
def test_whatever_names_a_server_has_the_part_is_valid(names: list[str], unit: str) -> None:
    made = Builder()
    for name in names:
        made.variable(made.add(0, name), name, unit=unit)
    found = valid(toml_of(propose(made.tree, BASE), unit))
    (source,) = found.values()
    assert len({s.name for s in source.signals}) == len(names)


def test_names_keep_letters_of_any_language() -> None:
    assert signal_name(["油圧ユニット", "温度 [°C]"]) == "油圧ユニット.温度_C"
    assert signal_name(["///"]) == "_"


def test_rows_tell_paths_and_meanings_and_can_be_filtered() -> None:
    tree = machinery().tree
    found = list(rows(tree))
    assert {r["means"] for r in found if r["means"]} == {
        "machine (OPC 40001-1) Maker, 0042", "state (OPC 40001-1 MachineryItemState)", "operation mode"
    }  # fmt: skip
    assert [r["path"] for r in rows(tree, "*monitoring.rec*")] == ["Machines.Press.Monitoring.Recipe"] * 2
    assert matches("A.Temperature", "temp")
    assert not matches("A.Temperature", "t*p")


def test_what_changed_is_found() -> None:
    before = [
        Known("n1", "a", "Double"),
        Known("n2", "b", "Double"),
        Known("n3", "c", None),
        Known("n4", "d", "Int32"),
        Known("n5", "e", "Int32"),
    ]
    now = [
        Known("n1", "a", "Double"),
        Known("n2", "bb", "Double"),
        Known("n4", "d", "Float"),
        Known("n6", "f", "Int32"),
        Known("n7", "e", "Int32"),
    ]
    there = {known.node: known.data_type or "" for known in now}
    assert differences(before, now, there) == [
        Change("renamed", "bb", "b", "bb", "n2"),
        Change("gone", "c", "", "", "n3"),
        Change("type", "d", "Int32", "Float", "n4"),
        Change("moved", "e", "n5", "n7", "n7"),
        Change("new", "f", "", "Int32", "n6"),
    ]
    assert differences(before, before, {k.node: k.data_type or "" for k in before}) == []
    assert [c.change for c in differences(before, now, there, names=False)] == ["gone", "type", "moved", "new"]


def test_an_earlier_listing_and_a_plant_toml_are_compared_with_the_server() -> None:
    tree = machinery().tree
    assert known_of_rows(list(rows(tree))) == known(tree)
    sources = valid(toml_of(propose(tree, BASE), "x"))
    was = configured(sources, "opc.tcp://192.0.2.1:4840")
    assert [k.name for k in was] == ["Oil_temperature", "Oil_temperature_2", "@state"] * 2
    assert [k.data_type for k in was[:3]] == ["Double", "Float", None]
