"""What a structure is made of (Part 3 §8.48 StructureDefinition), in the form `structures` reads by. Values only."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["structure", "optional", "union"]


class Field(NamedTuple):
    """``type``: number of a built-in type (22: any structure, 24: any value), or id of a structure's data type that lies inline.

    ``rank``: -1 a single value, 1 an array, n > 1 an array of n dimensions.
    """

    name: str
    type: int | str
    rank: int = -1
    optional: bool = False


class Definition(NamedTuple):
    """``id`` of the data type and ``encoding`` of its binary form as texts with namespace URI (``nsu=urn:x;i=3``); ``kind``: how it is encoded."""

    id: str
    encoding: str
    name: str
    kind: Kind
    fields: tuple[Field, ...]
