"""Reads and browses of many nodes, in calls of the size the server takes, one after the other; answers decoded here. The thin shell of
`definitions` and `describe`.

One call at a time: an S7-1500 counts its limits over all calls that are outstanding.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from shinkei_events.errors import BadInput
from shinkei_gateway.opcua import binary
from shinkei_gateway.opcua.binary import Scope, guarded
from shinkei_gateway.opcua.decode import decode_read_response, response_header
from shinkei_gateway.opcua.item_columns import Item
from shinkei_gateway.opcua.parts import in_parts
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.opcua.walk import NO_POINT
from shinkei_gateway.quality import BAD

NODES_A_CALL = 200
"""At most: a call must not hold up the server's other work."""
NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)
"""Of a field that is left out: 0 on the wire (Part 6 §5.2.2.5)."""
_BROWSE_RESPONSE, _BROWSE_NEXT_RESPONSE = "i=530", "i=536"
_BINARY = ua.QualifiedName()
_NAMES_ONLY = ua.BrowseResultMask.BrowseName


class Asks(Protocol):
    """A session, as far as it is needed here."""

    namespaces: list[str]
    limits: dict[str, int]
    """``reads`` and, where it is known, ``browses``: nodes a call at most."""

    def resolve(self, node: str) -> ua.NodeId:
        """The node id of ``nsu=…;…`` at this server now. Raises KeyError when it has no such namespace."""

    async def answer(self, request: Any) -> bytes:
        """The bytes of the response to a request of the library. Raises `NotConnected`."""


class Reference(NamedTuple):
    """The node at the other end and its browse name, both with namespace URI."""

    node: str
    name: str


class Browsed(NamedTuple):
    """What a node refers to. With a bad ``status`` some or all of it is missing: the server refuses this node, its neighbours stand."""

    references: list[Reference]
    status: int


async def read(asks: Asks, structures: Structures, wanted: Sequence[tuple[str, int]]) -> list[Item]:
    """The (node, attribute)s' values, with their place as handle; one that the server refuses or nobody can read has a bad status.

    Raises `NotConnected`, and `BadInput` for an answer that cannot be read at all.
    """

    async def some(part: Sequence[tuple[str, int]]) -> list[Item]:
        request = ua.ReadRequest()
        ids = {node: _node(asks, node) for node in dict.fromkeys(node for node, _ in part)}
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=ids[node], AttributeId=attribute, DataEncoding=_BINARY) for node, attribute in part
        ]
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
        result, values, _ = decode_read_response(await asks.answer(request), structures)
        if result >= BAD or len(values) != len(part):
            raise BadInput(
                f"a read of {len(part)} attributes was answered with status {result:#010x} and {len(values)} values"
            )
        return values

    return await in_parts(wanted, asks.limits, "reads", some, most=NODES_A_CALL)


async def browse(asks: Asks, nodes: Sequence[str], reference: str, *, inverse: bool = False) -> list[Browsed]:
    """What each node refers to by references of exactly this type. Raises as `read` does.

    A node for which the server had no continuation point left, or whose point it dropped, is asked for again alone.
    """
    direction = ua.BrowseDirection.Inverse if inverse else ua.BrowseDirection.Forward

    async def some(part: Sequence[str]) -> list[Browsed]:
        request = ua.BrowseRequest()
        request.Parameters.View = whole_address_space()
        request.Parameters.NodesToBrowse = [
            ua.BrowseDescription(
                NodeId=_node(asks, node), BrowseDirection=direction, ReferenceTypeId=ua.NodeId.from_string(reference),
                IncludeSubtypes=False, NodeClassMask=0, ResultMask=_NAMES_ONLY,
            )
            for node in part
        ]  # fmt: skip
        answers = _browsed(asks, await asks.answer(request), _BROWSE_RESPONSE)
        if len(answers) != len(part):
            raise BadInput(f"{len(part)} nodes were browsed and {len(answers)} were answered")
        return [await _whole(asks, *answer) for answer in answers]

    found = await in_parts(nodes, asks.limits, "browses", some, most=NODES_A_CALL)
    for at in [at for at, one in enumerate(found) if one.status in NO_POINT]:
        found[at : at + 1] = await some(nodes[at : at + 1])
    return found


async def _whole(asks: Asks, one: Browsed, point: bytes) -> Browsed:
    """With all that follows its continuation ``point``."""
    references, status = list(one.references), one.status
    while point:
        request = ua.BrowseNextRequest()
        request.Parameters.ContinuationPoints = [point]
        answers = _browsed(asks, await asks.answer(request), _BROWSE_NEXT_RESPONSE)
        if len(answers) != 1:
            raise BadInput(f"one continuation point was gone on from and {len(answers)} were answered")
        more, following = answers[0]
        references, status = references + more.references, max(status, more.status)
        point = b"" if following == point else following
    return Browsed(references, status)


def whole_address_space() -> ua.ViewDescription:
    """No view (Part 4 §7.44). The library's own bears the time of now, and servers without views refuse what is not null (async-opcua)."""
    return ua.ViewDescription(Timestamp=NO_TIME)


def _node(asks: Asks, node: str) -> ua.NodeId:
    try:
        return asks.resolve(node)
    except (KeyError, ValueError, UaError):
        return ua.NodeId()  # the server answers BadNodeIdUnknown for it


def _browsed(asks: Asks, body: bytes, due: str) -> list[tuple[Browsed, bytes]]:
    """Each BrowseResult and its continuation point (Part 4 §7.6)."""
    scope = Scope(asks.namespaces, Structures(asks.namespaces, []))
    with guarded("browse response"):
        type_id, result, at = response_header(scope, body)
        if type_id != due or result >= BAD:
            raise BadInput(f"a browse was answered with {type_id}, status {result:#010x}")
        n, at = binary.count(body, at)
        found = []
        for _ in range(n):
            status = int.from_bytes(body[at : at + 4], "little")
            point, at = binary.raw(body, at + 4)
            count, at = binary.count(body, at)
            references = []
            for _ in range(count):
                reference, at = _reference(scope, body, at)
                references.append(reference)
            found.append((Browsed(references, status), point or b""))
    return found


def _reference(scope: Scope, body: bytes, at: int) -> tuple[Reference, int]:
    _, at = binary.expanded_node_id(scope, body, at)
    node, at = binary.expanded_node_id(scope, body, at + 1)
    name, at = binary.qualified_name(scope, body, at)
    _, at = binary.localized_text(scope, body, at)
    _, at = binary.expanded_node_id(scope, body, at + 4)
    return Reference(node, str(name)), at
