"""What a server's address space looks like to somebody who wants to watch it: nodes with names, types, units. Pure; knows no connection.

`walk` fills it, `companion` and `proposal` read it. A node costs about 500 bytes, so that 100 000 fit into 50 MB.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Key = tuple[int, int | str | bytes | uuid.UUID]
"""A node id at one server now: namespace index and identifier."""
Kind = Literal["object", "variable", "property"]
UA = "http://opcfoundation.org/UA/"


@dataclass(slots=True)
class Node:
    """``name`` without its namespace ``uri``. ``type``: key of the type definition. What `describe` finds out is None until then.

    ``data_type``: the built-in type's name, or the node id of another one; ``rank``: -1 scalar, 1 array, 2 matrix (Part 3 §5.6.2).
    """

    key: Key
    name: str
    uri: str
    kind: Kind
    parent: int
    depth: int
    type: Key | None = None
    children: list[int] = field(default_factory=list)
    data_type: str | None = None
    rank: int = -1
    readable: bool = True
    unit: str | None = None
    unece: str | None = None
    low: float | None = None
    high: float | None = None
    value: str | None = None


class Tree:
    """Nodes in the order found; a node's place in ``nodes`` is its number. ``namespaces``: by index."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        self.namespaces = list(namespaces)
        self.nodes: list[Node] = []
        self.places: dict[Key, int] = {}
        self.is_cut = False
        """More nodes than were asked for are there."""
        self.refused: list[tuple[int, int]] = []
        """Nodes that could not be browsed, with the status code."""

    def add(self, key: Key, name: str, uri: str, kind: Kind, parent: int = -1, type: Key | None = None) -> int | None:
        """A new node below ``parent``; None when it is known already (it becomes a child of this parent too)."""
        place = self.places.get(key)
        if place is not None:
            if parent >= 0 and kind == "object" and place != parent and place not in self.nodes[parent].children:
                self.nodes[parent].children.append(place)
            return None
        place = self.places[key] = len(self.nodes)
        depth = self.nodes[parent].depth + 1 if parent >= 0 else 0
        self.nodes.append(Node(key, name, uri, kind, parent, depth, type))
        if parent >= 0:
            self.nodes[parent].children.append(place)
        return place

    def uri(self, index: int) -> str:
        """The namespace at ``index`` ("" for the standard one)."""
        return self.namespaces[index] if 0 < index < len(self.namespaces) else ""

    def text(self, place: int) -> str:
        """The node id by namespace URI, as plant.toml has it."""
        return key_text(self.nodes[place].key, self.namespaces)

    def child(self, place: int, name: str) -> int | None:
        """The child with this browse name, whatever its namespace."""
        return next((at for at in self.nodes[place].children if self.nodes[at].name == name), None)

    def path(self, place: int, root: int = -1) -> list[str]:
        """Browse names from below ``root`` to the node."""
        names: list[str] = []
        while place >= 0 and place != root:
            names.append(self.nodes[place].name)
            place = self.nodes[place].parent
        return names[::-1]

    def below(self, place: int) -> Iterator[int]:
        """The node and all below it, each once, parents first; loops are safe."""
        seen, todo = {place}, [place]
        while todo:
            at = todo.pop()
            yield at
            fresh = [child for child in self.nodes[at].children if child not in seen]
            seen.update(fresh)
            todo.extend(reversed(fresh))


def key_text(key: Key, namespaces: Sequence[str]) -> str:
    """``nsu=…;s=…`` (Part 6 §5.3.1.10); without nsu in the standard namespace."""
    index, identifier = key
    if isinstance(identifier, bytes):
        text = "b=" + base64.b64encode(identifier).decode()
    elif isinstance(identifier, uuid.UUID):
        text = f"g={identifier}"
    else:
        text = f"i={identifier}" if isinstance(identifier, int) else f"s={identifier}"
    if index == 0:
        return text
    return f"nsu={namespaces[index]};{text}" if index < len(namespaces) else f"ns={index};{text}"
