"""The standard OPC UA address space, made once per process and shared by its servers.

Making it costs 1 to 3 s of CPU and 40 MB a server with the library alone; a shared one costs 30 ms and 5 MB (asyncua 2.1). Types are
shared; what a server writes to, everything below Objects, is its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.server.internal_server import InternalServer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uatypes import Int32


class SharedSpaceServer(InternalServer):
    """An `InternalServer` that takes the standard nodes from the first one of its kind."""

    _template: ClassVar[dict[Any, Any] | None] = None
    _own: ClassVar[frozenset[Any]] = frozenset()

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """Fill the template when there is none, then take its nodes."""
        cls = type(self)
        if cls._template is None:
            from asyncua.server.standard_address_space import standard_address_space

            standard_address_space.fill_address_space(self.node_mgt_service)  # type: ignore[no-untyped-call]
            nodes = self.aspace._nodes
            cls._own = _below_objects(nodes)
            cls._template = {key: _copy(node, own=False) for key, node in nodes.items()}
        else:
            self.aspace._nodes = {key: _copy(node, key in cls._own) for key, node in cls._template.items()}


def _copy(node: Any, own: bool) -> Any:
    copy = NodeData(node.nodeid)
    copy.references, copy.call = list(node.references), node.call
    copy.attributes = (
        {key: AttributeValue(value.value) for key, value in node.attributes.items()} if own else node.attributes
    )
    return copy


def _below_objects(nodes: dict[Any, Any]) -> frozenset[Any]:
    """The ids of all instances below the Objects folder, itself included."""
    root = ua.NodeId(Int32(ObjectIds.ObjectsFolder))
    found, todo = {root}, [root]
    while todo:
        for reference in nodes[todo.pop()].references:
            target = reference.NodeId
            if (
                reference.IsForward
                and target not in found
                and target in nodes
                and reference.NodeClass in (ua.NodeClass.Object, ua.NodeClass.Variable)
            ):
                found.add(target)
                todo.append(target)
    return frozenset(found)
