"""Asks a server for its address space: `walk` says what, this does it, several calls at a time within the server's operation limits.

Then reads of each variable its type, and of its properties range and unit (Part 8 §5.3). Changes nothing at the server. Called by
`shinkei gateway browse` and by the gateway's browse command.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames
from asyncua.ua.uaerrors import UaStatusCodeError

from shinkei_events.errors import BadInput, NotConnected
from shinkei_gateway.opcua.sample import plain
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.tree import Key, Kind, Tree, key_text
from shinkei_gateway.opcua.walk import Answer, Reference, Step, Walk

CALLS = 4
"""Calls under way: the library stalls with 100, a server of a PLC has few threads."""
NODES_A_CALL = 200
READS_A_CALL = 1000
REFERENCES = 1000
_ONE_BY_ONE = 100
_LIMITS = {"browse": 11710, "read": 11705}
OBJECTS: Key = (0, 85)
_HIERARCHICAL, _HAS_PROPERTY = 33, 46
_DESCRIBING = frozenset({"EURange", "EngineeringUnits"})
_TOLD = frozenset({
    "Manufacturer", "SerialNumber", "Model", "ProductInstanceUri", "YearOfConstruction", "ProductCode", "Location", "TagID", "PackMLVersion",
    "DeviceClass", "SoftwareRevision",
})  # fmt: skip
"""Properties whose values are shown."""
_STATES = frozenset({"state", "machinestate", "currentstate", "statecurrent"})
Progress = Callable[[str, int], None]


async def browse(
    session: Session,
    node: str = "",
    *,
    depth: int = 32,
    most: int = 200_000,
    calls: int = CALLS,
    progress: Progress | None = None,
) -> Tree:
    """The address space below ``node`` (default: the Objects folder). ``progress`` gets what is done and how many nodes; ``calls``: under way at a time.

    Raises `NotConnected` also when ``node`` is not there.
    """
    tell = progress or (lambda _what, _count: None)
    tree = Tree(session.namespaces)
    try:
        start = _key(session.resolve(node)) if node else OBJECTS
    except KeyError as error:
        raise NotConnected(f"{node}: the server has no such namespace") from error
    limits = await _limits(session)
    name = await _name(session, start, node)
    root = tree.add(start, name.Name or "", tree.uri(name.NamespaceIndex), "object")
    walk = Walk(
        tree,
        [] if root is None else [root],
        depth=depth,
        most=most,
        nodes_a_call=_size(limits["browse"], NODES_A_CALL, calls),
    )
    await _walk(session, walk, calls, lambda: tell("browsed", len(tree.nodes)))
    await _describe(session, tree, _size(limits["read"], READS_A_CALL, calls), calls, tell)
    return tree


def _size(limit: int, own: int, calls: int) -> int:
    """Nodes in a call. Some servers count a limit over all calls under way (S7-1500), so each gets its share."""
    return max(1, min(own, limit // calls if limit else own))


async def _limits(session: Session) -> dict[str, int]:
    """What the server allows in one call; 0: it does not say (Part 5 §6.3.11)."""
    found = await session.read([node_id((0, number)) for number in _LIMITS.values()])
    values = [data.Value.Value if data.Value is not None else None for data in found]
    return {name: value if isinstance(value, int) else 0 for name, value in zip(_LIMITS, values, strict=True)}


async def _name(session: Session, start: Key, node: str) -> Any:
    found = await session.read_each([(node_id(start), AttributeIds.BrowseName)])
    if found[0].Value is None or found[0].Value.Value is None:
        raise NotConnected(f"{node or 'Objects'}: the server does not have this node")
    return found[0].Value.Value


# ---- the walk ------------------------------------------------------------------------------------------------------------
async def _walk(session: Session, walk: Walk, calls: int, tell: Callable[[], None]) -> None:
    under_way: dict[asyncio.Task[list[Answer]], Step] = {}
    try:
        while not walk.is_done:
            while len(under_way) < calls and (step := walk.next()) is not None:
                under_way[asyncio.create_task(_ask(session, walk.tree, step))] = step
            if not under_way:
                return
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _take(walk, under_way.pop(task), task)
            tell()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        points = walk.take_points()
        if points and not session.lost.done():
            with contextlib.suppress(NotConnected):
                await session.browse_next(points, release=True)


def _take(walk: Walk, step: Step, task: asyncio.Task[list[Answer]]) -> None:
    error = task.exception()
    if error is None:
        walk.answered(step, task.result())
    elif not (isinstance(error.__cause__, UaStatusCodeError) and walk.failed(step, error.__cause__.code)):
        raise error


async def _ask(session: Session, tree: Tree, step: Step) -> list[Answer]:
    if step.do == "next":
        results = await session.browse_next(step.points)
    else:
        wanted = [_description(node_id(tree.nodes[place].key)) for place in step.places]
        results = await session.browse(wanted, REFERENCES)
    return [_answer(result, tree) for result in results]


def node_id(key: Key) -> ua.NodeId:
    """The library's node id."""
    return ua.NodeId(key[1], key[0])  # type: ignore[arg-type]


def _key(node: ua.NodeId) -> Key:
    identifier = node.Identifier
    if isinstance(identifier, int | str | bytes | uuid.UUID):
        return int(node.NamespaceIndex), int(identifier) if isinstance(identifier, int) else identifier
    return int(node.NamespaceIndex), str(identifier)


