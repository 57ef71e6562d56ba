"""Structures by their definitions, and how definitions are asked for."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from shinkei_events.errors import BadInput
from shinkei_gateway.opcua.binary import Scope, extension_object
from shinkei_gateway.opcua.definition import Definition, Field
from shinkei_gateway.opcua.definitions import TypeGraph
from shinkei_gateway.opcua.standard_types import PACKML, RESULT, STANDARD
from shinkei_gateway.opcua.structures import Structures

URN = "urn:press"


def text(value: str) -> bytes:
    return struct.pack("<i", len(value.encode())) + value.encode()


def decoded(definition: Definition, body: bytes, *others: Definition) -> Any:
    structures = Structures(["http://opcfoundation.org/UA/", URN], [*STANDARD, *others, definition])
    return structures.value(Scope(structures.namespaces, structures), definition.encoding, body)


def of(kind: Any, *fields: Field, id: int = 1) -> Definition:
    return Definition(f"nsu={URN};i={id}", f"nsu={URN};i={id + 5000}", f"Type{id}", kind, fields)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (ua.Range(0.5, 9.5), {"Low": 0.5, "High": 9.5}),
        (ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 4408652, ua.LocalizedText("°C"), ua.LocalizedText("degree Celsius")),
         {"NamespaceUri": "http://www.opcfoundation.org/UA/units/un/cefact", "UnitId": 4408652, "DisplayName": "°C", "Description": "degree Celsius"}),
        (ua.EnumValueType(3, ua.LocalizedText("Run"), ua.LocalizedText("runs")), {"Value": 3, "DisplayName": "Run", "Description": "runs"}),
        (ua.AxisInformation(ua.EUInformation(), ua.Range(0.0, 1.0), ua.LocalizedText("x"), ua.AxisScaleEnumeration.Ln, [1.0, 2.0]),
         {"EngineeringUnits": {"NamespaceUri": None, "UnitId": 0, "DisplayName": None, "Description": None}, "EURange": {"Low": 0.0, "High": 1.0}, "Title": "x", "AxisScaleType": 2, "AxisSteps": [1.0, 2.0]}),
        (ua.XVType(1.0, 2.0), {"X": 1.0, "Value": 2.0}),
        (ua.ThreeDFrame(ua.ThreeDCartesianCoordinates(1.0, 2.0, 3.0), ua.ThreeDOrientation(4.0, 5.0, 6.0)),
         {"CartesianCoordinates": {"X": 1.0, "Y": 2.0, "Z": 3.0}, "Orientation": {"A": 4.0, "B": 5.0, "C": 6.0}}),
    ],
)  # fmt: skip
def test_structures_of_the_standard_as_the_library_encodes_them(value: Any, wanted: Any) -> None:
    (definition,) = [one for one in STANDARD if one.id == f"i={value.data_type.Identifier}"]
    assert decoded(definition, struct_to_binary(value)) == wanted
    encoding = ua.typeid_by_extension_objects[type(value)]
    assert definition.encoding == encoding.to_string()


def test_an_argument() -> None:
    (definition,) = [one for one in STANDARD if one.name == "Argument"]
    value = ua.Argument(Name="speed", DataType=ua.NodeId(11, 0), ValueRank=1, ArrayDimensions=[4])
    wanted = {"Name": "speed", "DataType": "i=11", "ValueRank": 1, "ArrayDimensions": [4], "Description": None}
    assert decoded(definition, struct_to_binary(value)) == wanted


def test_the_nested_arrays_of_packml() -> None:
    unit = text("urn:u") + struct.pack("<i", 4408652) + b"\x02" + text("°C") + b"\x00"
    parameter = struct.pack("<i", 7) + text("Heat") + unit + struct.pack("<f", 1.5)
    ingredient = struct.pack("<ii", 9, 2) + parameter * 2
    product = struct.pack("<i", 4) + struct.pack("<i", 1) + parameter + struct.pack("<i", 1) + ingredient
    (definition,) = [one for one in STANDARD if one.id == f"nsu={PACKML};i=18"]
    heat = {
        "ID": 7,
        "Name": "Heat",
        "Unit": {"NamespaceUri": "urn:u", "UnitId": 4408652, "DisplayName": "°C", "Description": None},
        "Value": 1.5,
    }
    ingredients = [{"IngredientID": 9, "Parameter": [heat, heat]}]
    assert decoded(definition, product) == {"ProductID": 4, "ProcessVariables": [heat], "Ingredients": ingredients}


def test_optional_fields_of_a_machinery_result() -> None:
    (definition,) = [one for one in STANDARD if one.id == f"nsu={RESULT};i=3007"]
    mask = 1 << 1 | 1 << 5 | 1 << 14  # IsPartial, PartId, ResultUri
    body = struct.pack("<I", mask) + text("r-1") + b"\x01" + text("P-9") + struct.pack("<i", 2) + text("a") + text("b")
    assert decoded(definition, body) == {"ResultId": "r-1", "IsPartial": True, "PartId": "P-9", "ResultUri": ["a", "b"]}


def test_unions() -> None:
    definition = of("union", Field("Speed", 11), Field("Name", 12))
    assert decoded(definition, struct.pack("<Id", 1, 2.5)) == {"Speed": 2.5}
    assert decoded(definition, struct.pack("<I", 2) + text("x")) == {"Name": "x"}
    assert decoded(definition, struct.pack("<I", 0)) is None
    with pytest.raises(BadInput, match="chose number 3"):
        decoded(definition, struct.pack("<I", 3))


def test_matrices_and_any_values() -> None:
    definition = of("structure", Field("Grid", 6, 2), Field("Any", 24), Field("Things", 22, 1), Field("None", 11, 1))
    grid = struct.pack("<iii6i", 2, 2, 3, 1, 2, 3, 4, 5, 6)
    things = struct.pack("<i", 1) + struct.pack("<BBHB", 1, 0, 886, 1) + struct.pack("<idd", 16, 1.0, 2.0)
    body = grid + b"\x0c" + text("x") + things + struct.pack("<i", -1)
    wanted = {"Grid": [[1, 2, 3], [4, 5, 6]], "Any": "x", "Things": [{"Low": 1.0, "High": 2.0}], "None": None}
    assert decoded(definition, body) == wanted


def test_a_body_that_is_not_what_its_definition_says() -> None:
    definition = of("structure", Field("A", 11))
    with pytest.raises(BadInput, match="4 bytes more"):
        decoded(definition, struct.pack("<di", 1.0, 2))
    with pytest.raises(BadInput, match="cut short"):
        decoded(definition, b"\x00" * 7)


def test_types_that_hold_each_other_end() -> None:
    inner = [
        of("structure", Field("x", f"nsu={URN};i={n + 1}"), Field("y", f"nsu={URN};i={n + 1}"), id=n)
        for n in range(2, 60)
    ]
    with pytest.raises(BadInput):
        decoded(of("structure", Field("x", f"nsu={URN};i=2")), b"", *inner, of("structure", id=60))
    with pytest.raises(BadInput, match="within one another"):
        decoded(of("structure", Field("x", f"nsu={URN};i=1")), b"")
    many = of("structure", Field("x", f"nsu={URN};i=2", 1))
    with pytest.raises(BadInput):
        decoded(many, struct.pack("<i", 2**31 - 1), of("structure", id=2))


def test_an_unknown_structure_is_noted_and_the_same_value_is_an_object_once_it_is_known() -> None:
    structures = Structures(["http://opcfoundation.org/UA/", URN])
    scope = Scope(structures.namespaces, structures)
    encoded = struct.pack("<BBHB", 1, 1, 5001, 1) + struct.pack("<id", 8, 1.5)
    assert extension_object(scope, encoded, 0)[0] == {"type_id": f"nsu={URN};i=5001", "body": "AAAAAAAA+D8="}
    assert structures.unknown == {f"nsu={URN};i=5001"}
    structures.add(of("structure", Field("A", 11)))
    assert extension_object(scope, encoded, 0)[0] == {"A": 1.5}
    assert structures.unknown == set()


# ---- asking ----------------------------------------------------------------------------------------------------------------
def told(kind: int, *fields: tuple[str, str, int, bool], encoding: str = f"nsu={URN};i=5001") -> dict[str, Any]:
    return {
        "DefaultEncodingId": encoding, "BaseDataType": "i=22", "StructureType": kind,
        "Fields": [{"Name": name, "DataType": type_, "ValueRank": rank, "IsOptional": optional} for name, type_, rank, optional in fields],
    }  # fmt: skip


def test_a_type_leads_to_those_of_its_fields_and_to_what_they_are_made_of() -> None:
    graph = TypeGraph(Structures([]))
    graph.want("urn:recipe")
    assert graph.due() == ["urn:recipe"]
    fields = [
        ("Mode", "urn:mode", -1, False),
        ("Limits", "i=884", 1, False),
        ("Heat", "urn:celsius", -1, True),
        ("Steps", "urn:step", 1, False),
        ("Speed", "i=26", -1, False),
    ]
    graph.told("urn:recipe", told(1, *fields), False, "i=22")
    assert graph.due() == ["urn:mode", "urn:celsius", "urn:step"]
    graph.told("urn:mode", {"Fields": []}, False, "i=29")
    graph.told("urn:celsius", None, False, "urn:temperature")
    graph.told("urn:step", told(0, ("Next", "urn:step", 1, False)), False, "i=22")
    assert graph.due() == ["urn:temperature"]
    graph.told("urn:temperature", None, True, "i=11")
    assert graph.due() == []
    recipe, step = graph.definitions()
    assert recipe.kind == "optional"
    assert recipe.encoding == f"nsu={URN};i=5001"
    assert recipe.fields == (
        Field("Mode", 6),
        Field("Limits", "i=884", 1),
        Field("Heat", 11, -1, True),
        Field("Steps", "urn:step", 1),
        Field("Speed", 24),
    )
    assert step.fields == (Field("Next", "urn:step", 1),)


def test_where_subtypes_are_allowed_anything_may_stand() -> None:
    graph = TypeGraph(Structures([]))
    graph.want("urn:a")
    graph.told(
        "urn:a",
        told(3, ("Any", "i=884", -1, True), ("Number", "i=11", -1, True), ("Fixed", "i=884", -1, False)),
        False,
        "i=22",
    )
    (found,) = graph.definitions()
    assert found.fields == (Field("Any", 22), Field("Number", 24), Field("Fixed", "i=884"))


def test_abstract_structures_travel_with_their_type() -> None:
    graph = TypeGraph(Structures([]))
    graph.want("urn:a")
    graph.told("urn:a", told(0, ("Shape", "urn:shape", -1, False)), False, "i=22")
    graph.told("urn:shape", told(0), True, "i=22")
    assert graph.definitions()[0].fields == (Field("Shape", 22),)


@pytest.mark.parametrize("rank", [0, -2, -3])
def test_what_comes_to_no_end_is_not_known(rank: int) -> None:
    graph = TypeGraph(Structures([]))
    graph.want("urn:a")
    graph.told("urn:a", told(0, ("B", "urn:b", -1, False), ("C", "i=11", -1, False)), False, "i=22")
    graph.told("urn:b", told(0, ("C", "urn:c", -1, False)), False, "i=22")
    graph.told("urn:c", None, False, "urn:d")
    graph.told("urn:d", None, False, "urn:c")
    graph.want("urn:e")
    graph.told("urn:e", told(0, ("C", "i=11", rank, False)), False, "i=22")
    graph.want("urn:f")
    graph.told("urn:f", told(9), False, "i=22")
    assert graph.definitions() == []
