"""Backward – where a unit came from – and forward – what became of it. One query a level, certainty and time carried along."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from shinkei_trace.planner import one_view
from shinkei_trace.query.answer import Answer, Direction, Link, Node
from shinkei_trace.query.find import UnitFound
from shinkei_trace.query.gaps import End, gaps_crossed
from shinkei_trace.query.history import steps_of
from shinkei_trace.query.walk import ENDLESS, Label, Neighbour, Walk, walk

NOT_WORK = ["mounted", "unmounted", "receive", "ship", "scrap", "move", "restore", "relabel"]
"""Operations that use nothing of what is mounted."""
LEAST_TOLERANCE_NS = 1_000_000_000

_EDGES = """
select e.src, e.dst, e.t_from, e.t_to, e.ev, e.kind, e.certainty, u.kind, u.serial, u.item, u.finished, {reverse}
from edge e join unit u on u.id = e.{far} where e.{near} = any(%(units)s) and {believed} {more}"""
_BELIEVED_NOW = "{row}.rec_to is null"
_BELIEVED_THEN = "{row}.rec_from <= %(as_of)s and ({row}.rec_to is null or {row}.rec_to > %(as_of)s)"
_STANDS = """e.raw_number <= %(as_of)s and not exists (select from seen c where c.corrects = e.eid and c.raw_number <= %(as_of)s)"""
_WORK = """
  select e.eid, e.unit, e.ts, e.started, e.machine from event e join unit w on w.id = e.unit
  where {which} and e.role <> 'input' and e.op <> all(%(not_work)s) and w.kind in ('serial', 'lot') and {stands} offset 0"""
_SETUP = "select s.unit, s.machine, s.t_from, s.t_to, s.certainty from setup s where {which} and {believed} offset 0"
_OVERLAP_OF_SETUP = "e.machine = s.machine and e.ts > s.t_from and (s.t_to is null or e.started < s.t_to)"
_OVERLAP_OF_WORK = "s.machine = e.machine and s.t_from < e.ts and (s.t_to is null or s.t_to > e.started)"
_MOUNTED = """
select s.unit, e.unit, e.ts, null::bigint, e.eid, 'mounted', s.certainty, u.kind, u.serial, u.item, u.finished, false
from ({first}) {a} cross join lateral ({then}) {b} join unit u on u.id = {far}
where not exists (select from event x where x.unit = s.unit and x.machine = s.machine and x.role = 'input')"""
_LAST = """
select distinct on (e.unit) e.unit, min(e.started) over (partition by e.unit), e.ts, e.machine, e.op, e.result,
  bool_or(e.role = 'output') over (partition by e.unit), bool_or(e.op = 'scrap') over (partition by e.unit)
