"""Specs for `st.echarts_chart`: pure functions from values to the option object. Every chart has a table beside it and an ``alt``."""

from __future__ import annotations

from collections import Counter
from typing import Any

from shinkei_trace.query import Answer, Node
from shinkei_ui.words import Words

INK, QUIET, LINE, ACT, FAULT = "#1B2126", "#47525B", "#0B4F96", "#D97700", "#C8102E"
FONT = "Noto Sans JP, Noto Sans CJK JP, Hiragino Sans, Yu Gothic UI, Meiryo, Segoe UI, Noto Sans, sans-serif"
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
NARROWEST = 1220
"""Pixels of a chart on a screen 1280 wide."""


def sankey(answer: Answer, words: Words, titles: dict[str, str]) -> dict[str, Any] | None:
    """Where a unit came from or went, in layers; None when there is nothing but the unit itself.

    Up to `NAMED_MOST` units each has a band of its own; above, units of one layer, type and item are one band that says how many.
    Tools and programs are in the table only. So are edges that do not lead further from the start: a Sankey has no circles.
    """
    nodes = {(node.type, node.unit): node for node in answer.nodes if node.type in KINDS}
    if len(nodes) < 2:
        return None
    grouped = len(nodes) > NAMED_MOST
    members: Counter[str] = Counter()
    look: dict[str, Node] = {}
    name: dict[tuple[str, str], str] = {}
    for key, node in nodes.items():
        alone = not grouped or node.depth == 0
        name[key] = label = (
            f"{node.unit}{APART}{node.type}" if alone else f"{_what(node, words, titles)}{APART}{node.depth}"
        )
        members[label] += 1
        look.setdefault(label, node)
    flows: Counter[tuple[str, str]] = Counter()
    for link in answer.links:
        source, target = (link.source_type, link.source), (link.target_type, link.target)
        near, far = (target, source) if answer.direction == "backward" else (source, target)
        if near in nodes and far in nodes and nodes[far].depth > nodes[near].depth:
            flows[name[source], name[target]] += 1
    bands = [
        {
            "name": label,
            "itemStyle": {"color": INK if node.depth == 0 else KINDS[node.type]},
            "label": {"formatter": label.split(APART)[0] + (f" ×{members[label]:,}" if members[label] > 1 else "")},
        }
        for label, node in look.items()
    ]
    links = [{"source": source, "target": target, "value": value} for (source, target), value in flows.items()]
    layout = {
        "nodeAlign": "right" if answer.direction == "backward" else "left",
        "nodeGap": 18 if grouped else 8,
        "label": _LABEL | {"width": _label_width(len({node.depth for node in nodes.values()}))},
    }
    return {
        "tooltip": {"trigger": "item", "formatter": "{b}"},
        "series": [_SANKEY | layout | {"data": bands, "links": links}],
    }


def _label_width(layers: int) -> int:
    """Pixels that a name has before the next layer's, on the narrowest screen; a longer name is broken into lines."""
    left, right, band = (int(_SANKEY[name]) for name in ("left", "right", "nodeWidth"))
    return max(70, (NARROWEST - left - right) // max(1, layers - 1) - band - 10)


_SANKEY: dict[str, Any] = {
    "type": "sankey", "nodeWidth": 16, "left": 8, "right": 190, "top": 10, "bottom": 10, "draggable": False,
    "emphasis": {"focus": "adjacency"}, "lineStyle": {"color": "#A9B4BC", "opacity": 0.55, "curveness": 0.5},
}  # fmt: skip
_LABEL: dict[str, Any] = {"color": INK, "fontSize": 13, "lineHeight": 15, "fontFamily": FONT, "overflow": "break"}


def _what(node: Node, words: Words, titles: dict[str, str]) -> str:
    return titles.get(node.item or "", node.item) or words(f"unit.{node.type}")


def height_of(answer: Answer) -> int:
    """Pixels for the layers' widest one."""
    depths = Counter(node.depth for node in answer.nodes if node.type in KINDS)
    widest = max(depths.values()) if sum(depths.values()) <= NAMED_MOST else 8
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
        "textStyle": {"fontFamily": FONT},
        "grid": {"left": 60, "right": 24, "top": 36, "bottom": 28},
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
