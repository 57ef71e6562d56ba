"""Definitions of structures, asked of the server that sends them (attribute DataTypeDefinition, Part 3 §8.48).

A data type leads to those of its fields, and what is no structure to what it is a subtype of, up to a built-in type. `TypeGraph` is the pure
core: which types to ask about, and what they come to. A type that does not come to an end stays unknown, and its values stay bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shinkei_events.model.frame import Value
from shinkei_gateway.opcua.asking import Asks, browse, read
from shinkei_gateway.opcua.definition import Definition, Field, Kind
from shinkei_gateway.opcua.structures import Structures

IS_ABSTRACT, DATA_TYPE_DEFINITION = 8, 23
"""Attribute ids (Part 6 §A.1)."""
HAS_SUBTYPE, HAS_ENCODING = "i=45", "i=38"
MAX_TYPES = 2_000
_BUILT_IN = {f"i={number}": number for number in range(1, 26)} | {"i=26": 24, "i=27": 24, "i=28": 24, "i=29": 6}
"""Numbers of unsaid size travel as Variants, enumerations as Int32 (Part 6 §5.2.4)."""
_STRUCTURE = 22
_KINDS: dict[int, Kind] = {0: "structure", 1: "optional", 2: "union", 3: "structure", 4: "union"}
_SUBTYPED = (3, 4)
"""StructureType of Part 3 §8.49; in the subtyped ones IsOptional means that any subtype may stand there."""


class TypeGraph:
    """Use: `want`, then `due` and `told` in turns until nothing is due; `definitions`."""

    def __init__(self, known: Structures) -> None:
        self._known = known
        self._due: list[str] = []
        self._seen: set[str] = set()
        self._structures: dict[str, dict[str, Any]] = {}
        self._parents: dict[str, str] = {}

    def want(self, data_type: str) -> None:
        """A data type (``nsu=urn:x;i=3``) whose values should be understood."""
        if (
            data_type not in _BUILT_IN
            and not self._known.knows(data_type)
            and data_type not in self._seen
            and len(self._seen) < MAX_TYPES
        ):
            self._seen.add(data_type)
            self._due.append(data_type)

    def due(self) -> list[str]:
        """Types to ask about now: each for its definition, whether it is abstract, and what it is a subtype of."""
        due, self._due = self._due, []
        return due

    def told(self, data_type: str, definition: Value, is_abstract: bool, parent: str | None) -> None:
        """The answer. ``definition``: the attribute as `structures` gives it (None when the server has none)."""
        if isinstance(definition, dict) and "StructureType" in definition and not is_abstract:
            self._structures[data_type] = definition
            for field in definition["Fields"] or []:
                self.want(str(field["DataType"]))
        elif parent is not None:
            self._parents[data_type] = parent
            self.want(parent)

    def definitions(self) -> list[Definition]:
        """All structures whose fields come to an end."""
        found = [self._definition(data_type, told) for data_type, told in self._structures.items()]
        good = {one.id: one for one in found if one is not None}
        while True:  # a structure that lies within another must be known itself
            bad = [id for id, one in good.items() if not all(self._ends(field.type, good) for field in one.fields)]
            if not bad:
                return list(good.values())
            for id in bad:
                del good[id]

    def _ends(self, type_: int | str, good: dict[str, Definition]) -> bool:
        return isinstance(type_, int) or type_ in good or self._known.knows(type_)

    def _definition(self, data_type: str, told: dict[str, Any]) -> Definition | None:
        structure_type = told["StructureType"]
        if structure_type not in _KINDS:
            return None
        fields = []
        for field in told["Fields"] or []:
            type_ = self._type(str(field["DataType"]))
            rank = field["ValueRank"]
            if type_ is None or not (rank == -1 or rank >= 1):
                return None
            if structure_type in _SUBTYPED and field["IsOptional"]:
                type_ = _STRUCTURE if isinstance(type_, str) or type_ == _STRUCTURE else 24
            optional = structure_type == 1 and bool(field["IsOptional"])
            fields.append(Field(str(field["Name"]), type_, rank, optional))
        encoding = str(told["DefaultEncodingId"] or "")
        return Definition(
            data_type, "" if encoding == "i=0" else encoding, data_type, _KINDS[structure_type], tuple(fields)
        )

    def _type(self, data_type: str) -> int | str | None:
        """Number of the built-in type, id of a structure, or None for what came to no end."""
        passed: set[str] = set()
        while data_type not in passed:
            if data_type in _BUILT_IN:
                return _BUILT_IN[data_type]
            if data_type in self._structures or self._known.knows(data_type):
                return data_type
            passed.add(data_type)
            data_type = self._parents.get(data_type, data_type)
        return None


async def learn(asks: Asks, structures: Structures, data_types: Iterable[str]) -> int:
    """Ask for the definitions of these data types and of the structures met without one; how many were learnt.

    Raises `NotConnected`, and `BadInput` for answers that cannot be read.
    """
    graph = TypeGraph(structures)
    for data_type in data_types:
        graph.want(data_type)
    met = sorted(structures.unknown)
    for found in await browse(asks, met, HAS_ENCODING, inverse=True):
        for reference in found.references:
            graph.want(reference.node)
    while due := graph.due():
        attributes = await read(
            asks, structures, [(node, attribute) for node in due for attribute in (DATA_TYPE_DEFINITION, IS_ABSTRACT)]
        )
        parents = await browse(asks, due, HAS_SUBTYPE, inverse=True)
        for at, data_type in enumerate(due):
            parent = parents[at].references[0].node if parents[at].references else None
            graph.told(data_type, attributes[2 * at][1], attributes[2 * at + 1][1] is True, parent)
    learnt = graph.definitions()
    for definition in learnt:
        structures.add(definition)
    return len(learnt)
