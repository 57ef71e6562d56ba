"""What of a machine's signals is missing, channel by channel, when a gap was told of them. Pure; `history` fills it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shinkei_gateway.offered import Draft, Filled

Span = tuple[int, int]


class Missing(NamedTuple):
    """A gap of signals, and of each channel the source times between which something may be."""

    gap: Filled
    spans: dict[str, Span]


def missing_of(gaps: Iterable[Draft], unproven: dict[str, Span], overflow: dict[str, Span]) -> list[Missing]:
    """The gaps of signals among ``gaps``, with the spans of their channels."""
    fields = [draft.fields for draft in gaps if draft.fields["of"] == "signals"]
    return [
        Missing(
            Filled(f["cause"], f["t_from"], f["t_to"], f["channels"]),
            overflow if f["cause"] == "overflow" else unproven,
        )
        for f in fields
    ]
