"""Trace: a number in, where the thing came from and where it went, with what is not known. The address holds the whole question."""

from __future__ import annotations

import csv
import io

import streamlit as st

from shinkei_ui.installed import installed
from shinkei_ui.parts import charts, formats, missing
from shinkei_ui.parts.tables import Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import link_of, place_of, titles_of
from shinkei_ui.read import lineage
from shinkei_ui.read.lineage import Direction, Graph, Unit
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
            words("trace.direction"),
            ways,
            default=_way(),
            format_func=lambda each: words(f"trace.{each}"),
            required=True,
            key="trace.way",
        )
    if text is not None and text.strip() != asked:
        st.query_params["unit"] = text.strip()
        st.query_params.pop("kind", None)
    if way != _way():
        st.query_params["way"] = way
    if not (text or "").strip():
        _begin()
        return
    exact, near = lineage.find(reader, text or "")
    kind = st.query_params.get("kind")
    unit = next((one for one in exact if one.kind == kind), exact[0] if exact else None)
    if unit is None:
        _not_found(text or "", near)
        return
    _answer(unit, way, [other for other in exact if other is not unit])


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


def _not_found(text: str, near: list[Unit]) -> None:
    note(words("trace.unknown", text=text) + (" " + words("trace.nearest") if near else " " + words("trace.none_near")))
    if near:
        show(
            [Column(words("trace.number")), Column(words("trace.kind")), Column(words("trace.item"))],
            [
                (
                    "",
                    [
                        Link(u.serial, "trace", {"unit": u.serial, "kind": u.kind}),
                        words(f"unit.{u.kind}"),
                        titles.get(u.item or "", u.item),
                    ],
                )
                for u in near
            ],
        )


def _answer(unit: Unit, way: Direction, others: list[Unit]) -> None:
    graph = lineage.graph(reader, unit, way)
    counts = {kind: sum(1 for id in graph.depth if graph.units[id].kind == kind and id != unit.id) for kind in EXAMPLES}
    facts: list[tuple[str, Value, str]] = [
        (words(f"unit.{unit.kind}"), link_of(unit), ""),
        (words("trace.item"), titles.get(unit.item or "", unit.item or "–"), ""),
    ]
    facts += [(words(f"unit.many.{kind}"), formats.number(count), "") for kind, count in counts.items() if count]
    if graph.cut:
        facts.append((words("trace.cut"), formats.number(lineage.NODES_MOST), "warn"))
    tags(facts)
    for other in others:
        st.caption(words("trace.also", kind=words(f"unit.{other.kind}")))
    spec = charts.sankey(graph, words, titles)
    if spec is None:
        note(words("trace.nothing_backward" if way == "backward" else "trace.nothing_forward"))
    else:
        with st.container(key="graph"):
            st.echarts_chart(
                spec,
                height=charts.height_of(graph),
                alt=words("trace.alt", unit=unit.serial, n=len(graph.depth) - 1),
                key=f"sankey.{way}",
            )
    spans = [(row["machine"], row["begins"], row["ends"]) for row in lineage.spans(reader, list(graph.depth)[:1000])]
    missing.show(missing.crossed(reader, spans), words, zone)
    if spec is not None:
        _table(unit, way, graph)


def _table(unit: Unit, way: Direction, graph: Graph) -> None:
    """The same as a table: every unit with its distance, the edge it came by, and how sure that is."""
    by_far = {(edge.src if way == "backward" else edge.dst): edge for edge in reversed(graph.edges)}
    order = sorted(
        (each for each in graph.depth if each != unit.id),
        key=lambda each: (graph.depth[each], graph.units[each].kind, graph.units[each].serial),
    )
    st.subheader(words("trace.table", n=len(order)))
    rows: list[tuple[str, list[Value]]] = []
    for id in order[:ROWS]:
        one, edge = graph.units[id], by_far[id]
        sure = "" if edge.certainty >= 1 else words("trace.perhaps", p=f"{edge.certainty:.0%}")
        near = graph.units[edge.dst if way == "backward" else edge.src]
        rows.append((
            "warn" if sure else "",
            [formats.number(graph.depth[id]), link_of(one), words(f"unit.{one.kind}"), titles.get(one.item or "", one.item), words.get(f"edge.{edge.kind}", edge.kind),
             link_of(near), formats.number(edge.qty), formats.when(edge.begin, zone), formats.when(edge.end, zone) if edge.end else "", sure],
        ))  # fmt: skip
    show(
        [
            Column(words(f"trace.column.{name}"), name in {"depth", "qty"})
            for name in ("depth", "unit", "kind", "item", "how", "near", "qty", "since", "until", "sure")
        ],
        rows,
    )
    if len(order) > ROWS:
        st.caption(words("trace.more", n=len(order) - ROWS))
    st.download_button(
        words("trace.download"),
        _csv(order, graph),
        f"trace-{way}-{place_of(unit.serial)}.csv",
        "text/csv",
        key="trace.csv",
    )


def _csv(order: list[int], graph: Graph) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["depth", "kind", "unit", "item"])
    for id in order:
        writer.writerow([graph.depth[id], graph.units[id].kind, graph.units[id].serial, graph.units[id].item or ""])
    return out.getvalue().encode("utf-8-sig")


main()