def _description(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node, BrowseDirection=ua.BrowseDirection.Forward, ReferenceTypeId=node_id((0, _HIERARCHICAL)), IncludeSubtypes=True,
        NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable, ResultMask=ua.BrowseResultMask.All,
    )  # fmt: skip


def _answer(result: ua.BrowseResult, tree: Tree) -> Answer:
    found = [_reference(r, tree) for r in result.References or [] if r.IsForward and _is_here(r.NodeId)]
    return Answer(result.StatusCode.value, found, result.ContinuationPoint or None)


def _is_here(node: Any) -> bool:
    """Whether an expanded node id is of this server (and by index)."""
    return not getattr(node, "ServerIndex", 0) and not getattr(node, "NamespaceUri", None)


def _reference(found: ua.ReferenceDescription, tree: Tree) -> Reference:
    kind: Kind = "object"
    if found.NodeClass == ua.NodeClass.Variable:
        is_property = found.ReferenceTypeId.NamespaceIndex == 0 and found.ReferenceTypeId.Identifier == _HAS_PROPERTY
        kind = "property" if is_property else "variable"
    name = found.BrowseName
    type_ = _key(found.TypeDefinition) if found.TypeDefinition else None
    return Reference(_key(found.NodeId), name.Name or "", tree.uri(name.NamespaceIndex), kind, type_)


# ---- what variables are --------------------------------------------------------------------------------------------------
async def _describe(session: Session, tree: Tree, size: int, calls: int, tell: Progress) -> None:
    """Types of variables, values of the properties that describe them."""
    variables = [at for at, node in enumerate(tree.nodes) if node.kind == "variable"]
    told = [
        at
        for at, node in enumerate(tree.nodes)
        if node.name in _DESCRIBING or (node.kind == "property" and node.name in _TOLD)
    ]
    told += [at for at in variables if tree.nodes[at].name in _TOLD or tree.nodes[at].name.lower() in _STATES]
    reads = [
        (at, attribute)
        for at in variables
        for attribute in (AttributeIds.DataType, AttributeIds.ValueRank, AttributeIds.AccessLevel)
    ]
    reads += [(at, AttributeIds.Value) for at in told]
    parts = iter([reads[at : at + size] for at in range(0, len(reads), size)])
    done = 0

    async def some() -> None:
        nonlocal done
        for part in parts:
            found = await session.read_each([(node_id(tree.nodes[at].key), attribute) for at, attribute in part])
            for (at, attribute), data in zip(part, found, strict=False):
                _learn(tree, at, attribute, data)
            done += len(part)
            tell("described", len(variables) * done // max(1, len(reads)))

    for error in await asyncio.gather(*(some() for _ in range(calls)), return_exceptions=True):
        if error is not None:
            raise error
    for at in variables:
        _range_and_unit(tree, at)


def _learn(tree: Tree, place: int, attribute: AttributeIds, data: ua.DataValue) -> None:
    node, value = tree.nodes[place], data.Value.Value if data.Value is not None else None
    if value is None:
        return
    if attribute == AttributeIds.DataType:
        node.data_type = _type_name(value, tree)
    elif attribute == AttributeIds.ValueRank:
        node.rank = int(value)
    elif attribute == AttributeIds.AccessLevel:
        node.readable = bool(int(value) & 1)
    elif isinstance(value, ua.Range):
        node.low, node.high = value.Low, value.High
    elif isinstance(value, ua.EUInformation):
        node.unit, node.unece = value.DisplayName.Text or None, unece(value.UnitId, value.NamespaceUri)
    else:
        with contextlib.suppress(BadInput):
            node.value = str(plain(value))[:200]


def _type_name(data_type: ua.NodeId, tree: Tree) -> str:
    if data_type.NamespaceIndex == 0 and isinstance(data_type.Identifier, int):
        return str(ObjectIdNames.get(data_type.Identifier, f"i={data_type.Identifier}"))
    return key_text(_key(data_type), tree.namespaces)


def unece(unit_id: int, namespace: str | None) -> str | None:
    """The UNECE Recommendation 20 code in a UnitId: its characters as one number (Part 8 §5.6.4.3); None for other systems."""
    if namespace and "un/cefact" not in namespace.lower():
        return None
    code = unit_id.to_bytes(4, "big").lstrip(b"\0") if 0 < unit_id < 1 << 32 else b""
    return code.decode("ascii") if code and all(0x30 <= char <= 0x5A for char in code) else None


def _range_and_unit(tree: Tree, place: int) -> None:
    node = tree.nodes[place]
    for child in node.children:
        described = tree.nodes[child]
        if described.name == "EURange":
            node.low, node.high = described.low, described.high
        elif described.name == "EngineeringUnits":
            node.unit, node.unece = described.unit, described.unece


async def types_of(session: Session, nodes: list[str]) -> dict[str, str]:
    """The data type of each of ``nodes`` (by namespace URI) that exists at the server, wherever it is. Raises `NotConnected`."""
    tree = Tree(session.namespaces)
    known: list[tuple[str, ua.NodeId]] = []
    for node in nodes:
        with contextlib.suppress(KeyError):
            known.append((node, session.resolve(node)))
    found: dict[str, str] = {}
    for at in range(0, len(known), _ONE_BY_ONE):
        part = known[at : at + _ONE_BY_ONE]
        for (node, _), data in zip(
            part, await session.read_each([(id_, AttributeIds.DataType) for _, id_ in part]), strict=True
        ):
            if data.Value is not None and data.Value.Value is not None:
                found[node] = _type_name(data.Value.Value, tree)
    return found
