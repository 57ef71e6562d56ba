"""The system itself: every part, how far behind, what is on record against what was received, what is missing. A word and a time, no lamps."""

from __future__ import annotations

import platform
import time
from typing import Any

import streamlit as st

from shinkei_events.errors import NotConnected
from shinkei_ui.installed import installed
from shinkei_ui.parts import formats, missing
from shinkei_ui.parts.tables import Cell, Column, Value, note, show, tags
from shinkei_ui.parts.units import machine_title
from shinkei_ui.read import house
from shinkei_ui.read.parts import Part, parts
from shinkei_ui.visitor import words_of, zone_of

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader
LEVEL = {"ready": "", "starting": "warn", "silent": "bad", "gone": "bad"}


@st.fragment(run_every=3)
def main() -> None:
    """The page; asked again every 3 s."""
    known = parts(found.plant.dir)
    _parts(known)
    _gateway(known)
    try:
        _record()
        _missing()
        _database()
    except NotConnected:
        note(words("problem.database"), "gap-note")
    _versions()


def _parts(known: list[Part]) -> None:
    st.header(words("health.parts"))
    rows: list[tuple[str, list[Value]]] = []
    now = time.time()
    for part in known:
        since = formats.lasting(int((now - part.since) * 1e9), words) if part.since else "–"
        rows.append((
            LEVEL[part.state],
            [words.get(f"health.part.{part.name}", part.name), Cell(f"{'●' if part.state == 'ready' else '■'} {words(f'health.state.{part.state}')}"), since,
             "–" if part.lag is None else formats.number(part.lag, 3), _said(part), str(part.restarts) if part.restarts is not None else "–", str(part.pid or "–"), part.error or ""],
        ))  # fmt: skip
    show(
        [
            Column(words(f"health.column.{n}"), n in {"lag", "restarts"})
            for n in ("part", "state", "since", "lag", "says", "restarts", "pid", "error")
        ],
        rows,
        "parts",
    )


def _said(part: Part) -> str:
    """The part's own short facts: plain numbers and words, no nested ones."""
    plain = [
        f"{name}: {formats.number(value, 4)}"
        for name, value in part.details.items()
        if isinstance(value, int | float | str) and name != "url"
    ]
    return " · ".join(plain[:8])


def _gateway(known: list[Part]) -> None:
    """The gateway's own account, if it gives one: received = sent + quarantined + duplicate, sent = stored."""
    for part in known:
        table = part.details.get("reconcile")
        if part.name.startswith("gateway") and isinstance(table, list) and table and isinstance(table[0], dict):
            st.header(words("health.reconcile_gateway"))
            names = [name for name, value in table[0].items() if isinstance(value, str | int | float | None)]
            show(
                [
                    Column(words.get(f"health.reconcile.{name}", name), isinstance(table[0][name], int | float))
                    for name in names
                ],
                [
                    (
                        _unequal(row),
                        [
                            formats.number(row.get(name)) if not isinstance(row.get(name), str) else row[name]
                            for name in names
                        ],
                    )
                    for row in table
                    if isinstance(row, dict)
                ][:60],
                "reconcile",
            )


def _unequal(row: dict[str, Any]) -> str:
    return "bad" if row.get("balanced") is False or row.get("unexplained") else ""


def _record() -> None:
    st.header(words("health.record"))
    rows: list[tuple[str, list[Value]]] = [
        ("warn" if r["missing"] or r["gaps_in_time"] or r["quarantined"] else "",
         [machine_title(found, words, r["machine"]), words.get(f"health.kind.{r['kind']}", r["kind"]), r["source"], *(formats.number(r[n]) for n in ("numbered", "stored", "missing", "gaps_in_time", "quarantined"))])
        for r in house.reconcile(reader)
    ]  # fmt: skip
    if not rows:
        note(words("health.nothing_recorded"))
        return
    names = ("machine", "kind", "source", "numbered", "stored", "missing", "gaps_in_time", "quarantined")
    show(
        [Column(words(f"health.reconcile.{n}"), n not in {"machine", "kind", "source"}) for n in names], rows, "record"
    )
    behind = [
        (
            words.get(f"health.part.{r['consumer'].split('.')[-1]}", r["consumer"]),
            formats.number(r["behind"]),
            "" if r["behind"] < 5_000 else "warn",
        )
        for r in house.lag(reader)
    ]
    if behind:
        st.subheader(words("health.behind"))
        tags(behind)


def _missing() -> None:
    st.header(words("health.missing"))
    missing.show(house.gaps(reader), words, zone)
    refused = house.quarantined(reader)
    if refused:
        names = ("time", "machine", "place", "reason")
        show(
            [Column(words(f"health.column.{n}")) for n in names],
            [("warn", [formats.when(r["time"], zone), r["machine"], r["place"], r["reason"]]) for r in refused],
        )


def _database() -> None:
    st.header(words("health.database"))
    about = house.database(reader)
    facts: list[tuple[str, Value, str]] = [
        (words("health.size"), formats.size(about["bytes"]), ""),
        ("PostgreSQL", about["version"].split(" ")[0], ""),
        (words("health.engine"), about["engine"], ""),
    ]
    facts += [
        (
            words("health.outbox", part=words.get(f"health.part.{r['part']}", r["part"])),
            formats.number(r["waiting"]),
            "warn" if r["waiting"] > 100 else "",
        )
        for r in house.outboxes(reader)
    ]
    facts += [
        (
            words("health.pages", state=words.get(f"delivery.{state}", state)),
            formats.number(n),
            "bad" if state == "dead" else "",
        )
        for state, n in house.pages(reader).items()
    ]
    tags(facts)


def _versions() -> None:
    st.header(words("health.versions"))
    tags(
        [
            ("Shinkei", found.version, ""),
            ("Streamlit", st.__version__, ""),
            ("Python", platform.python_version(), ""),
            (words("health.screens"), formats.number(found.hub.listeners), ""),
        ]
    )


main()
