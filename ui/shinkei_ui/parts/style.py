"""The look shared by all pages: one style sheet, put in once per run."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import streamlit as st


def style() -> None:
    """Put the style sheet in."""
    st.html(f"<style>{_sheet()}</style>")


@cache
def _sheet() -> str:
    return (files("shinkei_ui") / "parts" / "style.css").read_text(encoding="utf-8")