from event e where e.unit = any(%(units)s) and e.op not in ('mounted', 'unmounted') and {stands} order by e.unit, e.ts desc, e.eid desc"""
_SKEW = "select coalesce(max(abs(skew)), 0) from clock_skew where not within"


def backward(
    conn: Connection[Any], unit: UnitFound, as_of: int | None = None, *, readings: bool = False, limit: int = 200_000
) -> Answer:
    """Everything that is in ``unit``, and the tools and programs that worked on it. ``readings``: with the history of every part."""
    with one_view(conn):
        return _trace(conn, unit, "backward", as_of, limit, readings)


def forward(
    conn: Connection[Any], unit: UnitFound, as_of: int | None = None, *, readings: bool = False, limit: int = 200_000
) -> Answer:
    """Everything that ``unit`` went into, up to shipments; of a tool or program: every part it worked on, and on."""
    with one_view(conn):
        return _trace(conn, unit, "forward", as_of, limit, readings)


def _trace(
    conn: Connection[Any], unit: UnitFound, direction: Direction, as_of: int | None, limit: int, readings: bool
) -> Answer:
    position = conn.execute("select number from trace_position").fetchone()
    stands_at = as_of if as_of is not None else int(position[0]) if position else 0
    given: dict[str, Any] = {"as_of": stands_at, "not_work": NOT_WORK}
    onward = direction == "forward"
    skew = conn.execute(_SKEW).fetchone()
    tolerance = max(LEAST_TOLERANCE_NS, int(skew[0]) if skew else 0)
    query = _query(onward, now=as_of is None)

    def fetch(units: list[int]) -> list[Neighbour]:
        rows = conn.execute(query.encode(), given | {"units": units}).fetchall()
        return [Neighbour._make((*row[:4], row[4].hex, *row[5:])) for row in rows]

    start = {unit.id: Label(0, 1.0, -ENDLESS, ENDLESS, None, None, unit.type, unit.serial, unit.item, unit.finished)}
    found = walk(start, fetch, forward=onward, tolerance=tolerance, limit=limit)
    nodes, ends = _nodes(conn, found, given, onward)
    gaps = gaps_crossed(conn, list(found.labels), ends, onward)
    steps = steps_of(conn, list(found.labels), stands_at) if readings else []
    return Answer(unit=unit.serial, type=unit.type, direction=direction, as_of=stands_at, nodes=nodes, links=_links(found), gaps=gaps, steps=steps,
                  truncated=found.truncated)  # fmt: skip


def _query(onward: bool, now: bool) -> str:
    believed = _BELIEVED_NOW if now else _BELIEVED_THEN
    near, far = ("src", "dst") if onward else ("dst", "src")
    straight = _EDGES.format(near=near, far=far, reverse="false", believed=believed.format(row="e"), more="")
    other_name = _EDGES.format(
        near=far, far=near, reverse="true", believed=believed.format(row="e"), more="and e.kind = 'relabelled'"
    )
    holds = believed.format(row="s")
    if onward:  # from what is mounted to the work in that time
        setup = _SETUP.format(which="s.unit = any(%(units)s)", believed=holds)
        work = _WORK.format(which=_OVERLAP_OF_SETUP, stands=_STANDS)
        mounted = _MOUNTED.format(first=setup, a="s", then=work, b="e", far="e.unit")
    else:
        work = _WORK.format(which="e.unit = any(%(units)s)", stands=_STANDS)
        setup = _SETUP.format(which=_OVERLAP_OF_WORK, believed=holds)
        mounted = _MOUNTED.format(first=work, a="e", then=setup, b="s", far="s.unit")
    return f"{straight} union all {other_name} union all {mounted}"


def _nodes(conn: Connection[Any], found: Walk, given: dict[str, Any], onward: bool) -> tuple[list[Node], list[End]]:
    last = {
        row[0]: row[1:]
        for row in conn.execute(_LAST.format(stands=_STANDS).encode(), given | {"units": list(found.labels)}).fetchall()
    }
    leading = {
        edge.src if onward else edge.dst
        for edge in found.followed.values()
        if edge.kind != "mounted" and not edge.reverse
    }
    nodes, ends = [], []
    for id, label in found.labels.items():
        first, ts, machine, op, result, born, scrapped = last.get(id, (None, None, None, None, None, False, False))
        open_end = label.type == "serial" and id not in leading and not scrapped and not (born and not onward)
        if open_end and machine is not None:
            ends.append(End(machine, first if not onward else ts))
        by = label.by
        via = found.labels[label.via] if label.via is not None else None
        nodes.append(
            Node(
                unit=label.serial, type=label.type, item=label.item, depth=label.depth, certainty=label.certainty, relation=by.kind if by else None,
                via=via.serial if via else None, via_type=via.type if via else None, t_from=by.t_from if by else None, t_to=by.t_to if by else None,
                eid=by.eid if by else None, finished=label.finished, first=first, last=ts, machine=machine, op=op, result=result, open_end=open_end,
            )
        )  # fmt: skip
    return sorted(nodes, key=lambda node: (node.depth, node.type, node.unit)), ends


def _links(found: Walk) -> list[Link]:
    labels = found.labels
    return [
        Link(source=labels[e.src].serial, source_type=labels[e.src].type, target=labels[e.dst].serial, target_type=labels[e.dst].type, kind=e.kind,
             t_from=e.t_from, t_to=e.t_to, eid=e.eid, certainty=e.certainty)
        for e in found.followed.values()
    ]  # fmt: skip
