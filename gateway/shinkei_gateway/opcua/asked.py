"""The commands `Browse` and `Preview`: what a running OPC UA source's server offers, and values read once. Nothing is changed there.

They use the source's own session with one call at a time, so that a PLC's few threads stay free for its values. Answers are bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from asyncua import ua

from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.model.progress import Browse, Command, Preview
from shinkei_gateway.commands import Action
from shinkei_gateway.opcua import listing
from shinkei_gateway.opcua.browse import browse
from shinkei_gateway.opcua.sample import Sample, sample_of
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import node_id

RESULT_BYTES = 400_000
"""Of the 512 KiB that a record may have."""
NODES_MAX = 1000
VALUE_BYTES = 20_000
BROWSE_MOST = 5000
REFUSED_MOST = 100


class Reachable(Protocol):
    """An OPC UA source."""

    @property
    def session(self) -> Session | None:
        """The connection it has now."""


def actions(source_of: Callable[[str], object | None]) -> dict[type, Action]:
    """What `shinkei_gateway.commands` carries out. ``source_of``: the running source of a name."""

    async def browsed(command: Command) -> dict[str, Any]:
        request = command.request
        assert isinstance(request, Browse)
        return await _browse(_session(source_of, request.source), request)

    async def previewed(command: Command) -> dict[str, Any]:
        request = command.request
        assert isinstance(request, Preview)
        return await _preview(_session(source_of, request.source), request.nodes)

    return {Browse: browsed, Preview: previewed}


def _session(source_of: Callable[[str], object | None], name: str) -> Session:
    source = source_of(name)
    if source is None:
        raise BadInput(f"this gateway has no source {name!r}")
    if not hasattr(source, "session"):
        raise BadInput(f"source {name} is no OPC UA server: it has no nodes to ask for")
    session: Session | None = source.session
    if session is None or session.lost.done():
        raise NotConnected(f"source {name} is not connected now")
    return session


async def _browse(session: Session, request: Browse) -> dict[str, Any]:
    if request.node:
        _checked(request.node)
    depth, most = max(1, request.depth), max(1, min(request.most, BROWSE_MOST))
    tree = await browse(session, request.node, depth=depth, most=most, calls=1)
    rows = [{name: row[name] for name in listing.COLUMNS} for row in listing.rows(tree)]
    kept = bounded(rows)
    refused = listing.refused(tree)[:REFUSED_MOST]
    return {"nodes": kept, "found": len(rows), "cut": tree.is_cut or len(kept) < len(rows), "refused": refused}


async def _preview(session: Session, nodes: list[str]) -> dict[str, Any]:
    if not 1 <= len(nodes) <= NODES_MAX:
        raise BadInput(f"{len(nodes)} nodes: ask for 1 to {NODES_MAX} at once")
    found: dict[str, dict[str, Any]] = {}
    known: list[tuple[str, ua.NodeId]] = []
    for node in dict.fromkeys(nodes):
        _checked(node)
        try:
            known.append((node, session.resolve(node)))
        except KeyError:
            found[node] = {
                "node": node,
                "value": None,
                "status": 0x80340000,
                "status_name": "BadNodeIdUnknown",
                "error": "the server has no such namespace",
            }
    for at in range(0, len(known), 100):
        part = known[at : at + 100]
        for (node, _), data in zip(part, await session.read([id_ for _, id_ in part]), strict=True):
            found[node] = _row(node, sample_of(data))
    rows = [found[node] for node in dict.fromkeys(nodes)]
    kept = bounded(rows)
    return {"values": kept, "found": len(rows), "cut": len(kept) < len(rows)}


def _checked(node: str) -> None:
    node_id("node", node)


def _row(node: str, sample: Sample) -> dict[str, Any]:
    value, error = sample.value, sample.error
    if len(msgspec.json.encode(value)) > VALUE_BYTES:
        value, error = str(value)[: VALUE_BYTES // 4], f"cut: the value is longer than {VALUE_BYTES} bytes"
    name = ua.StatusCode(sample.status).name  # type: ignore[arg-type]
    times = {"source_time": sample.source_time, "server_time": sample.server_time}
    return {"node": node, "value": value, "status": sample.status, "status_name": name, **times, "error": error}


def bounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of ``rows`` as fit into an answer."""
    size = 0
    for at, row in enumerate(rows):
        size += len(msgspec.json.encode(row)) + 1
        if size > RESULT_BYTES:
            return rows[:at]
    return rows
