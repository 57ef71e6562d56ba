"""From a browsed server to a part of plant.toml: a source for each machine, signals with legal names of their own. Pure.

What it gives is valid for `shinkei_gateway.settings.sources_of`; what it leaves out (structures, nodes that cannot be read) it counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shinkei_gateway.opcua.companion import Machine, machines
from shinkei_gateway.opcua.settings import NODE
from shinkei_gateway.opcua.tree import Tree

PLAIN = frozenset({
    "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String", "DateTime", "UtcTime",
    "LocalizedText", "Guid", "Duration", "Counter", "IntegerId", "Number", "Integer", "UInteger", "LocaleId", "Enumeration", "StatusCode",
    "NodeId", "ByteString", "QualifiedName", "Date", "DurationString", "TimeString", "DateString", "DecimalString", "NormalizedString", "Index",
})  # fmt: skip
"""Data types that a reading can carry as they are (Part 3 §8); enumerations of companion specifications are Int32 underneath."""
_NOT_A_NAME = re.compile(r"[^\w.-]+")
_NOT_AN_ID = re.compile(r"[^A-Za-z0-9_.:-]+")


class Proposed(NamedTuple):
    """A source: its name, its machine, its settings as plant.toml has them, a comment for each signal, and what was left out."""

    name: str
    machine: Machine
    settings: dict[str, Any]
    comments: dict[str, str]
    left_out: list[str]


def propose(tree: Tree, base: Mapping[str, Any], name: str = "") -> list[Proposed]:
    """Sources for what is in ``tree``. ``base``: settings that all of them have (url, security); ``name``: of a single machine."""
    found: list[Proposed] = []
    names: set[str] = set()
    all_machines = machines(tree)
    for machine in all_machines:
        wanted = name if name and len(all_machines) == 1 else machine.about.get("AssetId") or machine.name
        own = once(_NOT_AN_ID.sub("_", wanted).strip("_.:-")[:120] or "machine", names)
        found.append(_source(tree, machine, own, base))
    return found


def once(name: str, names: set[str]) -> str:
    """``name``, or with a number behind it when it is in ``names`` already; adds it there."""
    at, free = 2, name
    while free in names:
        free, at = f"{name}_{at}", at + 1
    names.add(free)
    return free


def _source(tree: Tree, machine: Machine, name: str, base: Mapping[str, Any]) -> Proposed:
    places, left_out = _signals(tree, machine)
    names: set[str] = set()
    signals, comments = [], {}
    for place, path in places:
        signal = once(path, names)
        signals.append({"node": tree.text(place), "name": signal, "data_type": tree.nodes[place].data_type or ""})
        comments[signal] = _comment(tree, place)
    settings: dict[str, Any] = {"type": "opcua", "machine": name, **base, "signals": signals}
    if machine.state is not None and NODE.fullmatch(tree.text(machine.state.place)):
        settings["state"] = {"node": tree.text(machine.state.place)} | (
            {"map": dict(machine.state.map)} if machine.state.map else {}
        )
    return Proposed(name, machine, settings, comments, left_out)


def _signals(tree: Tree, machine: Machine) -> tuple[list[tuple[int, str]], list[str]]:
    """Places and names of the signals of a machine, in the order found, and the node ids of variables that are none."""
    state = machine.state.place if machine.state is not None else -1
    found: list[tuple[int, list[str]]] = []
    left_out: list[str] = []
    for place in tree.below(machine.place):
        node = tree.nodes[place]
        if node.kind != "variable" or place == state or place in machine.inside:
            continue
        if node.readable and is_plain(node.data_type) and NODE.fullmatch(tree.text(place)):
            found.append((place, tree.path(place, machine.place)))
        else:
            left_out.append(tree.text(place))
    folders = {path[0] for _, path in found}
    shared = len(folders) == 1 and all(len(path) > 1 for _, path in found)
    return [(place, signal_name(path[1:] if shared else path)) for place, path in found], left_out


def is_plain(data_type: str | None) -> bool:
    """Whether values of the type are readings: not structures."""
    return data_type is not None and (data_type in PLAIN or data_type.endswith(("Enum", "Enumeration")))


def signal_name(path: list[str]) -> str:
    """A legal name: browse names with dots between them, letters of any language, everything else ``_``."""
    return ".".join(_NOT_A_NAME.sub("_", part).strip("_") or "_" for part in path)[:200]


def _comment(tree: Tree, place: int) -> str:
    node = tree.nodes[place]
    span = f"{node.low:g} … {node.high:g}" if node.low is not None and node.high is not None else ""
    rank = "" if node.rank < 0 else "[]" if node.rank <= 1 else "[,]"
    return " ".join(
        text
        for text in ((node.data_type or "") + rank, span, node.unit or "", f"({node.unece})" if node.unece else "")
        if text
    )


# ---- as text ---------------------------------------------------------------------------------------------------------------
def toml_of(found: list[Proposed], where: str, refused: Sequence[str] = ()) -> str:
    """The part of plant.toml. ``where``: the server's address, for the first line; ``refused``: nodes that could not be browsed."""
    lines = [f"# What {_line(where)} offers. Check the names: they are what every screen and alarm will say."]
    if refused:
        lines.append(f"# {len(refused)} nodes could not be browsed; what is below them is missing here:")
        lines += [f"#   {_line(node)}" for node in refused]
    lines.append("")
    for source in found:
        lines += _source_lines(source)
    return "\n".join(lines) + "\n"


def _source_lines(source: Proposed) -> list[str]:
    machine, settings = source.machine, source.settings
    about = ", ".join(f"{key} {value}" for key, value in machine.about.items())
    lines = [f"# {_line(machine.name)}, found by {machine.by}{': ' + _line(about) if about else ''}"]
    if source.left_out:
        lines.append(f"# left out, because they cannot be read or are structures: {len(source.left_out)} variables")
    lines.append(f"[gateway.sources.{_key(source.name)}]")
    lines += [f"{key} = {value_text(value)}" for key, value in settings.items() if key not in ("signals", "state")]
    lines.append("signals = [")
    for signal in settings["signals"]:
        comment = source.comments[signal["name"]]
        shown = {key: value for key, value in signal.items() if value}
        lines.append(f"  {value_text(shown)}," + (f"  # {_line(comment)}" if comment else ""))
    lines.append("]")
    if "state" in settings and machine.state is not None:
        lines.append(
            f"state = {value_text(settings['state'])}  # {machine.state.by}{': ' + machine.state.note if machine.state.note else ''}"
        )
    return [*lines, ""]


def value_text(value: Any) -> str:
    """A value as TOML on one line (JSON's text is TOML's basic string, but for DEL)."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {value_text(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else value_text(key)


def _line(text: str) -> str:
    """For a comment: control characters are not allowed there."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
