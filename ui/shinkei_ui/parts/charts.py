"""Specs for `st.echarts_chart`: pure functions from values to the option object. Every chart has a table beside it and an ``alt``."""

from __future__ import annotations

from collections import Counter
from typing import Any

from shinkei_ui.read.lineage import Graph, Unit
from shinkei_ui.words import Words

INK, QUIET, LINE, ACT, FAULT = "#1B2126", "#47525B", "#0B4F96", "#D97700", "#C8102E"
KINDS = {
    "supplier_lot": "#8C6D1F",
    "lot": "#6B7680",
    "serial": "#2F6690",
    "container": "#5B6770",
    "shipment": "#1B2126",
}
APART = "\u2063"
"""Invisible: keeps the names of bands of several layers apart."""
NAMED_MOST = 60
"""More units than this are drawn in groups of one kind and item."""


def sankey(graph: Graph, words: Words, titles: dict[str, str]) -> dict[str, Any] | None:
    """Where a unit came from or went, in layers; None when there is nothing but the unit itself.

    Up to `NAMED_MOST` units each has a band of its own; above, units of one layer, kind and item are one band that says how many.
    Only edges that lead further from the start are drawn (a Sankey has no circles); the table has all of them.
    """
    if len(graph.depth) < 2:
        return None
    grouped = len(graph.depth) > NAMED_MOST
    members: Counter[str] = Counter()
    name: dict[int, str] = {}
    look: dict[str, tuple[int, Unit]] = {}
    for id, depth in graph.depth.items():
        unit = graph.units[id]
        label = _group(unit, depth, words, titles) if grouped and id != graph.start.id else unit.serial
        name[id] = label
        members[label] += 1
        look.setdefault(label, (depth, unit))
    flows: Counter[tuple[str, str]] = Counter()
    for edge in graph.edges:
        near, far = (edge.dst, edge.src) if graph.direction == "backward" else (edge.src, edge.dst)
        if graph.depth.get(far, 0) > graph.depth.get(near, 0):
            flows[name[edge.src], name[edge.dst]] += 1
    nodes = [
        {
            "name": label,
            "itemStyle": {"color": INK if unit.id == graph.start.id else KINDS.get(unit.kind, QUIET)},
            "label": {"formatter": label.split(APART)[0] + (f" ×{members[label]:,}" if members[label] > 1 else "")},
        }
        for label, (_, unit) in look.items()
    ]
    links = [{"source": source, "target": target, "value": value} for (source, target), value in flows.items()]
    return {
        "tooltip": {"trigger": "item"},
        "series": [
            {
                "type": "sankey",
                "data": nodes,
                "links": links,
                "nodeAlign": "right" if graph.direction == "backward" else "left",
                "nodeGap": 8,
                "nodeWidth": 16,
                "left": 8,
                "right": 190,
                "top": 10,
                "bottom": 10,
                "draggable": False,
                "emphasis": {"focus": "adjacency"},
                "lineStyle": {"color": "#A9B4BC", "opacity": 0.55, "curveness": 0.5},
                "label": {"color": INK, "fontSize": 13},
            }
        ],
    }


def _group(unit: Unit, depth: int, words: Words, titles: dict[str, str]) -> str:
    """A band's name: what its units are."""
    what = titles.get(unit.item or "", unit.item) or words(f"unit.{unit.kind}")
    return f"{what}{APART}{depth}"


def height_of(graph: Graph) -> int:
    """Pixels for the layers' widest one."""
    widest = max(Counter(graph.depth.values()).values()) if len(graph.depth) <= NAMED_MOST else 8
    return min(900, max(260, widest * 24))


def signal(rows: list[dict[str, Any]], title: str, unit: str | None, *, spans: list[tuple[float, float, str]], low: float | None = None,
           high: float | None = None) -> dict[str, Any]:  # fmt: skip
    """A signal over time (rows of `read_signal`): its mean with the band of low and high, gaps as holes, ``spans`` (from, to in ms, name) shaded.

    Bad values are not drawn and not joined over.
    """
    mean = [[int(row["ts"].timestamp() * 1000), row["mean"]] for row in rows if row["origin"] != "frames"]
    shades = [[{"xAxis": begin, "name": name}, {"xAxis": end}] for begin, end, name in spans]
    holes = [
        [{"xAxis": int(r["ts"].timestamp() * 1000)}, {"xAxis": int(r["until"].timestamp() * 1000)}]
        for r in rows
        if r["origin"] == "gap" and r["until"]
    ]
    marks = [{"yAxis": value} for value in (low, high) if value is not None]
    line: dict[str, Any] = {
        "type": "line", "data": mean, "showSymbol": False, "connectNulls": False, "lineStyle": {"color": LINE, "width": 1.6}, "itemStyle": {"color": LINE},
        "markArea": {"itemStyle": {"color": "rgba(217,119,0,0.22)"}, "label": {"color": INK, "position": "insideTop"}, "data": shades},
    }  # fmt: skip
    if marks:
        line["markLine"] = {
            "symbol": "none",
            "lineStyle": {"color": FAULT, "type": "dashed"},
            "label": {"color": INK},
            "data": marks,
        }
    missing = {"type": "line", "data": [], "markArea": {"itemStyle": {"color": "rgba(71,82,91,0.25)"}, "data": holes}}
    return {
        "grid": {"left": 60, "right": 24, "top": 36, "bottom": 30},
        "title": {
            "text": f"{title} [{unit}]" if unit else title,
            "textStyle": {"fontSize": 14, "color": INK},
            "left": 8,
            "top": 4,
        },
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "axisLabel": {"color": QUIET}},
        "yAxis": {
            "type": "value",
            "scale": True,
            "axisLabel": {"color": QUIET},
            "splitLine": {"lineStyle": {"color": "#E3E7EA"}},
        },
        "animation": False,
        "series": [line, missing],
    }
