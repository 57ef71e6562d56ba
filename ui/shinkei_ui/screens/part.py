"""One part's page: what was done to it, what was measured against which limits, what was unusual around it, and its raw data."""

from __future__ import annotations

from typing import Any

import streamlit as st

from shinkei_trace.query import Answer, Step, UnitFound
from shinkei_ui.installed import installed
from shinkei_ui.parts import charts, formats, missing
from shinkei_ui.parts.tables import Cell, Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import characteristic_title, link_of, machine_title, signal_title, titles_of
from shinkei_ui.read import lineage
from shinkei_ui.visitor import words_of, zone_of

UNITS_SHOWN = 6
COMPONENTS_MOST = 12
STEPS_SHOWN = 300

found = installed()
words, zone, reader = words_of(found), zone_of(found), found.reader
titles = titles_of(found, words)


def main() -> None:
    """The page."""
    serial = st.query_params.get("unit", "")
    unit = lineage.unit_of(reader, serial, st.query_params.get("kind")) if serial else None
    if unit is None:
        note(words("trace.unknown", text=serial) if serial else words("part.which"))
        st.page_link("screens/lineage.py", label=words("part.search"))
        return
    made_of, went_into = lineage.trace(reader, unit, "backward"), lineage.trace(reader, unit, "forward")
    steps = lineage.story(reader, unit, _components(unit, made_of))
    _head(unit, [step for step in steps if step.unit == unit.serial])
    _measured(unit, steps)
    _missing(steps, made_of, went_into)
    _journey(unit, steps)
    left, right = st.columns(2)
    with left:
        _family(unit, made_of)
    with right:
        _family(unit, went_into)


def _components(unit: UnitFound, made_of: Answer) -> list[str]:
    """The parts it is made of: their story is its own (the housing before it became a pump)."""
    parts = [node.unit for node in made_of.nodes if node.type == "serial" and node.depth]
    return parts if unit.type == "serial" and len(parts) <= COMPONENTS_MOST else []


def _head(unit: UnitFound, own: list[Step]) -> None:
    st.header(unit.serial)
    last = own[-1] if own else None
    rejects = [step for step in own if step.result in {"fail", "scrap", "rework"}]
    product = next((step.product for step in reversed(own) if step.product), None)
    item = unit.item or product or ""
    facts: list[tuple[str, Value, str]] = [
        (words("trace.kind"), words.get(f"unit.{unit.type}", unit.type), ""),
        (words("trace.item"), titles.get(item, item or "–"), ""),
    ]
    if last is not None:
        facts += [
            (
                words("part.last"),
                f"{words.get(f'op.{last.op}', last.op)} · {machine_title(found, words, last.machine)}",
                "",
            ),
            (words("part.when"), formats.when(last.time, zone), ""),
            (
                words("part.result"),
                words.get(f"result.{last.result}", last.result),
                "bad" if last.result in {"fail", "scrap"} else "",
            ),
        ]
    if rejects:
        facts.append((words("part.rejects"), str(len(rejects)), "warn"))
    tags(facts)


def _measured(unit: UnitFound, steps: list[Step]) -> None:
    """Readings against the limits that held then, in the order in which they were taken."""
    rows = [_reading(unit, step, reading) for step in steps for reading in step.readings]
    st.subheader(words("part.readings", n=len(rows)))
    if not rows:
        note(words("part.no_readings"))
        return
    names = ("part", "machine", "what", "value", "unit", "low", "high", "verdict", "time")
    show([Column(words(f"part.column.{name}"), name in {"value", "low", "high"}) for name in names], rows, "readings")


def _reading(unit: UnitFound, step: Step, reading: dict[str, Any]) -> tuple[str, list[Value]]:
    verdict, level = _verdict(reading)
    return level, [
        _of(unit, step), machine_title(found, words, step.machine), characteristic_title(found, words, step.machine, reading["name"]), formats.number(reading["value"]), reading["unit"] or "",
        formats.number(reading["lsl"]), formats.number(reading["usl"]), Cell(verdict), formats.when(reading["time"] or step.time, zone),
    ]  # fmt: skip


def _verdict(reading: dict[str, Any]) -> tuple[str, str]:
    if reading["status"] & 0x80000000 or reading["value"] is None:
        return words("part.bad_value"), "warn"
    if reading["within"] is None:
        return "", ""
    return (f"✓ {words('part.inside')}", "") if reading["within"] else (f"✕ {words('part.outside')}", "bad")


