"""What may stand where a setting is wrong: the values of an enumeration, the keys of a table, the nearest one to what was written. Pure.

Called by `settings.strict` with msgspec's error; knows its wording, and gives it back unchanged where there is nothing to add. `named` is
for the words of a command that name a source, a machine, a shard.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import inspect

from shinkei_events.errors import BadConfig

_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_PART = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[\]]+)")
_ANY = "[...]"
"""How msgspec writes a key of a table whose keys are free."""
_MOST_SHOWN = 20


class Wrong(NamedTuple):
    """``key``: the path of what is wrong, below the settings. ``is_value``: its value may be shown (an unknown key's may be a secret)."""

    key: str
    expected: str
    is_value: bool = True


class _Place(NamedTuple):
    key: str
    value: Any
    types: list[inspect.Type]


def explained(kind: Any, raw: Any, path: str, text: str) -> Wrong:
    """``text`` is what msgspec says of ``raw`` at ``path`` when it should be a ``kind``."""
    places = list(_places(_Place("", raw, _flat(inspect.type_info(kind), raw)), _PART.findall(path)))
    if found := _UNKNOWN.fullmatch(text):
        name = found[1]
        for place in places:
            keys = _keys(place.types)
            if isinstance(place.value, dict) and name in place.value and keys:
                return Wrong(
                    _below(place.key, name), f"unknown key; known are {', '.join(keys)}{nearest(name, keys)}", False
                )
        return Wrong(path, text)
    if found := _MISSING.fullmatch(text):
        for place in places:
            if isinstance(place.value, dict) and found[1] not in place.value:
                tags = _tags(place.types, found[1])
                return Wrong(
                    _below(place.key, found[1]), f"is missing; {_one_of(tags)}" if tags else "is missing", False
                )
        return Wrong(path, text)
    for place in places:
        if (wrong := _free_key(place)) is not None:
            return wrong
        values = _values(place.types)
        if values and not isinstance(place.value, dict | list) and place.value not in values:
            is_text = isinstance(place.value, str)
            return Wrong(place.key, _one_of(values) + (nearest(place.value, values) if is_text else ""))
    return Wrong(path, text)


def _places(at: _Place, parts: list[tuple[str, str]]) -> Iterator[_Place]:
    """Where ``parts`` lead from ``at``: several places where a key is not said."""
    if not parts:
        yield at
        return
    (index, name), rest = parts[0], parts[1:]
    steps: list[tuple[str, Any]] = []
    if name and isinstance(at.value, dict):
        steps = [(name, at.value.get(name))]
    elif index == "..." and isinstance(at.value, dict):
        steps = list(at.value.items())
    elif index.isdecimal() and isinstance(at.value, list) and int(index) < len(at.value):
        steps = [(f"[{index}]", at.value[int(index)])]
    for step, value in steps:
        types = [found for one in at.types for inner in _inner(one, step) for found in _flat(inner, value)]
        if not types and isinstance(at.value, dict) and step in _tag_fields(at.types):
            types = at.types  # the tag itself: its values are those of the tables that may stand here
        yield from _places(_Place(_below(at.key, step), value, types), rest)


def _inner(type_: inspect.Type, step: str) -> list[inspect.Type]:
    if isinstance(type_, inspect.StructType):
        return [field.type for field in type_.fields if field.encode_name == step]
    if isinstance(type_, inspect.ListType):
        return [type_.item_type]
    return [type_.value_type] if isinstance(type_, inspect.DictType) else []


def _flat(type_: inspect.Type, value: Any) -> list[inspect.Type]:
    """The types that may stand here; of several tables the one that ``value`` says it is, where it says so."""
    found = (
        [one for part in type_.types for one in _flat(part, value)] if isinstance(type_, inspect.UnionType) else [type_]
    )
    if isinstance(value, dict):
        said = [
            t for t in found if isinstance(t, inspect.StructType) and t.tag_field and value.get(t.tag_field) == t.tag
        ]
        return [*said] or found
    return found


def _free_key(place: _Place) -> Wrong | None:
    """A key that is none of those that this table may have."""
    for one in place.types:
        names = _values([one.key_type]) if isinstance(one, inspect.DictType) else []
        for key in place.value if names and isinstance(place.value, dict) else ():
            if key not in names:
                return Wrong(
                    _below(place.key, key), f"unknown key; known are {', '.join(names)}{nearest(key, names)}", False
                )
    return None


def _tag_fields(types: list[inspect.Type]) -> set[str]:
    return {one.tag_field for one in types if isinstance(one, inspect.StructType) and one.tag_field}


def _tags(types: list[inspect.Type], name: str) -> list[Any]:
    return [one.tag for one in types if isinstance(one, inspect.StructType) and one.tag_field == name]


def _keys(types: list[inspect.Type]) -> list[str]:
    structs = [one for one in types if isinstance(one, inspect.StructType)]
    return [field.encode_name for one in structs for field in one.fields] + sorted(_tag_fields(types))


def _values(types: list[inspect.Type]) -> list[Any]:
    found: list[Any] = []
    for one in types:
        if isinstance(one, inspect.LiteralType):
            found += one.values
        elif isinstance(one, inspect.EnumType):
            found += [member.value for member in one.cls]
        elif isinstance(one, inspect.StructType) and one.tag is not None:
            found.append(one.tag)
    return found


def _below(key: str, step: str) -> str:
    return key + step if step.startswith("[") or not key else f"{key}.{step}"


def _one_of(values: list[Any]) -> str:
    return "one of " + ", ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)


def nearest(wrong: str, known: Iterable[Any]) -> str:
    """Which of ``known`` was probably meant, as the end of a message; empty when none is near."""
    known = list(known)
    found = difflib.get_close_matches(wrong.lower(), [str(one) for one in known if str(one).islower()], 1)
    found = found or difflib.get_close_matches(wrong, [str(one) for one in known], 1)
    return f"; did you mean {found[0]}?" if found else ""


def named(where: str, name: str, known: Iterable[str], what: str) -> None:
    """Raises `BadConfig` when ``name``, given as ``where`` (an option or argument), is none of ``known``; ``what``: whose names these are, as
    "source of plant.toml". The message says which there are (the first 20) and which one was probably meant.
    """
    names = sorted(set(known))
    if name in names:
        return
    shown = ", ".join(names[:_MOST_SHOWN]) + (f" and {len(names) - _MOST_SHOWN} more" if names[_MOST_SHOWN:] else "")
    there = "there is none" if not names else f"there is only {shown}" if len(names) == 1 else f"there are {shown}"
    raise BadConfig(where, name, f"no {what}: {there}{nearest(name, names)}")
