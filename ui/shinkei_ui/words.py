"""Every word on the screens, in Japanese and English: ``text/<language>.toml``, flattened to dotted keys.

Nothing else in this package holds a sentence. A third language is one more file. Used by all screens and, as a table, by the board.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("ja", "en")
DEFAULT = "en"


class Words:
    """The texts of one language. Raises KeyError for a key that is not in the catalogue."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT
        self._texts = catalogue(self.language)

    def __call__(self, key: str, **values: object) -> str:
        """The text ``key`` with its values."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def get(self, key: str, default: str) -> str:
        """The text ``key``, or ``default``: for words that a plant may extend (states, operation kinds, causes)."""
        return self._texts.get(key, default)

    def table(self, *prefixes: str) -> dict[str, str]:
        """All texts below ``prefixes``, without ``board.`` in front: what the board's scripts need."""
        chosen = {key: text for key, text in self._texts.items() if key.startswith(prefixes)}
        return {key.removeprefix("board."): text for key, text in chosen.items()}

    def title(self, texts: dict[str, str] | None, default: str = "") -> str:
        """A title from the master data in this language, else in English, else in any."""
        texts = texts or {}
        return texts.get(self.language) or texts.get(DEFAULT) or next(iter(texts.values()), default)


@cache
def catalogue(language: str) -> dict[str, str]:
    """The flattened catalogue of one language."""
    with (files("shinkei_ui") / "text" / f"{language}.toml").open("rb") as file:
        return dict(_flat(tomllib.load(file), ""))


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


def choose(*wishes: str | None) -> str:
    """The first wish that is a language we speak (``ja-JP`` counts as ``ja``), else English.

    >>> choose(None, "fr", "ja-JP")
    'ja'
    """
    for wish in wishes:
        short = (wish or "").lower().replace("_", "-").split("-")[0]
        if short in LANGUAGES:
            return short
    return DEFAULT
