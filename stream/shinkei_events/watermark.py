"""How numbers are taken: strictly in order, whatever the log does. Pure.

A consumer keeps, per stream, the number it expects next. What arrives is a repeat (lower), the next (equal, or
overlapping: the known head is cut off), or shows a hole (higher), which only the missing records or a gap record close.
"""

from __future__ import annotations

from dataclasses import dataclass

from shinkei_events.identity import FIRST_NUMBER


@dataclass(frozen=True, slots=True)
class Take:
    """Use the record without its first ``skip`` numbers; afterwards ``next_number`` is expected.

    ``gap`` tells that numbers were passed over because a gap record covers them.
    """

    skip: int
    next_number: int
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """Everything in the record is known already."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers ``begin`` up to but not including ``end`` are missing before the record may be used."""

    begin: int
    end: int


Verdict = Take | Repeat | Hole


def judge(expected: int, first: int, count: int, gap_begin: int | None = None) -> Verdict:
    """What to do with ``count`` numbers from ``first`` when ``expected`` comes next.

    ``gap_begin``: a gap record covers ``gap_begin … first - 1``. An empty record (``count`` 0) says how far its stream is
    complete: it is taken when it is exactly next. Cost: a few comparisons.

    >>> judge(5, 5, 3)
    Take(skip=0, next_number=8, gap=False)
    >>> judge(5, 3, 4)
    Take(skip=2, next_number=7, gap=False)
    >>> judge(5, 1, 4)
    Repeat()
    >>> judge(5, 9, 1)
    Hole(begin=5, end=9)
    >>> judge(5, 9, 1, gap_begin=4)
    Take(skip=0, next_number=10, gap=True)
    >>> judge(5, 9, 1, gap_begin=7)
    Hole(begin=5, end=7)
    """
    end = first + count
    if end < expected or (end == expected and count > 0):
        return Repeat()
    if first <= expected:
        return Take(expected - first, end) if end > expected or count == 0 else Repeat()
    if gap_begin is not None and gap_begin < first:
        if gap_begin <= expected:
            return Take(0, end, gap=True)
        return Hole(expected, gap_begin)
    return Hole(expected, first)


class Watermarks:
    """The numbers expected next of many streams (a dict with a default of `FIRST_NUMBER`)."""

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self._next = dict(known or {})

    def expected(self, stream: str) -> int:
        """The number that comes next in ``stream``."""
        return self._next.get(stream, FIRST_NUMBER)

    def move(self, stream: str, next_number: int) -> None:
        """Set the number that comes next; never goes back."""
        if next_number < self.expected(stream):
            raise ValueError(f"{stream}: watermark {self.expected(stream)} cannot go back to {next_number}")
        self._next[stream] = next_number

    def as_dict(self) -> dict[str, int]:
        """A copy of what is known."""
        return dict(self._next)
