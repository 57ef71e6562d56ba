"""The inbox: alarms that wait for a person first; each one's reason, its history, who was paged; acknowledged here with a comment."""

from __future__ import annotations

from typing import Any

import streamlit as st

from shinkei_events.errors import NotConnected
from shinkei_ui.decide import acknowledge
from shinkei_ui.installed import installed
from shinkei_ui.parts import formats
from shinkei_ui.parts.tables import Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import machine_title, signal_title
from shinkei_ui.read import trouble
from shinkei_ui.visitor import actor_of, words_of, zone_of

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader
SENT = "shinkei.inbox.sent"


def unseen(alarm: dict[str, Any]) -> bool:
    """Whether nobody has acknowledged it yet."""
    return alarm["closed_at"] is None and alarm["state"] in {"ACTIVE_UNACK", "RTN_UNACK", "LATCHED_RTN"}


def _began(alarm: dict[str, Any]) -> int:
    """When its present occurrence began, ns."""
    return int(alarm["active_since"] or alarm["since"])


def title(alarm: dict[str, Any]) -> str:
    """The alarm in words."""
    return words.title(alarm["text"], alarm["condition"])


def main() -> None:
    """The page."""
    chosen = st.query_params.get("alarm")
    if chosen:
        _one(chosen)
        return
    _all()


@st.fragment(run_every=3)
def _all() -> None:
    alarms = trouble.open_alarms(reader)
    waiting, known = [a for a in alarms if unseen(a)], [a for a in alarms if not unseen(a)]
    st.header(words("inbox.waiting", n=len(waiting)))
    if not waiting:
        note(words("inbox.clear"))
    sent = st.session_state.setdefault(SENT, {})
    for alarm in sorted(waiting, key=lambda a: (not a["state"].startswith("ACTIVE"), a["priority"], -_began(a))):
        _card(alarm, sent)
    st.subheader(words("inbox.open", n=len(known)))
    known.sort(key=lambda a: not a["state"].startswith("ACTIVE"))
    _table(known) if known else note(words("inbox.none_open"))
    st.subheader(words("inbox.past"))
    past = trouble.closed_alarms(reader)
    _table(past) if past else note(words("inbox.none_past"))
    _anomalies()


def _card(alarm: dict[str, Any], sent: dict[str, int]) -> None:
    with st.container(
        border=True, key=f"alarm_{alarm['priority']}_{alarm['id'][:40]}", horizontal=True, vertical_alignment="center"
    ):
        state = words("board.active") if alarm["state"].startswith("ACTIVE") else words("board.gone")
        times = " · " + words("inbox.times", n=alarm["occurrence"]) if alarm["occurrence"] > 1 else ""
        with st.container(gap=None):
            st.markdown(
                f"**{alarm['priority']}  {_plain(machine_title(found, words, alarm['machine']))}** — {_plain(title(alarm))}"
            )
            st.caption(f"{state} · {words('inbox.since', t=formats.when(_began(alarm), zone))}{times}")
        st.page_link("screens/inbox.py", label=words("inbox.why"), query_params=_query(alarm["id"]))
        pending = sent.get(alarm["id"], 0) >= alarm["occurrence"]
        if st.button(
            words("board.acking" if pending else "board.ack"),
            key=f"ack_{alarm['id']}",
            type="primary",
            disabled=pending,
        ):
            _send(alarm, "")


def _send(alarm: dict[str, Any], comment: str) -> None:
    """An acknowledgement covers the occurrences that were on the screen when the button was drawn."""
    try:
        acknowledge(found, actor_of(found), alarm["id"], alarm["occurrence"], alarm["machine"], comment)
    except NotConnected:
        st.error(words("inbox.not_sent"))
        return
    st.session_state.setdefault(SENT, {})[alarm["id"]] = alarm["occurrence"]
    st.rerun()


def _table(alarms: list[dict[str, Any]]) -> None:
    rows: list[tuple[str, list[Value]]] = [
        (
            "",
            [a["priority"], machine_title(found, words, a["machine"]), Link(title(a), "inbox", {"alarm": a["id"]}), words.get(f"alarm.{a['state']}", a["state"]),
             formats.when(_began(a), zone), formats.when(a["closed_at"], zone), str(a["occurrence"]), a["acknowledged_by"]],
        )
        for a in alarms
    ]  # fmt: skip
    show(
        [
            Column(words(f"inbox.column.{name}"), name == "times")
            for name in ("priority", "machine", "what", "state", "since", "closed", "times", "by")
        ],
        rows,
    )


def _anomalies() -> None:
    st.subheader(words("inbox.anomalies"))
    rows: list[tuple[str, list[Value]]] = [
        (
            "warn" if row["phase"] != "closed" else "",
            [Link(formats.when(row["began"], zone), "anomaly", {"id": row["id"]}), machine_title(found, words, row["machine"]), words.get(f"finding.{row['finding']}", row["finding"]),
             _signals(row), formats.number(row["peak"], 3), formats.lasting((row["ended"] or row["began"]) - row["began"], words) if row["ended"] else words("anomaly.open")],
        )
        for row in trouble.recent_anomalies(reader, None, 20)
    ]  # fmt: skip
    names = ("began", "machine", "finding", "signals", "peak", "lasted")
    show([Column(words(f"anomaly.column.{name}"), name == "peak") for name in names], rows) if rows else note(
        words("inbox.no_anomalies")
    )


