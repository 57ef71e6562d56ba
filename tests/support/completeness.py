"""What was written against what arrived: missing is allowed only inside a gap record, double and out of order never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Verdict(NamedTuple):
    """Counts of values, and the first few that nobody can explain."""

    written: int
    arrived: int
    missing: int
    covered: int
    doubled: int
    unexplained: list[Any]


def compare(
    written: Mapping[str, list[tuple[int, Any]]],
    arrived: Mapping[str, list[tuple[int, Any]]],
    gaps: Iterable[Mapping[str, Any]],
) -> Verdict:
    """``written``/``arrived``: channel to (source time, value) in order. ``gaps``: fields of gap records (empty channels: all).

    What was written before a channel's first arrived value is not counted: nobody listened yet.
    """
    spans = list(gaps)
    total = got = missing = covered = doubled = 0
    strange: list[Any] = []
    for channel, values in written.items():
        came = arrived.get(channel, [])
        first = came[0][0] if came else 0
        known = set(came)
        doubled += len(came) - len(known)
        got += len(came)
        if [time for time, _ in came] != sorted(time for time, _ in came):
            strange.append((channel, "out of order"))
        for time, value in values:
            if time < first:
                continue
            total += 1
            if (time, value) in known:
                continue
            missing += 1
            if any(g["t_from"] <= time <= g["t_to"] and (not g["channels"] or channel in g["channels"]) for g in spans):
                covered += 1
            else:
                strange.append((channel, time, value))
        strange += [
            (channel, "never written", one)
            for one in known - set(values)
            if one[0] >= first and values and one[0] >= values[0][0]
        ][:3]
    return Verdict(total, got, missing, covered, doubled, strange[:10])


def too_wide(arrived: Mapping[str, list[tuple[int, Any]]], gaps: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Values that arrived from inside a gap: the record claims more than is missing (of channels of different pace)."""
    return [
        (channel, time, gap["cause"])
        for gap in gaps
        for channel, values in arrived.items()
        if not gap["channels"] or channel in gap["channels"]
        for time, _ in values
        if gap["t_from"] < time < gap["t_to"]
    ][:10]
