"""One part's page: what was done to it, what was measured against which limits, what was unusual around it, and its raw data."""

from __future__ import annotations

import streamlit as st

from shinkei_events.model.frame import Value as Measured
from shinkei_ui.installed import installed
from shinkei_ui.parts import charts, formats, missing
from shinkei_ui.parts.tables import Cell, Column, Link, Value, note, show, tags
from shinkei_ui.parts.units import link_of, machine_title, signal_title, titles_of
from shinkei_ui.read import lineage
from shinkei_ui.read.lineage import Graph, Step, Unit
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
    made_of, went_into = lineage.graph(reader, unit, "backward"), lineage.graph(reader, unit, "forward")
    own = lineage.steps(reader, unit)
    story = [(unit, step) for step in own] + _components(made_of, {step.number for step in own})
    story.sort(key=lambda told: (told[1].time, told[1].number))
    _head(unit, own)
    _measured(unit, story)
    gaps = missing.crossed(reader, [(step.machine, step.started, step.time) for _, step in story])
    missing.show(gaps, words, zone)
    _journey(unit, story)
    left, right = st.columns(2)
    with left:
        _family(unit, made_of)
    with right:
        _family(unit, went_into)


def _components(made_of: Graph, known: set[int]) -> list[tuple[Unit, Step]]:
    """What was done to the parts it is made of, while they were parts of their own (the housing before it became a pump)."""
    parts = [
        made_of.units[each]
        for each in made_of.depth
        if made_of.units[each].kind == "serial" and each != made_of.start.id
    ]
    if made_of.start.kind != "serial" or len(parts) > COMPONENTS_MOST:
        return []
    found: dict[int, tuple[Unit, Step]] = {}
    for part in parts:
        for step in lineage.steps(reader, part):
            if step.number not in known:
                found.setdefault(step.number, (part, step))
    return list(found.values())


def _head(unit: Unit, steps: list[Step]) -> None:
    st.header(f"{unit.serial}")
    last = steps[-1] if steps else None
    results = [step.result for step in steps if step.result in {"fail", "scrap", "rework"}]
    product = next(
        (step.operation.product for step in reversed(steps) if step.operation and step.operation.product), unit.item
    )
    facts: list[tuple[str, Value, str]] = [
        (words("trace.kind"), words(f"unit.{unit.kind}"), ""),
        (words("trace.item"), titles.get(unit.item or "", unit.item or titles.get(product or "", product or "–")), ""),
    ]
    if last is not None:
        facts.append(
            (
                words("part.last"),
                f"{words.get(f'op.{last.kind}', last.kind)} · {machine_title(found, words, last.machine)}",
                "",
            )
        )
        facts.append((words("part.when"), formats.when(last.time, zone), ""))
        facts.append(
            (
                words("part.result"),
                words.get(f"result.{last.result}", last.result),
                "bad" if last.result in {"fail", "scrap"} else "",
            )
        )
    if results:
        facts.append((words("part.rejects"), str(len(results)), "warn"))
    tags(facts)


def _measured(unit: Unit, story: list[tuple[Unit, Step]]) -> None:
    """Readings against the limits that held then, in the order in which they were taken."""
    rows: list[tuple[str, list[Value]]] = []
    for part, step in story:
        operation = step.operation
        if operation is None or not operation.readings:
            continue
        limits = lineage.limits(reader, operation.product, step.time) if operation.product else {}
        for reading in operation.readings:
            limit = limits.get((operation.station, reading.name), {})
            verdict, level = _judge(reading.value, reading.status, limit.get("lsl"), limit.get("usl"))
            rows.append((
                level,
                [_of(unit, part), machine_title(found, words, step.machine), reading.name.replace("_", " "), formats.number(reading.value), reading.unit or limit.get("unit") or "",
                 formats.number(limit.get("lsl")), formats.number(limit.get("usl")), Cell(verdict), formats.when(reading.time or step.time, zone)],
            ))  # fmt: skip
    st.subheader(words("part.readings", n=len(rows)))
    if not rows:
        note(words("part.no_readings"))
        return
    names = ("part", "machine", "what", "value", "unit", "low", "high", "verdict", "time")
    show([Column(words(f"part.column.{name}"), name in {"value", "low", "high"}) for name in names], rows, "readings")


