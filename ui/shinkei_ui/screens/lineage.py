"""Trace: a number in, where the thing came from and where it went, with what is not known. The address holds the whole question."""

from __future__ import annotations

import csv
import io

import streamlit as st

from shinkei_trace.query import Answer, Node, UnitFound
from shinkei_ui.installed import installed
from shinkei_ui.parts import charts, formats, missing
from shinkei_ui.parts.tables import Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import counted, link_of, place_of, titles_of
from shinkei_ui.read import lineage
from shinkei_ui.read.lineage import Direction
from shinkei_ui.visitor import words_of, zone_of

ROWS = 300
EXAMPLES = ("supplier_lot", "lot", "serial", "container", "shipment")

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader
titles = titles_of(found, words)


def main() -> None:
    """The page."""
    asked = st.query_params.get("unit", "")
    with st.container(horizontal=True, vertical_alignment="bottom", key="search"):
        text = st.text_input(
            words("trace.search"), asked, placeholder=words("trace.placeholder"), type="search", key="trace.text"
        )
        ways: list[Direction] = ["backward", "forward"]
        way = st.segmented_control(
            words("trace.direction"), ways, default=_way(), format_func=lambda each: words(f"trace.{each}"), required=True, key="trace.way"
        )  # fmt: skip
    wanted = (text or "").strip()
    if wanted != asked:
        st.query_params["unit"] = wanted
        st.query_params.pop("kind", None)
    if way and way != _way():
        st.query_params["way"] = way
    if not wanted:
        _begin()
        return
    exact, near = lineage.find(reader, wanted)
    kind = st.query_params.get("kind")
    unit = next((one for one in exact if one.type == kind), exact[0] if exact else None)
    if unit is None:
        _not_found(wanted, near)
        return
    _answer(unit, lineage.trace(reader, unit, way or _way()), [other for other in exact if other is not unit])


def _way() -> Direction:
    return "forward" if st.query_params.get("way") == "forward" else "backward"


def _begin() -> None:
    note(words("trace.begin"))
    rows: list[tuple[str, list[Value]]] = []
    for kind in EXAMPLES:
        units = lineage.newest(reader, kind)
        if units:
            rows.append(
                (
                    "",
                    [
                        words(f"unit.{kind}"),
                        [Link(unit.serial, "trace", {"unit": unit.serial, "kind": kind}) for unit in units],
                    ],
                )
            )
    if rows:
        st.subheader(words("trace.newest"))
        show([Column(words("trace.kind")), Column(words("trace.number"))], rows)


def _not_found(text: str, near: list[UnitFound]) -> None:
    note(words("trace.unknown", text=text) + " " + words("trace.nearest" if near else "trace.none_near"))
    if near:
        show(
            [Column(words("trace.number")), Column(words("trace.kind")), Column(words("trace.item"))],
            [("", [Link(u.serial, "trace", {"unit": u.serial, "kind": u.type}), words.get(f"unit.{u.type}", u.type), titles.get(u.item or "", u.item)]) for u in near],
        )  # fmt: skip


def _answer(unit: UnitFound, answer: Answer, others: list[UnitFound]) -> None:
    facts: list[tuple[str, Value, str]] = [
        (words.get(f"unit.{unit.type}", unit.type), link_of(unit.type, unit.serial), ""),
        (words("trace.item"), titles.get(unit.item or "", unit.item or "–"), ""),
    ]
    facts += [(what, formats.number(count), "") for what, count in counted(answer, words, titles)]
    customers = sorted({node.item for node in answer.nodes if node.type == "shipment" and node.item})
    if customers:
        facts.append((words("trace.customers"), ", ".join(customers), ""))
    if answer.truncated:
        facts.append((words("trace.cut"), formats.number(lineage.UNITS_MOST), "warn"))
    tags(facts)
    for other in others:
        st.caption(words("trace.also", kind=words.get(f"unit.{other.type}", other.type)))
    spec = charts.sankey(answer, words, titles)
    if spec is None:
        note(words(f"trace.nothing_{answer.direction}"))
    else:
        with st.container(key="graph"):
            st.echarts_chart(
                spec,
                theme=None,
                height=charts.height_of(answer),
                alt=words("trace.alt", unit=unit.serial, n=len(answer.nodes) - 1),
                key=f"sankey.{answer.direction}",
            )
    missing.show(missing.of_lineage(answer.gaps), found, words, zone)
    if len(answer.nodes) > 1:
        _table(unit, answer)


def _table(unit: UnitFound, answer: Answer) -> None:
    """The same as a table: every unit with its distance, the edge it came by, and how sure that is."""
    nodes = [node for node in answer.nodes if node.depth]
    st.subheader(words("trace.table", n=len(nodes)))
    names = ("depth", "unit", "kind", "item", "how", "near", "since", "until", "last", "sure")
    show(
        [Column(words(f"trace.column.{name}"), name == "depth") for name in names],
        [_row(node) for node in nodes[:ROWS]],
        "units",
    )
    if len(nodes) > ROWS:
        st.caption(words("trace.more", n=len(nodes) - ROWS))
    st.download_button(
        words("trace.download"),
        _csv(nodes),
        f"trace-{answer.direction}-{place_of(unit.serial)}.csv",
        "text/csv",
        key="trace.csv",
    )


def _row(node: Node) -> tuple[str, list[Value]]:
    sure = "" if node.certainty >= 1 else words("trace.perhaps", p=f"{node.certainty:.0%}")
    open_end = words("trace.open_end") if node.open_end else ""
    last = (
        f"{node.machine} {words.get(f'op.{node.op}', node.op or '')} · {words.get(f'result.{node.result}', node.result or '')}"
        if node.machine
        else ""
    )
    level = "bad" if node.result in {"fail", "scrap"} else "warn" if sure else ""
    near: Value = link_of(node.via_type or "serial", node.via) if node.via else ""
    return level, [
        formats.number(node.depth), link_of(node.type, node.unit), words.get(f"unit.{node.type}", node.type), titles.get(node.item or "", node.item),
        words.get(f"edge.{node.relation}", node.relation or ""), near, formats.when(node.t_from, zone), formats.when(node.t_to, zone) if node.t_to else "",
        last, f"{sure} {open_end}".strip(),
    ]  # fmt: skip


def _csv(nodes: list[Node]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    fields = (
        "depth",
        "type",
        "unit",
        "item",
        "relation",
        "via",
        "certainty",
        "t_from",
        "t_to",
        "first",
        "last",
        "machine",
        "op",
        "result",
        "open_end",
    )
    writer.writerow(fields)
    writer.writerows([getattr(node, name) for name in fields] for node in nodes)
    return out.getvalue().encode("utf-8-sig")


main()
