"""What of a machine's signals is missing, channel by channel, when a gap was told of them. Pure; `history` fills it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shinkei_gateway.gap import ChannelSpan
from shinkei_gateway.offered import Draft, Filled

Span = tuple[int, int]


class Missing(NamedTuple):
    """A gap of signals, and of each channel the source times between which something may be."""

    gap: Filled
    spans: dict[str, Span]


def missing_of(gap: Draft, spans: Iterable[ChannelSpan]) -> Missing:
    """A ``gap`` of signals and what was put into it."""
    f, found = gap.fields, dict[str, Span]()
    for name, since, until in spans:
        begin, end = found.get(name, (since, until))
        found[name] = (min(begin, since), max(end, until))
    return Missing(Filled(f["cause"], f["t_from"], f["t_to"], f["channels"]), found)