def _one(id: str) -> None:
    alarm = trouble.alarm(reader, id)
    st.page_link(
        "screens/inbox.py",
        label=words("inbox.all"),
        query_params={k: v for k, v in st.query_params.items() if k == "lang"},
    )
    if alarm is None:
        note(words("inbox.unknown", id=id))
        return
    st.header(f"{alarm['priority']}  {machine_title(found, words, alarm['machine'])}")
    st.markdown(f"#### {_plain(title(alarm))}")
    facts: list[tuple[str, Value, str]] = [
        (
            words("inbox.column.state"),
            words.get(f"alarm.{alarm['state']}", alarm["state"]),
            "warn" if unseen(alarm) else "",
        ),
        (words("inbox.column.since"), formats.when(_began(alarm), zone), ""),
        (words("inbox.column.times"), str(alarm["occurrence"]), ""),
        (words("page.machine"), Link(alarm["machine"], "machine", {"machine": alarm["machine"]}), ""),
    ]
    if alarm["acknowledged_by"]:
        facts.append(
            (words("inbox.column.by"), f"{alarm['acknowledged_by']} {formats.when(alarm['acknowledged_at'], zone)}", "")
        )
    tags(facts)
    condition = next((each for each in found.plant.conditions if each.name == alarm["condition"]), None)
    action = words.title(condition.action) if condition else ""
    if action:
        note(words("inbox.action", action=action))
    if unseen(alarm):
        with st.form("acknowledge", border=True):
            comment = st.text_input(words("inbox.comment"), max_chars=300, key="comment")
            if st.form_submit_button(words("board.ack"), type="primary"):
                _send(alarm, comment or "")
        if st.session_state.get(SENT, {}).get(id, 0) >= alarm["occurrence"]:
            note(words("board.acking"))
    _reasons(alarm)
    _history(id)


def _reasons(alarm: dict[str, Any]) -> None:
    st.subheader(words("inbox.reasons"))
    causes = trouble.causes(reader, alarm["id"]) or [dict(each) for each in alarm["causes"]]
    rows: list[tuple[str, list[Value]]] = [
        ("", [words.get(f"cause.{cause['kind']}", cause["kind"]), *_reason(cause)]) for cause in causes
    ]
    names = ("kind", "what", "machine", "since")
    show([Column(words(f"inbox.column.{name}")) for name in names], rows) if rows else note(words("inbox.no_reasons"))


def _reason(cause: dict[str, Any]) -> list[Value]:
    """What it was, at which machine, since when; an id only where nothing else is known of it."""
    kind, id = cause["kind"], cause["id"]
    row = trouble.anomaly(reader, id) if kind == "anomaly" else None
    if row is not None:
        signals = _signals(row)
        finding = words.get(f"finding.{row['finding']}", row["finding"])
        what = Link(f"{finding}: {signals}" if signals else finding, "anomaly", {"id": id})
        return [what, _machine(row["machine"]), formats.when(row["began"], zone)]
    if kind == "anomaly":
        return [Link(id, "anomaly", {"id": id}), "", ""]
    stream = id.rpartition("/")[0]
    if kind == "state" and stream.count("/") == 2:
        return ["", _machine(stream.split("/")[1]), ""]
    return [id, "", ""]


def _machine(name: str) -> Link:
    return Link(machine_title(found, words, name), "machine", {"machine": name})


def _signals(anomaly: dict[str, Any]) -> str:
    """The titles of the signals that it is about, the first three."""
    named = (anomaly["body"].get("signals") or [])[:3]
    return ", ".join(signal_title(found, words, anomaly["machine"], each["signal"])[0] for each in named)


def _history(id: str) -> None:
    st.subheader(words("inbox.history"))
    show(
        [Column(words(f"inbox.column.{name}")) for name in ("time", "transition", "state", "times", "by", "comment")],
        [("", [formats.when(e["time"], zone), words.get(f"transition.{e['transition']}", e["transition"]), words.get(f"alarm.{e['state']}", e["state"]), str(e["occurrence"]),
               e["actor"] or "", e["comment"] or ""]) for e in trouble.history(reader, id)],
    )  # fmt: skip
    pages = trouble.pages(reader, id)
    st.subheader(words("inbox.pages"))
    if not pages:
        note(words("inbox.no_pages"))
        return
    show(
        [Column(words(f"inbox.column.{name}")) for name in ("target", "page_state", "attempts", "handed_over", "error")],
        [("bad" if p["state"] == "dead" else "", [p["target"], words.get(f"delivery.{p['state']}", p["state"]), str(p["attempts"]),
          p["handed_over"].astimezone(zone).strftime("%m-%d %H:%M:%S") if p["handed_over"] else "–", p["last_error"] or ""]) for p in pages],
    )  # fmt: skip


def _query(id: str) -> dict[str, str]:
    return {"alarm": id} | ({"lang": st.query_params["lang"]} if "lang" in st.query_params else {})


def _plain(text: str) -> str:
    """Text from outside in markdown: nothing in it is markup."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|<>~:$" else c for c in text)


main()
