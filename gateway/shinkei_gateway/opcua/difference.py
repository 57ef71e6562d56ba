"""What changed at a server since it was browsed, or since its plant.toml was written: new, gone, renamed, other type. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

COLUMNS = ("change", "name", "was", "now", "node")


class Known(NamedTuple):
    """A node as it is or was: ``name`` is its path or its signal's name, ``data_type`` None when nobody wrote it down."""

    node: str
    name: str
    data_type: str | None


class Change(NamedTuple):
    """``moved``: another node is at the same name."""

    change: Literal["new", "gone", "renamed", "moved", "type"]
    name: str
    was: str
    now: str
    node: str


def differences(
    before: Iterable[Known], now: Iterable[Known], there: Mapping[str, str], *, names: bool = True
) -> list[Change]:
    """Changes from ``before`` to ``now``, in the order of names. ``there``: type of every node that exists (also those that are no signals).

    ``names`` False: the names before were chosen by a person, another name is no change.
    """
    old, new = {known.node: known for known in before}, {known.node: known for known in now}
    by_name = {known.name: known for known in new.values() if known.node not in old}
    found: list[Change] = []
    for node, was in old.items():
        if node not in there:
            heir = by_name.pop(was.name, None)
            if heir is not None:
                found.append(Change("moved", was.name, node, heir.node, heir.node))
            else:
                found.append(Change("gone", was.name, was.data_type or "", "", node))
            continue
        now_type = there[node]
        if was.data_type and now_type and was.data_type != now_type:
            found.append(Change("type", was.name, was.data_type, now_type, node))
        if names and node in new and new[node].name != was.name:
            found.append(Change("renamed", new[node].name, was.name, new[node].name, node))
    moved = {change.node for change in found if change.change == "moved"}
    found += [
        Change("new", k.name, "", k.data_type or "", n) for n, k in new.items() if n not in old and n not in moved
    ]
    return sorted(found, key=lambda change: (change.name, change.change))


def configured(sources: Mapping[str, Any], url: str) -> list[Known]:
    """What sources of plant.toml (checked, by name) watch at the server ``url``."""
    found = []
    for source in sources.values():
        if getattr(source, "url", "").rstrip("/") == url.rstrip("/") and hasattr(source, "signals"):
            found += [Known(s.node, s.name, s.data_type or None) for s in source.signals]
            if source.state is not None:
                found.append(Known(source.state.node, "@state", None))
    return found
