"""Every word is there, in both languages, with the same blanks; and every word that the code asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import shinkei_ui
from shinkei_events.model import alarm, machine, numbered, operation
from shinkei_ui.parts.units import CHANNELS
from shinkei_ui.states import LEVELS
from shinkei_ui.words import LANGUAGES, Words, catalogue, choose

HOME = Path(shinkei_ui.__file__).parent
BLANK = re.compile(r"{(\w+)}")
LITERAL = re.compile(r"""\bwords\(\s*f?"([\w.]+)"[,)\s]""")
IN_SCRIPTS = re.compile(r"""\bwords(?:\.(\w+)|\["([\w.]+)"\])""")
FAMILIES = {
    "state": get_args(machine.State),
    "level": LEVELS,
    "op": get_args(operation.OperationKind),
    "result": get_args(operation.Result),
    "unit": (*get_args(operation.UnitType), "shipment", "tool", "program", "fixture", "operator_group"),
    "gap.cause": get_args(numbered.GapCause),
    "alarm": get_args(alarm.AlarmState),
    "transition": get_args(alarm.Transition),
    "finding": ("anomaly", "data_quality"),
    "edge": ("consumed", "packed", "shipped", "relabelled", "removed", "mounted"),
    "anomaly.verdict": ("true", "false", "known"),
    "health.state": ("ready", "starting", "silent", "gone"),
    "gap.channel": CHANNELS,
    "health.engine_of": ("plain", "apache", "tsl"),
}  # fmt: skip


def test_both_languages_have_the_same_words() -> None:
    assert set(catalogue("ja")) == set(catalogue("en"))
    assert all(text.strip() for language in LANGUAGES for text in catalogue(language).values())


def test_both_languages_have_the_same_blanks() -> None:
    english, japanese = catalogue("en"), catalogue("ja")
    assert [key for key in english if set(BLANK.findall(english[key])) != set(BLANK.findall(japanese[key]))] == []


def test_japanese_is_japanese() -> None:
    same = {
        key
        for key, text in catalogue("ja").items()
        if text == catalogue("en")[key] and re.search(r"[A-Za-z]{3}", BLANK.sub("", text))
    }
    assert same <= {"machine.oee"}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_value_of_the_language_has_a_word(family: str) -> None:
    assert [value for value in FAMILIES[family] if f"{family}.{value}" not in catalogue("en")] == []


def test_every_word_the_screens_ask_for_is_there() -> None:
    asked = {
        (path.name, key) for path in HOME.rglob("*.py") for key in LITERAL.findall(path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 80
    assert sorted((name, key) for name, key in asked if not key.endswith(".") and key not in catalogue("en")) == []


def test_every_word_the_scripts_ask_for_is_given_to_them() -> None:
    given = set(Words("en").table("board.", "state.", "level."))
    asked = {
        (path.name, short or long)
        for path in HOME.rglob("*.js")
        for short, long in IN_SCRIPTS.findall(path.read_text(encoding="utf-8"))
    }
    asked = {(name, key) for name, key in asked if not key.endswith(".")}
    assert len(asked) > 30
    assert sorted((name, key) for name, key in asked if key not in given) == []


def test_the_language_is_the_first_wish_that_is_spoken() -> None:
    assert choose(None, None, "ja-JP") == "ja"
    assert choose("fr", "en-GB", "ja") == "en"
    assert choose(None, "") == "en"
    assert Words("fr").language == "en"


def test_titles_fall_back() -> None:
    words = Words("ja")
    assert words.title({"ja": "鋳造", "en": "Casting"}) == "鋳造"
    assert words.title({"en": "Casting"}) == "Casting"
    assert words.title({"de": "Guss"}) == "Guss"
    assert words.title(None, "OP10") == "OP10"
