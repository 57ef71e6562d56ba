"""The gaps that a trace crosses: what a machine may have told and nobody has, at a time that matters for the answer.

A gap matters when it lies within the time in which a machine worked on traced units – up to the neighbouring operations, since the missing
one may be the first or the last – or beyond an open end, at the machines next in line, where the step that is not there may be lost.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from psycopg import Connection

from shinkei_trace.query.answer import GapCrossed
from shinkei_trace.query.walk import ENDLESS

_SPANS = """
with own as (select machine, min(started) as low, max(ts) as high from event where unit = any(%s) and op not in ('mounted', 'unmounted') group by machine)
select o.machine,
  coalesce((select e.ts from event e where e.machine = o.machine and e.ts < o.low order by e.ts desc limit 1), -%s::bigint),
  coalesce((select e.ts from event e where e.machine = o.machine and e.ts > o.high order by e.ts limit 1), %s::bigint)
from own o"""
_GAPS = """
with timed as (
  select g.*,
    coalesce(g.t_from, (select r.time from event_raw r where r.stream_id = s.id and r.stream_number < g.begin_number order by r.stream_number desc limit 1)) as low,
    coalesce(g.t_to, (select r.time from event_raw r where r.stream_id = s.id and r.stream_number >= g.end_number order by r.stream_number limit 1)) as high
  from gap g left join stream s on s.epoch || '/' || s.machine || '/' || s.kind = g.of_stream
  where g.machine = any(%s) and g.kind in ('production', 'history'))
select id, machine, of_stream, cause, low, high, begin_number, end_number, at_least, possible, detail from timed order by low nulls first, id"""
_LINE = "select machine, upstream from v_machine"


class End(NamedTuple):
    """A trace ends here for want of a further event: the machine, and the time (ns) after or before which it is missing."""

    machine: str
    time: int


def gaps_crossed(conn: Connection[Any], units: list[int], ends: list[End], onward: bool) -> list[GapCrossed]:
    """Gaps within the work on ``units``, and beyond the open ``ends``; one row each, ``within`` before ``beyond``."""
    within = {row[0]: (row[1], row[2]) for row in conn.execute(_SPANS, (units, ENDLESS, ENDLESS)).fetchall()}
    beyond = _beyond(conn, ends, onward)
    machines = sorted(within.keys() | beyond.keys())
    crossed = []
    for id, machine, stream, cause, low, high, begin, end, at_least, possible, detail in (
        conn.execute(_GAPS, (machines,)).fetchall() if machines else ()
    ):
        begins, finishes = -ENDLESS if low is None else low, ENDLESS if high is None else high
        why = (
            "within"
            if _meets(within.get(machine), begins, finishes)
            else "beyond"
            if _meets(beyond.get(machine), begins, finishes)
            else None
        )
        if why is not None:
            crossed.append(
                GapCrossed(id=id, machine=machine, stream=stream, cause=cause, t_from=low, t_to=high, begin=begin, end=end, at_least=at_least,
                           possible=possible, detail=detail, why="within" if why == "within" else "beyond")
            )  # fmt: skip
    return crossed


def _beyond(conn: Connection[Any], ends: list[End], onward: bool) -> dict[str, tuple[int, int]]:
    """For each machine at which a missing step may have been: the time in which."""
    if not ends:
        return {}
    upstream = {row[0]: list(row[1]) for row in conn.execute(_LINE).fetchall()}
    downstream: dict[str, list[str]] = defaultdict(list)
    for machine, before in upstream.items():
        for one in before:
            downstream[one].append(machine)
    next_to = downstream if onward else upstream
    spans: dict[str, tuple[int, int]] = {}
    for end in ends:
        for machine in {end.machine, *next_to.get(end.machine, ())}:
            low, high = (end.time, ENDLESS) if onward else (-ENDLESS, end.time)
            known = spans.get(machine, (low, high))
            spans[machine] = (min(known[0], low), max(known[1], high))
    return spans


def _meets(span: tuple[int, int] | None, low: int, high: int) -> bool:
    return span is not None and low <= span[1] and high >= span[0]
