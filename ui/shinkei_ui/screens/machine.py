"""One machine: its state, its figures of this shift, its signals of the last half hour, what was unusual, what it made, what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import streamlit as st

from shinkei_ui.installed import installed
from shinkei_ui.parts import charts, formats, missing
from shinkei_ui.parts.tables import Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import machine_title, reason_title, signal_title
from shinkei_ui.read import lineage, trouble
from shinkei_ui.states import LOOKS, level_of
from shinkei_ui.visitor import words_of, zone_of

WINDOW = timedelta(minutes=30)

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader
category = {reason.name: reason.category for reason in found.plant.master["reasons"]}


def main() -> None:
    """The page."""
    name = st.query_params.get("machine", "")
    if name not in {machine.name for machine in found.plant.machines}:
        note(words("machine.unknown", machine=name))
        st.page_link("screens/andon.py", label=words("page.andon"))
        return
    st.header(machine_title(found, words, name))
    _now(name)


@st.fragment(run_every=5)
def _now(name: str) -> None:
    now = datetime.now(UTC)
    _figures(name, now)
    _signals(name, now)
    left, right = st.columns(2)
    with left:
        _stops(name, now)
    with right:
        _unusual(name)
        _made(name, now)
    missing.show(reader.gaps([name], now - timedelta(hours=found.settings.hours), now), found, words, zone)


def _figures(name: str, now: datetime) -> None:
    state = next((row for row in reader.states_now() if row["machine"] == name), None)
    shift = reader.row("select begins from fn_shift(null, %s)", now)
    oee = reader.row(
        "select * from fn_oee(%s, %s, %s)", name, shift["begins"] if shift else now - timedelta(hours=8), now
    )
    facts: list[tuple[str, Value, str]] = []
    if state is not None:
        level = level_of(state["state"], category.get(state["reason"] or ""))
        word = words.get(f"state.{state['state']}", state["state"])
        reason = reason_title(found, words, state["reason"]) if level != "run" else ""
        facts.append((LOOKS[level].shape, f"{word} {reason}".strip(), {"act": "warn", "fault": "bad"}.get(level, "")))
        facts.append((words("frame.product"), state["product"] or "–", ""))
        facts.append((words("frame.tool"), state["tool"] or "–", ""))
    if oee is not None:
        for key, value in (
            ("oee", oee["oee"]),
            ("a_long", oee["availability"]),
            ("e_long", oee["effectiveness"]),
            ("q_long", oee["quality"]),
        ):
            facts.append((words(f"machine.{key}"), "–" if value is None else f"{value:.1%}", ""))
        facts.append((words("machine.produced"), formats.number(oee["produced"]), ""))
        facts.append((words("machine.rejected"), formats.number((oee["produced"] or 0) - (oee["good"] or 0)), ""))
    tags(facts)


def _signals(name: str, now: datetime) -> None:
    spans = [
        (row["began"] / 1e6, (row["ended"] or int(now.timestamp() * 1e9)) / 1e6, "")
        for row in lineage.anomalies_at(reader, name, int((now - WINDOW).timestamp() * 1e9), int(now.timestamp() * 1e9))
    ]
    columns = st.columns(2)
    shown = 0
    for signal in [each for each in found.plant.signals if each.machine == name][:6]:
        rows = reader.signal(name, signal.signal, now - WINDOW, now, 450)
        if not any(row["mean"] is not None for row in rows):
            continue
        title, unit = signal_title(found, words, name, signal.signal)
        with columns[shown % 2], st.container(key=f"chart_{signal.signal}"):
            st.echarts_chart(
                charts.signal(rows, title, unit, spans=spans),
                theme=None,
                height=200,
                alt=words("anomaly.alt", signal=title),
                key=f"m.{signal.signal}",
            )
        shown += 1
    if not shown:
        note(words("machine.no_signals"))


def _stops(name: str, now: datetime) -> None:
    st.subheader(words("machine.stops"))
    rows: list[tuple[str, list[Value]]] = []
    for row in reversed(
        reader.rows("select * from machine_states(%s, %s, %s)", name, now - timedelta(hours=found.settings.hours), now)
    ):
        level = level_of(row["state"], category.get(row["reason"] or ""))
        if level in {"act", "fault", "unknown"} and len(rows) < 15:
            lasted = int((row["t1"] - row["t0"]).total_seconds() * 1e9)
            rows.append((
                {"act": "warn", "fault": "bad"}.get(level, ""),
                [f"{LOOKS[level].shape} {words.get('state.' + row['state'], row['state'])}", reason_title(found, words, row["reason"]),
                 row["t0"].astimezone(zone).strftime("%H:%M:%S"), formats.lasting(lasted, words)],
            ))  # fmt: skip
    show(
        [Column(words(f"machine.column.{n}")) for n in ("state", "reason", "began", "lasted")], rows
    ) if rows else note(words("machine.no_stops"))


def _unusual(name: str) -> None:
    st.subheader(words("inbox.anomalies"))
    rows: list[tuple[str, list[Value]]] = [
        ("warn" if row["phase"] != "closed" else "",
         [Link(formats.when(row["began"], zone), "anomaly", {"id": row["id"]}), ", ".join(signal_title(found, words, name, s["signal"])[0] for s in (row["body"].get("signals") or [])[:3]), formats.number(row["peak"], 3)])
        for row in trouble.recent_anomalies(reader, name, 8)
    ]  # fmt: skip
    show(
        [Column(words(f"anomaly.column.{n}"), n == "peak") for n in ("began", "signals", "peak")], rows
    ) if rows else note(words("inbox.no_anomalies"))


def _made(name: str, now: datetime) -> None:
    st.subheader(words("machine.made"))
    parts = lineage.parts_made(reader, name, now - timedelta(minutes=10), now)[-10:]
    rows: list[tuple[str, list[Value]]] = [
        ("bad" if p["result"] in {"fail", "scrap"} else "", [Link(p["serial"], "part", {"unit": p["serial"], "kind": p["kind"]}), formats.when(p["ended"], zone), words.get(f"result.{p['result']}", p["result"])])
        for p in reversed(parts)
    ]  # fmt: skip
    show([Column(words(f"part.column.{n}")) for n in ("part", "ended", "result")], rows) if rows else note(
        words("anomaly.no_parts")
    )


main()
