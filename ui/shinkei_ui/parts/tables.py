"""Tables as plain HTML: every value escaped, numbers right, rows marked by level, real links that open by key, click and middle click.

`st.dataframe` is a canvas that keyboards and screen readers cannot use well; it is kept for lists of thousands. Pure but for `show`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import urlencode

import streamlit as st

WRAP_FROM = 48


class Link(NamedTuple):
    """A link to a page of ours."""

    text: str
    page: str
    query: dict[str, str]


class Cell(NamedTuple):
    """A value with a level: ``""``, ``warn`` or ``bad``."""

    text: str
    level: str = ""


Value = str | int | float | Link | Cell | Sequence["Link | Cell | str"] | None


class Column(NamedTuple):
    """A heading; ``number``: right-aligned."""

    title: str
    number: bool = False


def table(columns: Sequence[Column], rows: Iterable[tuple[str, Sequence[Value]]], language: dict[str, str]) -> str:
    """HTML of a table; each row is its level (``""``, ``warn``, ``bad``) and its values. ``language``: kept in links' addresses."""
    head = "".join(
        f"<th scope='col'{' class=n' if column.number else ''}>{escape(column.title)}</th>" for column in columns
    )
    body = "".join(
        f"<tr class='{level}'>"
        + "".join(f"<td{_class(c, value)}>{_html(value, language)}</td>" for c, value in zip(columns, row, strict=True))
        + "</tr>"
        for level, row in rows
    )
    return f"<div class='wide-table'><table class='facts'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def show(columns: Sequence[Column], rows: Iterable[tuple[str, Sequence[Value]]], key: str | None = None) -> None:
    """Draw a table."""
    html = table(columns, rows, chosen_language())
    if key is None:
        st.html(html)
    else:
        with st.container(key=key):
            st.html(html)


def tags(entries: Iterable[tuple[str, Value, str]]) -> None:
    """A row of facts: title, value, level."""
    parts = [
        f"<span class='tag {level}'>{escape(title)} <b>{_html(value, chosen_language())}</b></span>"
        for title, value, level in entries
    ]
    st.html(f"<div class='tags'>{''.join(parts)}</div>")


def note(text: str, kind: str = "empty") -> None:
    """A sentence in a box: ``empty`` (why there is nothing, what to do) or ``gap-note`` (what is not known)."""
    st.html(f"<div class='{kind}'>{escape(text)}</div>")


def listed(title: str, lines: Sequence[str], kind: str = "gap-note") -> None:
    """A sentence and what belongs to it, one line each."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    st.html(f"<div class='{kind}'><b>{escape(title)}</b><ul>{items}</ul></div>")


def href(link: Link, language: dict[str, str]) -> str:
    """Its address, relative to the pages."""
    return f"{link.page}?{urlencode(link.query | language)}"


def chosen_language() -> dict[str, str]:
    """A language chosen in the address stays chosen."""
    return {"lang": st.query_params["lang"]} if "lang" in st.query_params else {}


def _class(column: Column, value: Value) -> str:
    """Numbers right; long texts and lists may wrap, everything else stays on its line."""
    wide = (isinstance(value, str) and len(value) > WRAP_FROM) or (isinstance(value, list) and len(value) > 1)
    return " class='n'" if column.number else " class='w'" if wide else ""


def _html(value: Value, language: dict[str, str]) -> str:
    if value is None:
        return "–"
    if isinstance(value, Link):
        return f"<a href='{escape(href(value, language), quote=True)}' target='_self'>{escape(value.text)}</a>"
    if isinstance(value, Cell):
        return f"<span class='tag {value.level}'>{escape(value.text)}</span>" if value.level else escape(value.text)
    if isinstance(value, str | int | float):
        return escape(str(value))
    return " ".join(_html(item, language) for item in value)
