"""The state timeline as a table: the same for who cannot see a canvas, with minutes, share and count of every state."""

from __future__ import annotations

from shinkei_events.errors import NotConnected
from shinkei_ui.installed import Installed
from shinkei_ui.parts import formats
from shinkei_ui.parts.tables import Column, Value, note, show
from shinkei_ui.parts.units import machine_title, reason_title
from shinkei_ui.states import LOOKS, level_of
from shinkei_ui.words import Words

_MARK = {"act": "warn", "fault": "bad"}


def states_table(found: Installed, words: Words) -> None:
    """Draw it for the hours that the timeline shows."""
    try:
        spent = found.reader.state_minutes(found.settings.hours)
    except NotConnected:
        note(words("board.timeline_away"))
        return
    if not spent:
        note(words("board.timeline_empty"))
        return
    category = {reason.name: reason.category for reason in found.plant.master["reasons"]}
    rows: list[tuple[str, list[Value]]] = []
    for row in spent:
        level = level_of(row["state"], category.get(row["reason"] or ""))
        state = f"{LOOKS[level].shape} {words.get('state.' + row['state'], row['state'])}"
        reason = reason_title(found, words, row["reason"]) if level != "run" else ""
        minutes, share = formats.number(float(row["seconds"]) / 60, 3), f"{float(row['share']):.1%}"
        rows.append(
            (
                _MARK.get(level, ""),
                [
                    machine_title(found, words, row["machine"]),
                    state,
                    reason,
                    minutes,
                    share,
                    formats.number(row["times"]),
                ],
            )
        )
    numbers = {"minutes", "share", "times"}
    show(
        [
            Column(words(f"table.{name}"), name in numbers)
            for name in ("machine", "state", "reason", "minutes", "share", "times")
        ],
        rows,
        "states",
    )
