"""Topic filters against topics and against each other (MQTT 3.1.1 §4.7): what matches, what covers, what overlaps. Pure.

Where two subscriptions of one client match a message, brokers may send it twice (MQTT 5, 3.3.4). Used by `payload` and `limits`.
"""

from __future__ import annotations

from collections.abc import Sequence


def matches(parts: list[str], levels: list[str]) -> bool:
    """Whether a topic's levels match a filter's (topics with $ match no wildcard at the first level)."""
    if levels[0].startswith("$") and parts[0] in ("+", "#"):
        return False
    for at, part in enumerate(parts):
        if part == "#":
            return True
        if at >= len(levels) or part not in ("+", levels[at]):
            return False
    return len(parts) == len(levels)


def covers(one: list[str], other: list[str]) -> bool:
    """Whether every topic that ``other`` matches is matched by ``one`` too."""
    if other[0].startswith("$") and one[0] in ("+", "#"):
        return False
    for at, part in enumerate(one):
        if part == "#":
            return True
        if at >= len(other) or other[at] == "#" or part not in ("+", other[at]):
            return False
    return len(one) == len(other)


def minimal(filters: Sequence[str]) -> list[str]:
    """Those that no other one covers, in their order: together they match what all of ``filters`` match."""
    wanted = [(name, name.split("/")) for name in dict.fromkeys(filters)]
    return [
        name for name, parts in wanted if not any(covers(other, parts) for others, other in wanted if others != name)
    ]


def overlapping(filters: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs that some topic matches both of."""
    found = []
    for at, one in enumerate(filters):
        found += [(one, other) for other in filters[at + 1 :] if _meet(one.split("/"), other.split("/"))]
    return found


def _meet(one: list[str], other: list[str]) -> bool:
    if (one[0].startswith("$") and other[0] in ("+", "#")) or (other[0].startswith("$") and one[0] in ("+", "#")):
        return False
    for at in range(max(len(one), len(other))):
        if "#" in one[at : at + 1] or "#" in other[at : at + 1]:
            return True
        if at >= len(one) or at >= len(other):
            # "a/#" matches "a" as well
            return False
        if one[at] != other[at] and "+" not in (one[at], other[at]):
            return False
    return True
