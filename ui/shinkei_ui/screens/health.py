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
ACCOUNT = (
    "source",
    "hour",
    "offered",
    "received",
    "own",
    "replayed",
    "duplicate",
    "quarantined",
    "numbered",
    "dropped",
    "sent",
    "stored",
    "balanced",
)
RECORD = ("signals", "events", "history", "missing", "gaps_in_time", "quarantined")
HIDDEN = {"url", "log_id", "epoch", "shard"}
TIME_S, FACTS, ACCOUNTS_SHOWN = 1.5e9, 8, 40
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
             _lag(part), _said(part), str(part.restarts) if part.restarts is not None else "–", str(part.pid or "–"), part.error or ""],
        ))  # fmt: skip
    show(
        [
            Column(words(f"health.column.{n}"), n in {"lag", "restarts"})
            for n in ("part", "state", "since", "lag", "says", "restarts", "pid", "error")
        ],
        rows,
        "parts",
    )


def _lag(part: Part) -> str:
    """In records or numbers; the machines' in seconds."""
    if part.lag is None:
        return "–"
    return f"{part.lag:.1f} s" if part.name == "plant" else f"{part.lag:,.0f}"


def _said(part: Part) -> str:
    """The part's own short facts: plain numbers and words, no nested ones, no addresses, no times in ns."""
    plain = [
        f"{words.get(f'health.says.{name}', name.replace('_', ' '))}: {_fact(name, value)}"
        for name, value in part.details.items()
        if isinstance(value, int | float | str)
        and name not in HIDDEN
        and not (isinstance(value, int | float) and value >= TIME_S and name != "spool_bytes")
    ]
    return " · ".join(plain[:FACTS])


def _fact(name: str, value: bool | float | str) -> str:
    if isinstance(value, bool):
        return words(f"health.{'yes' if value else 'no'}")
    return formats.size(value) if name == "spool_bytes" and isinstance(value, int) else formats.number(value, 4)


def _gateway(known: list[Part]) -> None:
    """The gateway's own account, of all its shards: per source and hour of receipt, what came in and what became of it."""
    account = [row for part in known if part.name.partition("-")[0] == "gateway" for row in _account(part)]
    if not account:
        return
    st.header(words("health.reconcile_gateway"))
    account.sort(key=lambda row: (str(row.get("source")), row.get("hour") or 0))
    names = [name for name in ACCOUNT if any(row.get(name) is not None for row in account)]
    rows: list[tuple[str, list[Value]]] = [
        (_level(row), [_counted(name, row.get(name)) for name in names]) for row in account[-ACCOUNTS_SHOWN:]
    ]
    show(
        [Column(words(f"health.reconcile.{name}"), name not in {"source", "hour", "balanced"}) for name in names],
        rows,
        "reconcile",
    )


def _account(part: Part) -> list[dict[str, Any]]:
    account = part.details.get("reconcile")
    return [row for row in account if isinstance(row, dict)] if isinstance(account, list) else []


def _counted(name: str, value: Any) -> str:
    if name == "hour" and isinstance(value, int):
        return formats.when(value, zone, seconds=False)
    if isinstance(value, bool):
        return words(f"health.{'yes' if value else 'no'}")
    return value if isinstance(value, str) else formats.number(value)


def _level(row: dict[str, Any]) -> str:
    """The gateway's own verdict; and what it lost for good is told though its books balance."""
    if row.get("balanced") is False:
        return "bad"
    return "warn" if row.get("dropped") else ""


def _record() -> None:
    st.header(words("health.record"))
    rows: list[tuple[str, list[Value]]] = []
    for row in house.on_record(reader):
        level = "warn" if row["missing"] or row["gaps_in_time"] or row["quarantined"] else ""
        rows.append(
            (level, [machine_title(found, words, row["machine"]), *(formats.number(row[name]) for name in RECORD)])
        )
    if not rows:
        note(words("health.nothing_recorded"))
        return
    show(
        [
            Column(words("health.reconcile.machine")),
            *(Column(words(f"health.record_of.{name}"), True) for name in RECORD),
        ],
        rows,
        "record",
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
    gaps = house.gaps(reader)
    if gaps:
        show(
            [Column(words("health.gaps", n=len(gaps)))],
            [("warn", [missing.sentence(gap, found, words, zone)]) for gap in gaps],
            "gaps",
        )
    else:
        note(words("gap.none"))
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
        (words("health.engine"), words.get(f"health.engine_of.{about['engine']}", about["engine"]), ""),
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