def _of(unit: UnitFound, step: Step) -> Value:
    """Which of them: a component's own page is one click away."""
    return step.unit if step.unit == unit.serial else link_of(step.type, step.unit)


def _missing(steps: list[Step], made_of: Answer, went_into: Answer) -> None:
    """Gaps in the signals while it was worked on, and gaps in what machines told about it."""
    gaps = missing.crossed(reader, [(step.machine, step.started, step.time) for step in steps[:STEPS_SHOWN]])
    known = {gap["id"] for gap in gaps}
    lost = {gap.id: gap for gap in (*made_of.gaps, *went_into.gaps) if gap.id not in known}
    missing.show(gaps + missing.of_lineage(list(lost.values())), found, words, zone)


def _journey(unit: UnitFound, steps: list[Step]) -> None:
    st.subheader(words("part.journey", n=len(steps)))
    if not steps:
        note(words("part.no_steps"))
        return
    rows: list[tuple[str, list[Value]]] = []
    for step in steps[:STEPS_SHOWN]:
        what = words.get(f"op.{step.op}", step.op) + (f" ({step.slot})" if step.slot else "")
        level = (
            "bad"
            if step.result in {"fail", "scrap"}
            else "warn"
            if step.result == "rework" or step.unknown or step.corrected_by
            else ""
        )
        result = words.get(f"result.{step.result}", step.result) + (
            f" · {words('part.corrected')}" if step.corrected_by else ""
        )
        rows.append((
            level,
            [formats.when(step.started, zone), formats.lasting(step.time - step.started, words), _of(unit, step), machine_title(found, words, step.machine), what, result,
             _with(step), _used(step), _unusual(step), _raw(step)],
        ))  # fmt: skip
        if step.unknown:
            rows.append(("warn", ["", "", "", "", words("part.unknown"), ", ".join(step.unknown), "", "", "", ""]))
    names = ("started", "took", "part", "machine", "done", "result", "with", "used", "unusual", "raw")
    show([Column(words(f"part.column.{name}")) for name in names], rows, "journey")


def _with(step: Step) -> Value:
    others = {(each["type"], each["id"]) for each in (*step.inputs, *step.outputs) if each["id"] != step.unit}
    links: list[Link | Cell | str] = [link_of(type, serial) for type, serial in sorted(others)[:UNITS_SHOWN]]
    if len(others) > UNITS_SHOWN:
        links.append(words("part.others", n=len(others) - UNITS_SHOWN))
    if step.to:
        links.append(f"→ {step.to}")
    return links


def _used(step: Step) -> Value:
    """What the operation says it used, and what was mounted then; two candidates are both shown, with how likely each is."""
    claimed = set(step.resources.values())
    parts: list[Link | Cell | str] = [" · ".join(dict.fromkeys(step.resources.values()))] if claimed else []
    for each in step.mounted:
        if each["unit"] not in claimed:
            sure = "" if each["certainty"] >= 1 else f" ({each['certainty']:.0%})"
            parts.append(Link(f"{each['unit']}{sure}", "part", {"unit": each["unit"], "kind": each["type"]}))
    return parts


def _unusual(step: Step) -> Value:
    links: list[Link | Cell | str] = []
    for row in lineage.anomalies_at(reader, step.machine, step.started, step.time):
        first = (row["body"].get("signals") or [{}])[0].get("signal", row["finding"])
        links.append(Link(f"◆ {signal_title(found, words, step.machine, first)[0]}", "anomaly", {"id": row["id"]}))
    return links


def _raw(step: Step) -> Value:
    if step.slot is not None:
        return ""
    rows = lineage.raw_numbers(reader, step.machine, step.started, step.time)
    return [
        Link(f"{row['first']}–{row['last']}", "frame", {"stream": row["stream"], "number": str(row["first"])})
        for row in rows
    ]


def _family(unit: UnitFound, answer: Answer) -> None:
    way = answer.direction
    st.subheader(words(f"trace.{way}"))
    spec = charts.sankey(answer, words, titles)
    if spec is None:
        note(words(f"trace.nothing_{way}"))
        return
    with st.container(key=f"graph_{way}"):
        st.echarts_chart(
            spec,
            theme=None,
            height=charts.height_of(answer),
            alt=words("trace.alt", unit=unit.serial, n=len(answer.nodes) - 1),
            key=f"part.{way}",
        )
    st.page_link(
        "screens/lineage.py",
        label=words("part.as_table"),
        query_params={"unit": unit.serial, "kind": unit.type, "way": way},
    )


main()
