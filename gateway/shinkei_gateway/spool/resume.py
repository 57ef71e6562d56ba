"""Resume states written as differences: what a source must remember is much, what changes with a batch is little. Pure.

Each segment opens with every state whole, so a chain of differences never leaves its file; a state is exactly what its batches say.
A difference is ``[kind, …]``: ``["=", value]`` anew · ``["d", {key: difference}, [keys gone]]`` of a dict · ``["w", shift, tail]`` of
bytes of which the first ``shift`` went and to which ``tail`` was added (a window that slides).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

_PROBE = 16
_MISSING = object()


def difference(old: Any, new: Any) -> list[Any]:
    """What makes ``new`` of ``old``."""
    if isinstance(old, dict) and isinstance(new, dict):
        changed = {key: difference(old.get(key), value) for key, value in new.items() if not _same(old, key, value)}
        gone = [key for key in old if key not in new]
        return ["d", changed, gone] if gone else ["d", changed]
    if isinstance(old, bytes) and isinstance(new, bytes) and len(old) >= _PROBE and len(new) >= _PROBE:
        shift = old.find(new[:_PROBE])
        if shift >= 0 and new.startswith(old[shift:]):
            return ["w", shift, new[len(old) - shift :]]
    return ["=", new]


def applied(old: Any, change: list[Any]) -> Any:
    """``new`` of `difference`, as a value of its own. What a broken chain lost keeps its older value."""
    kind = change[0]
    if kind == "d":
        base = old if isinstance(old, dict) else {}
        gone = set(change[2]) if len(change) > 2 else ()
        kept = {key: value for key, value in base.items() if key not in gone}
        return kept | {key: applied(base.get(key), each) for key, each in change[1].items()}
    if kind == "w":
        window = old if isinstance(old, bytes) else b""
        return window[change[1] :] + change[2]
    return deepcopy(change[1])


def _same(old: dict[Any, Any], key: Any, value: Any) -> bool:
    known = old.get(key, _MISSING)
    return type(known) is type(value) and bool(known == value)
