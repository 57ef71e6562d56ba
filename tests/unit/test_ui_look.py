"""Colours can be read: WCAG contrast of text and edges, told apart in greyscale and by people who see colours differently, by shape too."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import pytest
from streamlit import config

from shinkei_events.model.master import Reason
from shinkei_ui.run import STREAMLIT
from shinkei_ui.states import LEVELS, LOOKS, level_of, worst

BOARD = "#E9ECEF"


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("level", LEVELS)
def test_text_on_a_tile_can_be_read(level: str) -> None:
    look = LOOKS[level]  # type: ignore[index]
    assert contrast(look.ink, look.tint) >= 4.5


@pytest.mark.parametrize("level", LEVELS)
def test_an_edge_can_be_seen(level: str) -> None:
    assert contrast(LOOKS[level].edge, BOARD) >= 3.0  # type: ignore[index]


def test_every_level_has_a_shape_of_its_own() -> None:
    assert len({look.shape for look in LOOKS.values()}) == len(LEVELS)


def test_what_needs_a_hand_is_told_from_normal_without_colour() -> None:
    for loud, quiet in combinations(("fault", "run"), 2):
        assert contrast(LOOKS[loud].tint, LOOKS[quiet].tint) >= 3.0  # type: ignore[index]
    assert contrast(LOOKS["act"].edge, LOOKS["run"].tint) >= 4.5


def test_the_boards_small_print_can_be_read() -> None:
    sheet = (files("shinkei_ui") / "live" / "board.css").read_text()
    assert "#47525B" in sheet
    for ground in ("#FFFFFF", "#F4F6F7", "#DFE4E8", BOARD):
        assert contrast("#47525B", ground) >= 4.5


def test_only_what_nobody_has_seen_moves_and_not_for_who_asked_for_rest() -> None:
    sheet = (files("shinkei_ui") / "live" / "board.css").read_text()
    quiet = re.search(r"@media \(prefers-reduced-motion: no-preference\) \{(.*?)\n\}", sheet, re.DOTALL)
    assert quiet is not None
    assert sheet.count("animation:") == quiet[1].count("animation:") == 1
    assert ".card[data-active" in quiet[1]


def test_levels() -> None:
    assert level_of("EXECUTE") == "run"
    assert level_of("SUSPENDED", "external") == "wait"
    assert level_of("STOPPED") == "act"
    assert level_of("STOPPED", Reason(name="break", category="planned").category) == "rest"
    assert level_of("ABORTED", "planned") == "fault"
    assert level_of("NO_DATA") == level_of("SOMETHING") == "unknown"
    assert worst(["run", "act", "wait"]) == "act"
    assert worst([]) == "run"


def test_streamlit_still_has_every_setting_we_set() -> None:
    known = config._config_options_template
    assert [name for name in STREAMLIT if name not in known] == []
    assert known["runner.postScriptGC"].default_val is True


def test_the_board_cuts_no_word_and_no_unit_short() -> None:
    sheet = (files("shinkei_ui") / "live" / "board.css").read_text()
    assert "ellipsis" not in sheet
    assert "absolute" not in re.search(r"\n\.old \{(.*?)\}", sheet)[1]  # type: ignore[index]
