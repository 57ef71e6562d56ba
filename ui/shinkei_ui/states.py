"""What a machine's state means to the person in front of the board: act now, look, or nothing. Pure.

Grey is normal; amber and red mean act. Every level has a colour, a shape and (in the catalogue) a word, so that it can be told in
greyscale and by people who see colours differently. Used by the tiles, the timeline and the tables alike.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["run", "rest", "wait", "act", "fault", "unknown"]
LEVELS: tuple[Level, ...] = ("run", "rest", "wait", "act", "fault", "unknown")
"""From quiet to loud: run (produces), rest (idle, planned), wait (starved or blocked: the trouble is elsewhere), act, fault, unknown
(no data: not the same as standing still)."""


class Look(NamedTuple):
    """How a level looks. ``tint`` fills a tile, ``edge`` its border and the timeline; contrast of both: tests/unit/test_ui_look.py."""

    shape: str
    edge: str
    tint: str
    ink: str


LOOKS: dict[Level, Look] = {
    "run": Look("●", "#6B7680", "#FFFFFF", "#1B2126"),
    "rest": Look("○", "#6B7680", "#F4F6F7", "#1B2126"),
    "wait": Look("◇", "#56626C", "#DFE4E8", "#1B2126"),
    "act": Look("▲", "#A85A00", "#FFE3B8", "#1B2126"),
    "fault": Look("■", "#A30D22", "#C8102E", "#FFFFFF"),
    "unknown": Look("✕", "#3F4A52", "#E9ECEF", "#1B2126"),
}

_RUN = {"EXECUTE"}
_REST = {"IDLE", "STARTING", "COMPLETING", "COMPLETE", "RESETTING", "UNHOLDING", "UNSUSPENDING", "CLEARING"}
_WAIT = {"SUSPENDING", "SUSPENDED"}
_ACT = {"HOLDING", "HELD", "STOPPING", "STOPPED"}
_FAULT = {"ABORTING", "ABORTED"}
_QUIET_CATEGORIES = {"planned", "external"}


def level_of(state: str | None, category: str | None = None) -> Level:
    """The level of a PackML ``state`` whose reason has this ISO 22400 ``category``.

    >>> level_of("HELD", "planned"), level_of("HELD", "availability"), level_of("NO_DATA"), level_of(None)
    ('rest', 'act', 'unknown', 'unknown')
    """
    if state in _RUN:
        return "run"
    if state in _FAULT:
        return "fault"
    if state in _WAIT:
        return "wait"
    if state in _REST or (state in _ACT and category in _QUIET_CATEGORIES):
        return "rest"
    return "act" if state in _ACT else "unknown"


def worst(levels: list[Level]) -> Level:
    """The loudest of some levels (``run`` of none): what a pixel that covers several short states shows."""
    return max(levels, key=_LOUDNESS.__getitem__, default="run")


_LOUDNESS: dict[Level, int] = {"run": 0, "rest": 1, "wait": 2, "unknown": 3, "act": 4, "fault": 5}
