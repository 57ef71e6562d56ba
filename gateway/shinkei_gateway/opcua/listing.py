"""A browsed server as rows: for people as a tree, for programs with paths; the nodes a later browse is compared with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from shinkei_events.errors import BadInput
from shinkei_gateway.opcua.companion import Machine, machines
from shinkei_gateway.opcua.difference import Known
from shinkei_gateway.opcua.tree import Tree
from shinkei_gateway.opcua.why import status_name

COLUMNS = ("path", "kind", "type", "unit", "unece", "low", "high", "value", "means", "node")
TREE_COLUMNS = ("name", "type", "unit", "range", "value", "means", "node")


def rows(tree: Tree, pattern: str = "") -> Iterator[dict[str, Any]]:
    """A row a node, properties left out. ``pattern``: only nodes whose path has this text, or matches it as a glob (``*.Temp*``)."""
    means = meanings(tree)
    for place in tree.below(0) if tree.nodes else ():
        node = tree.nodes[place]
        path = ".".join(tree.path(place, 0)) or node.name
        if node.kind != "property" and matches(path, pattern):
            yield {
                "path": path, "kind": node.kind, "type": _type(tree, place), "unit": node.unit, "unece": node.unece, "low": node.low,
                "high": node.high, "value": node.value, "means": means.get(place), "node": tree.text(place),
                "name": "  " * (len(tree.path(place)) - 1) + node.name, "range": _range(tree, place),
            }  # fmt: skip


def matches(path: str, pattern: str) -> bool:
    """Whether ``path`` is meant by ``pattern``; upper and lower case are the same."""
    path, pattern = path.lower(), pattern.lower()
    return not pattern or pattern in path or (any(char in pattern for char in "*?[") and fnmatchcase(path, pattern))


def meanings(tree: Tree) -> dict[int, str]:
    """What companion specifications make of nodes, by place."""
    found: dict[int, str] = {}
    for machine in machines(tree):
        found[machine.place] = f"machine ({machine.by}) {_about(machine)}".strip()
        if machine.state is not None:
            found[machine.state.place] = f"state ({machine.state.by})"
        if machine.mode is not None:
            found[machine.mode] = "operation mode"
    return found


def known(tree: Tree) -> list[Known]:
    """The variables, to compare with another time's."""
    return [
        Known(tree.text(at), ".".join(tree.path(at, 0)), node.data_type)
        for at, node in enumerate(tree.nodes)
        if node.kind == "variable"
    ]


def known_of_rows(found: Iterable[Mapping[str, Any]]) -> list[Known]:
    """The same from what ``--format json`` printed then. Raises `BadInput`."""
    try:
        return [
            Known(r["node"], r["path"], (r["type"] or "").rstrip("[],") or None)
            for r in found
            if r["kind"] == "variable"
        ]
    except (KeyError, TypeError) as error:
        raise BadInput(
            "this is not what `shinkei gateway browse --format json` prints: one array of objects"
        ) from error


def refused(tree: Tree) -> list[str]:
    """The nodes that could not be browsed, each with the server's reason."""
    return [f"{tree.text(place)} ({status_name(status)})" for place, status in tree.refused]


def _about(machine: Machine) -> str:
    return ", ".join(machine.about[key] for key in ("Manufacturer", "Model", "SerialNumber") if key in machine.about)


def _type(tree: Tree, place: int) -> str | None:
    node = tree.nodes[place]
    return node.data_type and node.data_type + ("" if node.rank < 0 else "[]" if node.rank <= 1 else "[,]")


def _range(tree: Tree, place: int) -> str | None:
    node = tree.nodes[place]
    return f"{node.low:g} … {node.high:g}" if node.low is not None and node.high is not None else None
