"""What the board asks: states, figures, open alarms. SQL over the store's views and functions; each number has one function."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shinkei_ui.states import level_of

if TYPE_CHECKING:
    from shinkei_ui.read.reader import Reader

STATES_NOW = "select machine, time, state, reason, product, tool from v_state_now"

TIMELINE = """
select m.machine, (to_ns(s.t0) / 1000000) as from_ms, (to_ns(s.t1) / 1000000) as to_ms, s.t1 >= p.upto as open, s.state, s.reason
from (select now() as upto) p, unnest(%s::text[]) as m(machine),
lateral machine_states(m.machine, p.upto - make_interval(hours => %s), p.upto) s
order by m.machine, s.t0"""

STATE_MINUTES = """
select m.machine, s.state, s.reason, sum(extract(epoch from s.t1 - s.t0)) as seconds, count(*) as times,
  sum(extract(epoch from s.t1 - s.t0)) / sum(sum(extract(epoch from s.t1 - s.t0))) over (partition by m.machine) as share
from (select now() as upto, now() - make_interval(hours => %s) as since) p, unnest(%s::text[]) with ordinality as m(machine, place),
lateral machine_states(m.machine, p.since, p.upto) s
group by m.place, m.machine, s.state, s.reason order by m.place, seconds desc"""

OPEN_ALARMS = "select * from v_open_alarm"

OPEN_ANOMALIES = """
select id, machine, revision, began, finding, body from anomaly where phase <> 'closed' and stream not like '%/history' order by began"""

GAPS = """
select g.* from unnest(%s::text[]) as m(machine), lateral gaps_between(m.machine, %s, %s) g order by g.t_from nulls last, g.recorded"""

_OEE = """
select m.machine, o.*, exists (select from event e where e.machine = m.machine and e.ts >= to_ns(p.since) and e.ts < to_ns(p.upto)
                               and e.op in ('process', 'assemble', 'inspect')) as makes
from (select %s::timestamptz as since, %s::timestamptz as upto) p, unnest(%s::text[]) with ordinality as m(machine, place),
lateral fn_oee(m.machine, p.since, p.upto) o order by m.place"""

_STOPS = """
select m.machine, s.state, s.reason, sum(extract(epoch from s.t1 - s.t0)) as seconds, count(*) as times
from unnest(%s::text[]) as m(machine), lateral machine_states(m.machine, %s, %s) s
group by 1, 2, 3 order by seconds desc"""

TOP_STOPS = 5


def figures(reader: Reader, machines: list[str], category: dict[str, str], end: datetime) -> dict[str, dict[str, Any]]:
    """The strip: ``oee``, ``parts``, ``stops``, ``shift`` from the begin of the shift that runs at ``end`` (now); of 8 hours between shifts."""
    shift = reader.row("select name, begins, ends from fn_shift(null, %s)", end)
    begin = shift["begins"] if shift else end - timedelta(hours=8)
    each = reader.rows(_OEE, begin, end, machines)
    stops = reader.rows(_STOPS, machines, begin, end)
    name = {"name": shift["name"] if shift else None}
    return {"oee": line_oee(each), "parts": line_parts(each), "stops": _stops(stops, category), "shift": name}


def line_oee(each: list[dict[str, Any]]) -> dict[str, Any]:
    """OEE of the line from `fn_oee` of its machines (ISO 22400-2): times add up, effectiveness is weighted by production time, quality is
    what passes all machines. None where a machine's part of it is not known to any of them.
    """
    planned, produced = _total(each, "planned_s"), _total(each, "production_s")
    rated = [row for row in each if row["effectiveness"] is not None]
    rated_s = _total(rated, "production_s")
    qualities = [row["quality"] for row in each if row["quality"] is not None]
    if not planned or not rated_s or not qualities:
        return {"oee": None}
    availability = produced / planned
    effectiveness = sum(row["effectiveness"] * row["production_s"] for row in rated) / rated_s
    quality = math.prod(qualities)
    return {
        "oee": availability * effectiveness * quality,
        "availability": availability,
        "effectiveness": effectiveness,
        "quality": quality,
    }


def line_parts(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Good parts at the last machine that makes or judges parts (packing counts boxes), rejects of all, the share right at every machine."""
    counted = [row for row in each if row["produced"] and row["makes"]]
    if not counted:
        return {"good": None, "bad": None, "fpy": None}
    good = counted[-1]["good"]
    return {
        "good": good,
        "bad": sum(row["produced"] - row["good"] for row in counted),
        "fpy": math.prod(row["quality"] for row in counted),
    }


def _total(rows: list[dict[str, Any]], name: str) -> float:
    return float(sum(row[name] or 0 for row in rows))


def _stops(rows: list[dict[str, Any]], category: dict[str, str]) -> dict[str, Any]:
    """Minutes in which machines stood still and needed a hand, and the worst reasons."""
    bad = [row for row in rows if level_of(row["state"], category.get(row["reason"] or "")) in {"act", "fault"}]
    top = [
        [row["machine"], row["state"], row["reason"], round(float(row["seconds"]) / 60, 1), row["times"]]
        for row in bad[:TOP_STOPS]
    ]
    return {"minutes": round(float(sum(row["seconds"] for row in bad)) / 60, 1), "top": top}
