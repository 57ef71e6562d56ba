"""Raw data by identity: one frame of a stream as it was recorded, reading by reading, with its full time, status and number."""

from __future__ import annotations

import streamlit as st

from shinkei_events.errors import BadInput
from shinkei_events.frames import readings
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_ui.installed import installed
from shinkei_ui.parts import formats
from shinkei_ui.parts.tables import Column, Value, note, show, tags
from shinkei_ui.parts.units import machine_title
from shinkei_ui.read import house
from shinkei_ui.visitor import words_of, zone_of

ROWS = 600

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader


def main() -> None:
    """The page."""
    asked, number = st.query_params.get("stream", ""), st.query_params.get("number", "")
    try:
        stream = StreamId.parse(asked)
        frame = next(iter(house.frames(reader, stream, int(number))), None)
    except (BadInput, ValueError):
        note(words("frame.which"))
        return
    if frame is None:
        note(words("frame.none", number=number))
        return
    _head(frame, int(number))
    _neighbours(stream, frame)
    _rows(frame, int(number))


def _head(frame: Frame, number: int) -> None:
    st.header(
        words("frame.title", machine=machine_title(found, words, frame.machine), first=frame.first, last=frame.end - 1)
    )
    context = frame.context
    facts: list[tuple[str, Value, str]] = [
        (words("frame.stream"), str(frame.stream), ""),
        (words("frame.values"), str(frame.count), ""),
        (words("frame.from"), formats.exact(frame.t0, zone), ""),
        (words("frame.state"), words.get(f"state.{context.state}", context.state or "–"), ""),
        (words("frame.product"), context.product or "–", ""),
        (words("frame.tool"), context.tool or "–", ""),
        (words("frame.production"), str(frame.production), ""),
    ]
    if frame.gap_before is not None:
        facts.append(
            (words("frame.gap"), words.get(f"gap.cause.{frame.gap_before.cause}", frame.gap_before.cause), "warn")
        )
    tags(facts)
    if number < frame.first:
        note(words("frame.missing", number=number, first=frame.first), "gap-note")


def _neighbours(stream: StreamId, frame: Frame) -> None:
    before = house.frame_before(reader, stream, frame.first)
    behind = next(iter(house.frames(reader, stream, frame.end)), None)
    with st.container(horizontal=True):
        for label, first in (("frame.before", before), ("frame.behind", behind.first if behind else None)):
            query = {"stream": str(stream), "number": str(first)} | (
                {"lang": st.query_params["lang"]} if "lang" in st.query_params else {}
            )
            st.page_link("screens/frame.py", label=words(label), query_params=query, disabled=first is None)


def _rows(frame: Frame, number: int) -> None:
    rows: list[tuple[str, list[Value]]] = []
    for each, channel, time, value, status, received in readings(frame):
        level = "bad" if status & 0x80000000 else "warn" if status & 0x40000000 or each == number else ""
        rows.append((
            level,
            [str(each), channel, formats.number(value, 9), formats.exact(time, zone), f"0x{status:08X}", formats.lasting_ms(received - time, words), formats.exact(received, zone)],
        ))  # fmt: skip
    names = ("number", "channel", "value", "time", "status", "delay", "received")
    show(
        [Column(words(f"frame.column.{name}"), name in {"number", "value", "delay"}) for name in names],
        rows[:ROWS],
        "raw",
    )


main()
