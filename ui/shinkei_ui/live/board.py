"""The board and the clock as Streamlit components: their scripts, styles and the words they are given. Draws nothing itself."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import streamlit as st

from shinkei_ui.installed import Installed
from shinkei_ui.states import LOOKS
from shinkei_ui.web import script
from shinkei_ui.words import Words

PULSE_HTML = '<div class="pulse"><span class="age" data-is="none"><i></i><span class="word"></span></span><span class="clock"></span></div>'
PULSE_CSS = """
.pulse { display: flex; gap: 14px; align-items: center; justify-content: flex-end; white-space: nowrap; font-family: inherit; color: #1B2126; }
.clock { font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.age { font-size: 14px; padding: 3px 10px; border-radius: 12px; background: #FFFFFF; font-variant-numeric: tabular-nums; }
.age i { display: inline-block; width: 8px; height: 8px; border-radius: 50%; background: #6B7680; margin-right: 7px; }
.age[data-is="stale"] { background: #A85A00; color: #FFFFFF; font-weight: 600; } .age[data-is="stale"] i { background: #FFFFFF; border-radius: 0; }
@media (max-width: 640px) { .clock { font-size: 16px; } .age { font-size: 13px; } }
"""


def pulse(found: Installed, words: Words) -> None:
    """Clock and age of the data."""
    mount = st.components.v2.component(
        "shinkei_pulse", html=PULSE_HTML, css=PULSE_CSS, js=script("tape.js", "feed.js", "pulse.js")
    )
    mount(key="shinkei_pulse", data=_common(found, words))


def board(found: Installed, words: Words, raised: str | None) -> Any:
    """The andon board. Its result has ``ack`` (alarm, occurrence, machine) and ``go`` (page, query) when a visitor asked for one.

    ``raised``: a sentence about something that just failed, to be shown on top.
    """
    mount = st.components.v2.component(
        "shinkei_board",
        html=(files("shinkei_ui") / "live" / "board.html").read_text(encoding="utf-8"),
        css=(files("shinkei_ui") / "live" / "board.css").read_text(encoding="utf-8"),
        js=script("tape.js", "feed.js", "timeline.js", "board.js"),
    )
    data = _common(found, words) | {
        "hours": found.settings.hours,
        "looks": {level: {"shape": look.shape, "edge": look.edge, "tint": look.tint} for level, look in LOOKS.items()},
        "reasons": {reason.name: reason.title for reason in found.plant.master["reasons"]},
        "pages": {page: f"{_base(found)}{page}" for page in ("machine", "inbox")},
        "raised": raised,
    }
    return mount(key="shinkei_board", data=data, on_ack_change=_nothing, on_go_change=_nothing)


def _nothing() -> None:
    """A trigger is read from the result; Streamlit wants a callback to run the script again."""


def _base(found: Installed) -> str:
    return f"{found.settings.base_path.rstrip('/')}/"


def _common(found: Installed, words: Words) -> dict[str, Any]:
    return {
        "base": _base(found),
        "version": found.version,
        "lang": words.language,
        "words": words.table("board.", "state.", "level."),
    }
