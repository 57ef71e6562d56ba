"""The segments of a spool, oldest first, and where a number is in them. Values and searches; no disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shinkei_events.errors import Corrupt
from shinkei_events.identity import FIRST_NUMBER
from shinkei_gateway.spool.segment import HEADER_BYTES

SUFFIX = ".seg"


class Cursor(NamedTuple):
    """A place between batches."""

    segment: int
    offset: int


@dataclass(slots=True)
class Segment:
    """One file. ``table``: the next number of each stream where the segment begins; ``size``: durable bytes."""

    number: int
    epoch: str
    table: dict[str, int]
    size: int

    @property
    def name(self) -> str:
        """Its file."""
        return f"{self.number:012d}{SUFFIX}"


def find(segments: list[Segment], cursor: Cursor) -> tuple[Segment, Segment | None]:
    """The segment of ``cursor`` (or the oldest left) and the one behind it. Raises `Corrupt` when all are older."""
    for place, segment in enumerate(segments):
        if segment.number >= cursor.segment:
            return segment, segments[place + 1] if place + 1 < len(segments) else None
    raise Corrupt(f"spool: there is no segment {cursor.segment}")


def place_of(segments: list[Segment], stream: str, number: int) -> Cursor:
    """The start of the newest segment in which ``number`` of ``stream`` may still be found; the oldest place if none."""
    best = segments[0]
    for segment in segments:
        if segment.table.get(stream, FIRST_NUMBER) <= number:
            best = segment
    return Cursor(best.number, HEADER_BYTES)


def is_done(oldest: Segment, after: Segment, recorded: dict[str, int], keep: Callable[[str], bool]) -> bool:
    """Whether nobody needs a number of ``oldest`` any more: all are below ``recorded``, and ``keep(file name)`` does not hold it."""
    is_needed = any(
        number > recorded.get(stream, FIRST_NUMBER) and number > oldest.table.get(stream, FIRST_NUMBER)
        for stream, number in after.table.items()
    )
    return not is_needed and not keep(oldest.name)
