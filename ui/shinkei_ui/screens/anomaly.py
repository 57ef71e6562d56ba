"""An anomaly: which signals, how far off, since when; exactly the parts made in that time; was it real?"""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from shinkei_events.errors import NotConnected
from shinkei_ui.decide import Verdict, give_feedback
from shinkei_ui.installed import installed
from shinkei_ui.parts import charts, formats, missing
from shinkei_ui.parts.tables import Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import machine_title, signal_title, titles_of
from shinkei_ui.read import lineage, trouble
from shinkei_ui.visitor import actor_of, words_of, zone_of

AROUND_S = 600
CHARTS = 3
ROWS = 300

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader


def main() -> None:
    """The page."""
    row = trouble.anomaly(reader, st.query_params.get("id", ""))
    if row is None:
        note(words("anomaly.unknown"))
        st.page_link("screens/inbox.py", label=words("inbox.all"))
        return
    ended = row["ended"] or (time.time_ns() if row["phase"] != "closed" else row["began"])
    _head(row, ended)
    _why(row)
    _charts(row, ended)
    missing.show(missing.crossed(reader, [(row["machine"], row["began"], ended)]), found, words, zone)
    _parts(row, ended)
    _feedback(row)


def _head(row: dict[str, Any], ended: int) -> None:
    st.header(
        f"{words.get('finding.' + row['finding'], row['finding'])}: {machine_title(found, words, row['machine'])}"
    )
    facts: list[tuple[str, Value, str]] = [
        (words("anomaly.began"), formats.when(row["began"], zone), ""),
        (words("anomaly.lasted"), formats.lasting(ended - row["began"], words) + ("" if row["phase"] == "closed" else f" ({words('anomaly.open')})"), "" if row["phase"] == "closed" else "warn"),
        (words("anomaly.peak"), formats.number(row["peak"], 3), ""),
        (words("anomaly.raw"), Link(f"{row['first']}–{row['last']}", "frame", {"stream": row["stream"], "number": str(row["first"])}), ""),
        (words("page.machine"), Link(row["machine"], "machine", {"machine": row["machine"]}), ""),
    ]  # fmt: skip
    facts += [
        (
            words("page.inbox"),
            Link(f"{alarm['priority']} {words.title(alarm['text'], alarm['id'])}", "inbox", {"alarm": alarm["id"]}),
            "warn",
        )
        for alarm in trouble.alarms_of(reader, row["id"])
    ]
    tags(facts)


def _why(row: dict[str, Any]) -> None:
    st.subheader(words("anomaly.why"))
    rows: list[tuple[str, list[Value]]] = []
    for each in row["body"].get("signals") or []:
        name, unit = signal_title(found, words, row["machine"], each["signal"])
        rows.append(("", [name, f"{each['share']:.0%}", formats.number(each.get("observed")), formats.number(each.get("reference")), each.get("unit") or unit or "",
                          formats.when(each.get("since"), zone)]))  # fmt: skip
    names = ("signal", "share", "observed", "reference", "unit", "since")
    show([Column(words(f"anomaly.column.{name}"), name in {"share", "observed", "reference"}) for name in names], rows)


def _charts(row: dict[str, Any], ended: int) -> None:
    begin = datetime.fromtimestamp(row["began"] / 1e9, UTC) - timedelta(seconds=AROUND_S)
    end = min(datetime.fromtimestamp(ended / 1e9, UTC) + timedelta(seconds=AROUND_S), datetime.now(UTC))
    span = [(row["began"] / 1e6, ended / 1e6, "")]
    for each in (row["body"].get("signals") or [])[:CHARTS]:
        name, unit = signal_title(found, words, row["machine"], each["signal"])
        rows = reader.signal(row["machine"], each["signal"], begin, end)
        if not any(r["mean"] is not None for r in rows):
            note(words("anomaly.no_signal", signal=name))
            continue
        with st.container(key=f"chart_{each['signal']}"):
            st.echarts_chart(
                charts.signal(rows, name, unit, spans=span),
                theme=None,
                height=220,
                alt=words("anomaly.alt", signal=name),
                key=f"signal.{each['signal']}",
            )


def _parts(row: dict[str, Any], ended: int) -> None:
    parts = lineage.parts_made(
        reader,
        row["machine"],
        datetime.fromtimestamp(row["began"] / 1e9, UTC),
        datetime.fromtimestamp(ended / 1e9, UTC),
    )
    st.subheader(words("anomaly.parts", n=len(parts)))
    if not parts:
        note(words("anomaly.no_parts"))
        return
    titles = titles_of(found, words)
    rows: list[tuple[str, list[Value]]] = [
        ("bad" if p["result"] in {"fail", "scrap"} else "", [Link(p["serial"], "part", {"unit": p["serial"], "kind": p["kind"]}), titles.get(p["item"] or "", p["item"]),
         formats.when(p["started"], zone), formats.when(p["ended"], zone), words.get(f"result.{p['result']}", p["result"])])
        for p in parts[:ROWS]
    ]  # fmt: skip
    show(
        [Column(words(f"part.column.{name}")) for name in ("part", "item", "started", "ended", "result")], rows, "parts"
    )
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["unit", "kind", "item", "started_ns", "ended_ns", "result"])
    writer.writerows([p["serial"], p["kind"], p["item"], p["started"], p["ended"], p["result"]] for p in parts)
    st.download_button(
        words("trace.download"),
        out.getvalue().encode("utf-8-sig"),
        f"parts-{row['id'][:12]}.csv",
        "text/csv",
        key="parts.csv",
    )


def _feedback(row: dict[str, Any]) -> None:
    st.subheader(words("anomaly.real"))
    verdicts: tuple[Verdict, ...] = ("true", "false", "known")
    with st.container(horizontal=True):
        for verdict in verdicts:
            if st.button(words(f"anomaly.verdict.{verdict}"), key=f"verdict.{verdict}"):
                try:
                    give_feedback(found, actor_of(found), row["id"], verdict, row["machine"])
                    st.session_state[f"told.{row['id']}"] = verdict
                except NotConnected:
                    st.error(words("inbox.not_sent"))
    told = st.session_state.get(f"told.{row['id']}")
    if told:
        note(words("anomaly.thanks", verdict=words(f"anomaly.verdict.{told}")))


main()
