"""What is not known, in words: the gaps that an answer crosses. A page that crosses one says so; a silent hole is worse than a hole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Any

from msgspec.structs import asdict

from shinkei_trace.query import GapCrossed
from shinkei_ui.installed import Installed
from shinkei_ui.parts import formats
from shinkei_ui.parts.tables import listed, note
from shinkei_ui.parts.units import channel_title
from shinkei_ui.read import Reader
from shinkei_ui.words import Words

SHOWN = 5


def crossed(reader: Reader, spans: Iterable[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Gaps at these machines in these times (ns UTC), each once."""
    found: dict[str, dict[str, Any]] = {}
    for machine, begin, end in spans:
        for row in reader.gaps(
            [machine], datetime.fromtimestamp(begin / 1e9, UTC), datetime.fromtimestamp((end + 1_000_000) / 1e9, UTC)
        ):
            found.setdefault(row["id"], row)
    return list(found.values())


def of_lineage(gaps: list[GapCrossed]) -> list[dict[str, Any]]:
    """The lineage's own gaps in the shape of the store's."""
    return [asdict(gap) | {"kind": "production", "channels": []} for gap in gaps]


def sentence(gap: dict[str, Any], found: Installed, words: Words, zone: tzinfo) -> str:
    """One gap: where, when, how much, why."""
    amount = (
        words("gap.perhaps")
        if gap["possible"]
        else words("gap.at_least", n=gap["at_least"])
        if gap["at_least"]
        else words("gap.unknown_number")
    )
    told = words(
        "gap.sentence",
        machine=gap["machine"],
        begin=formats.when(gap["t_from"], zone),
        end=formats.when(gap["t_to"], zone),
        amount=amount,
        cause=words.get(f"gap.cause.{gap['cause']}", gap["cause"]),
        what=_what(gap, found, words),
    )
    return f"{told} {words('gap.beyond')}" if gap.get("why") == "beyond" else told


def _what(gap: dict[str, Any], found: Installed, words: Words) -> str:
    titles = dict.fromkeys(channel_title(found, words, gap["machine"], channel) for channel in gap["channels"])
    return ", ".join(titles) or words("gap.production" if gap["kind"] == "production" else "gap.signals")


def show(gaps: list[dict[str, Any]], found: Installed, words: Words, zone: tzinfo) -> None:
    """The gaps as sentences, or one sentence that there are none."""
    if not gaps:
        note(words("gap.none"))
        return
    lines = [sentence(gap, found, words, zone) for gap in gaps[:SHOWN]]
    more = [words("gap.more", n=len(gaps) - SHOWN)] if len(gaps) > SHOWN else []
    listed(words("gap.crossed", n=len(gaps)), lines + more)
