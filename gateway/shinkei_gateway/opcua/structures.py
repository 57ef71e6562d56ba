"""Structures of a server as JSON objects by their definitions (Part 6 §5.2.6 to §5.2.8). Pure, but for values too big for a record.

An optional field that is not there has no key; a union has the one key of its value; an enumeration is its number. A structure whose
definition is not known stays what it is, its type and its bytes, and is noted so that the definition can be asked for (`definitions` does).
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shinkei_events.errors import BadInput
from shinkei_events.model.frame import Value
from shinkei_gateway.big_value import kept
from shinkei_gateway.opcua import binary
from shinkei_gateway.opcua.binary import FIXED, READERS, Scope
from shinkei_gateway.opcua.definition import Definition, Field
from shinkei_gateway.opcua.standard_types import STANDARD

MAX_UNKNOWN = 1_000
"""Types noted as met without a definition."""
_U32 = struct.Struct("<I")


class Structures:
    """What one server calls its types. ``namespaces``: its URIs by index, as read at this connect."""

    def __init__(self, namespaces: list[str], definitions: Iterable[Definition] = STANDARD) -> None:
        self.namespaces = namespaces
        self.values: Path | None = None
        """Folder beside the spool for values too big for a record."""
        self.unknown: set[str] = set()
        """Type ids of structures that were met and not understood (ids of their encodings, as sent)."""
        self._types: dict[str, Definition] = {}
        self._encodings: dict[str, Definition] = {}
        for definition in definitions:
            self.add(definition)

    def add(self, definition: Definition) -> None:
        """From now on values of this type are objects."""
        self._types[definition.id] = definition
        if definition.encoding:
            self._encodings[definition.encoding] = definition
        self.unknown -= {definition.id, definition.encoding}

    def knows(self, data_type: str) -> bool:
        """Whether the structure with this data type id can be read."""
        return data_type in self._types

    def big(self, value: Value, variant: bytes) -> Value:
        """What is carried of a ``value`` too big for a record; ``variant``: its encoding, from the type on. Raises OSError."""
        raw = value.encode() if isinstance(value, str) else variant
        return kept(value, raw, self.values)

    def value(self, scope: Scope, type_id: str, body: bytes) -> Value:
        """See `binary.Bodies`. Raises `BadInput` when the bytes are not what the definition says."""
        # Some servers send the data type's id where its encoding's belongs.
        definition = self._encodings.get(type_id) or self._types.get(type_id)
        if definition is None:
            if len(self.unknown) < MAX_UNKNOWN:
                self.unknown.add(type_id)
            return {"type_id": type_id, "body": base64.b64encode(body).decode()}
        with binary.guarded(definition.name):
            found, at = self._structure(scope, definition, body, 0)
        if at != len(body):
            raise BadInput(f"{definition.name}: {len(body) - at} bytes more than its definition has fields for")
        return found

    def _structure(self, scope: Scope, definition: Definition, data: bytes, at: int) -> tuple[Value, int]:
        if definition.kind == "union":
            return self._union(scope, definition, data, at)
        found: dict[str, Value] = {}
        mask, bit = 0, 1
        if definition.kind == "optional":
            mask, at = _U32.unpack_from(data, at)[0], at + 4
        for field in definition.fields:
            if field.optional:
                is_there, bit = mask & bit, bit << 1
                if not is_there:
                    continue
            found[field.name], at = self._field(scope, field, data, at)
        return found, at

    def _union(self, scope: Scope, definition: Definition, data: bytes, at: int) -> tuple[Value, int]:
        chosen, at = _U32.unpack_from(data, at)[0], at + 4
        if chosen == 0:
            return None, at
        if chosen > len(definition.fields):
            raise BadInput(f"{definition.name} has {len(definition.fields)} fields and chose number {chosen}")
        field = definition.fields[chosen - 1]
        value, at = self._field(scope, field, data, at)
        return {field.name: value}, at

    def _field(self, scope: Scope, field: Field, data: bytes, at: int) -> tuple[Value, int]:
        if field.rank < 0:
            return self._one(scope, field.type, data, at)
        if field.rank > 1:
            return self._matrix(scope, field, data, at)
        if field.type in FIXED:
            return binary.array(scope, int(field.type), data, at)
        n, at = binary.count(data, at)
        return (None, at) if n < 0 else self._several(scope, field, n, data, at)

    def _matrix(self, scope: Scope, field: Field, data: bytes, at: int) -> tuple[Value, int]:
        """Dimensions, then the values without a length of their own (Part 6 §5.2.5)."""
        dimensions, at = binary.array(scope, 6, data, at)
        if not dimensions:
            return None, at
        n = math.prod(max(length, 0) for length in dimensions[: binary.MAX_DIMENSIONS])
        found, at = self._several(scope, field, n, data, at)
        return binary.shaped(scope, found, dimensions), at

    def _several(self, scope: Scope, field: Field, n: int, data: bytes, at: int) -> tuple[list[Any], int]:
        return binary.several(lambda s, d, a: self._one(s, field.type, d, a), scope.deeper(), n, data, at)

    def _one(self, scope: Scope, type_: int | str, data: bytes, at: int) -> tuple[Value, int]:
        if isinstance(type_, int):
            return READERS[type_](scope, data, at)
        definition = self._types.get(type_)
        if definition is None:
            raise BadInput(f"a field of type {type_}, whose definition is not known")
        value, after = self._structure(scope.deeper(), definition, data, at)
        if after == at:  # else types that hold each other could ask for endless work from no bytes
            raise BadInput(f"{definition.name} has no fields and lies within another structure")
        return value, after