def _of(unit: Unit, part: Unit) -> Value:
    """Which of them: the component's own page is one click away."""
    return part.serial if part.id == unit.id else link_of(part)


def _judge(value: Measured, status: int, low: float | None, high: float | None) -> tuple[str, str]:
    if status & 0xC0000000 or value is None:
        return words("part.bad_value"), "warn"
    if not isinstance(value, int | float) or isinstance(value, bool) or (low is None and high is None):
        return "", ""
    if (low is not None and value < low) or (high is not None and value > high):
        return f"✕ {words('part.outside')}", "bad"
    return f"✓ {words('part.inside')}", ""


def _journey(unit: Unit, story: list[tuple[Unit, Step]]) -> None:
    st.subheader(words("part.journey", n=len(story)))
    if not story:
        note(words("part.no_steps"))
        return
    rows: list[tuple[str, list[Value]]] = []
    for part, step in story[:STEPS_SHOWN]:
        operation = step.operation
        what = words.get(f"op.{step.kind}", step.kind) + (f" ({step.slot})" if step.slot else "")
        level = "bad" if step.result in {"fail", "scrap"} else "warn" if step.result == "rework" else ""
        rows.append((
            level,
            [formats.when(step.started, zone), formats.lasting(step.time - step.started, words), _of(unit, part), machine_title(found, words, step.machine), what,
             words.get(f"result.{step.result}", step.result), _with(part, step), _used(step), _unusual(step), _raw(step)],
        ))  # fmt: skip
        if operation is not None and operation.unknown:
            rows.append(("warn", ["", "", "", "", words("part.unknown"), ", ".join(operation.unknown), "", "", "", ""]))
    names = ("started", "took", "part", "machine", "done", "result", "with", "used", "unusual", "raw")
    show([Column(words(f"part.column.{name}")) for name in names], rows, "journey")


def _with(unit: Unit, step: Step) -> Value:
    if step.operation is None:
        return ""
    others = [each for each in (*step.operation.inputs, *step.operation.outputs) if each.id != unit.serial]
    unique = list({(each.type, each.id): each for each in others}.values())
    links: list[Link | Cell | str] = [
        Link(each.id, "part", {"unit": each.id, "kind": each.type}) for each in unique[:UNITS_SHOWN]
    ]
    if len(unique) > UNITS_SHOWN:
        links.append(words("part.others", n=len(unique) - UNITS_SHOWN))
    if step.operation.to:
        links.append(f"→ {step.operation.to}")
    return links


def _used(step: Step) -> str:
    if step.operation is None:
        return ""
    used = step.operation.resources
    return " · ".join(
        name for name in (used.tool, used.program or used.recipe, used.fixture, used.operator_group) if name
    )


def _unusual(step: Step) -> Value:
    links: list[Link | Cell | str] = []
    for row in lineage.anomalies_at(reader, step.machine, step.started, step.time):
        first = (row["body"].get("signals") or [{}])[0].get("signal", row["finding"])
        links.append(Link(f"◆ {signal_title(found, words, step.machine, first)[0]}", "anomaly", {"id": row["id"]}))
    return links


def _raw(step: Step) -> Value:
    if step.operation is None:
        return ""
    rows = lineage.raw_numbers(reader, step.machine, step.started, step.time)
    return [
        Link(f"{row['first']}–{row['last']}", "frame", {"stream": row["stream"], "number": str(row["first"])})
        for row in rows
    ]


def _family(unit: Unit, graph: Graph) -> None:
    way = graph.direction
    st.subheader(words(f"trace.{way}"))
    spec = charts.sankey(graph, words, titles)
    if spec is None:
        note(words("trace.nothing_backward" if way == "backward" else "trace.nothing_forward"))
        return
    with st.container(key=f"graph_{way}"):
        st.echarts_chart(
            spec,
            height=charts.height_of(graph),
            alt=words("trace.alt", unit=unit.serial, n=len(graph.depth) - 1),
            key=f"part.{way}",
        )
    st.page_link(
        "screens/lineage.py",
        label=words("part.as_table"),
        query_params={"unit": unit.serial, "kind": unit.kind, "way": way},
    )


main()
