"""The bar on top of every page: where one is, the language, the clock and the age of the data. Also the list of pages."""

from __future__ import annotations

from typing import Any

import streamlit as st

from shinkei_ui.installed import Installed
from shinkei_ui.live.board import pulse
from shinkei_ui.words import LANGUAGES, Words

PAGES = {
    "andon": "andon", "trace": "lineage", "inbox": "inbox", "health": "health", "part": "part", "anomaly": "anomaly", "machine": "machine",
    "frame": "frame",
}  # fmt: skip
"""Name in addresses to the script's name (one called ``trace`` would hide Python's own)."""
IN_BAR = ("andon", "trace", "inbox", "health")
_UNDER = {"part": "trace", "anomaly": "inbox", "frame": "trace", "machine": "andon"}
"""Pages that are reached from another one: that one is marked in the bar."""


def file_of(name: str) -> str:
    """The script of a page, as Streamlit's links want it."""
    return f"screens/{PAGES[name]}.py"


def page_of(name: str, words: Words) -> Any:
    """The Streamlit page ``name``; its address is its name, the board's is the root."""
    return st.Page(
        file_of(name),
        title=f"{words('page.' + name)} · {words('app.name')}",
        url_path=name,
        default=name == "andon",
    )


def topbar(found: Installed, words: Words, chosen: Any) -> None:
    """Draw the bar."""
    here = chosen.url_path or "andon"
    with st.container(horizontal=True, key="topbar", vertical_alignment="center"):
        st.html(
            f'<span class="brand" aria-hidden="true">神経</span><span class="site">{_escape(words.title(found.plant.site.title, found.plant.site.id))}</span>',
            width="content",
        )
        for name in IN_BAR:
            mark = "here" if _UNDER.get(here, here) == name else "page"
            with st.container(key=f"{mark}_{name}", width="content"):
                st.page_link(file_of(name), label=words("page." + name), query_params=_language())
        st.space("stretch")
        other = next(language for language in LANGUAGES if language != words.language)
        kept = {key: value for key, value in st.query_params.items() if key != "lang"}
        with st.container(key="language", width="content"):
            st.page_link(file_of(here), label=words("app.other_language"), query_params=kept | {"lang": other})
        with st.container(key="pulse", width="content"):
            pulse(found, words)


def _language() -> dict[str, str]:
    """A language that was chosen in the address stays chosen on the next page."""
    return {"lang": st.query_params["lang"]} if "lang" in st.query_params else {}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
