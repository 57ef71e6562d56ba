"""What the board shows now, as one tree of plain values with a sequence number. Pure: no clock, no log, no database.

The tree is ``section -> key -> field -> value``. Whoever changes it calls `put`; `patch` gives what changed since the last patch
under the next number; a browser that sees a number missing asks for `full`. `Tape` does the same on the other side (for tests;
``board.js`` holds its twin). Called by `live.feed` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Tree = dict[str, dict[str, dict[str, Any] | None]]

APPEND = "+"
"""A field ``+name`` adds one point at the end of the list ``name``, which keeps `LIST_MOST` points."""
ANEW = "!"
"""This field in a patch: what was known of the key is void (it was dropped and put again)."""
LIST_MOST = 120


class Snapshot:
    """The tree and its changes. Not thread-safe: one feed owns it and hands out bytes."""

    def __init__(self, sections: tuple[str, ...] = ("feed", "kpi", "machines", "alarms")) -> None:
        self._tree: Tree = {name: {} for name in sections}
        self._changed: Tree = {}
        self.number = 0

    def put(self, section: str, key: str, fields: Mapping[str, Any]) -> None:
        """Set ``fields`` of ``key``; those that are as before change nothing. Raises KeyError for an unknown section."""
        known = self._tree[section].get(key)
        if known is None:
            known = self._tree[section][key] = {}
        new = {
            name: value
            for name, value in fields.items()
            if name.startswith(APPEND) or known.get(name, _NOTHING) != value
        }
        if not new:
            return
        changed = self._changed.setdefault(section, {})
        pending = changed.get(key)
        if pending is None:
            pending = changed[key] = {ANEW: True} if key in changed else {}
        for name, value in new.items():
            if name.startswith(APPEND):
                points = [*known.get(name[1:], []), value][-LIST_MOST:]
                known[name[1:]] = points
                pending[name] = [*pending.get(name, []), value]
            else:
                known[name] = pending[name] = value

    def drop(self, section: str, key: str) -> None:
        """Forget ``key``."""
        if self._tree[section].pop(key, None) is not None:
            self._changed.setdefault(section, {})[key] = None

    def get(self, section: str, key: str) -> Mapping[str, Any]:
        """What holds for ``key`` (empty when it is not there)."""
        return self._tree[section].get(key) or {}

    def keys(self, section: str) -> list[str]:
        """What is in a section."""
        return list(self._tree[section])

    def patch(self) -> dict[str, Any] | None:
        """What changed since the last patch, under the next number; None when nothing did."""
        if not self._changed:
            return None
        self.number += 1
        changed, self._changed = self._changed, {}
        return {"number": self.number, "changed": changed}

    def full(self) -> dict[str, Any]:
        """Everything, as of `number`. Raises RuntimeError while changes wait: take the `patch` first, or they would come twice."""
        if self._changed:
            raise RuntimeError("take the patch before the full snapshot")
        return {"number": self.number, "tree": self._tree}


class Tape:
    """The reader's side: applies patches in order, and knows when it has to ask for everything."""

    def __init__(self, full: Mapping[str, Any]) -> None:
        self.number: int = full["number"]
        self.tree: Tree = {s: {k: dict(f or {}) for k, f in keys.items()} for s, keys in full["tree"].items()}

    def apply(self, patch: Mapping[str, Any]) -> bool:
        """Use ``patch``; False when one before it is missing (then nothing is changed). One that is known already is fine."""
        if patch["number"] <= self.number:
            return True
        if patch["number"] != self.number + 1:
            return False
        self.number = patch["number"]
        for section, keys in patch["changed"].items():
            for key, fields in keys.items():
                self._merge(section, key, fields)
        return True

    def _merge(self, section: str, key: str, fields: Mapping[str, Any] | None) -> None:
        if fields is None:
            self.tree[section].pop(key, None)
            return
        if ANEW in fields:
            self.tree[section].pop(key, None)
        known = self.tree[section].setdefault(key, {})
        assert known is not None
        for name, value in fields.items():
            if name == ANEW:
                continue
            if name.startswith(APPEND):
                known[name[1:]] = [*known.get(name[1:], []), *value][-LIST_MOST:]
            else:
                known[name] = value


_NOTHING = object()
