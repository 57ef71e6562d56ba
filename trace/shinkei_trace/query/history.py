"""A unit's own history: every event with its readings against the limits that held then, its resources, and where the evidence is."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Any

import msgspec
from psycopg import Connection

from shinkei_events.codec import decode
from shinkei_events.model.machine import SetupChanged
from shinkei_events.model.operation import Operation
from shinkei_trace.planner import one_view
from shinkei_trace.query.answer import Step
from shinkei_trace.query.find import UnitFound

_EVENTS = """
select u.serial, u.kind, e.eid, e.ts, e.started, e.role, e.machine, e.op, e.result, e.product, e.raw_number, e.slot, r.type, r.body,
  (select min(c.eid::text) from seen c where c.corrects = e.eid and c.raw_number <= %(as_of)s)
from event e join unit u on u.id = e.unit join event_raw r on r.number = e.raw_number
where e.unit = any(%(units)s) and e.raw_number <= %(as_of)s order by e.ts, e.eid, u.serial"""
_MOUNTED = """
select s.slot, u.kind, u.serial, s.certainty from setup s join unit u on u.id = s.unit
where s.machine = %s and s.t_from < %s and (s.t_to is null or s.t_to > %s) and s.rec_from <= %s and (s.rec_to is null or s.rec_to > %s)
order by s.slot, s.t_from"""
_LIMITS = """
select product, operation, characteristic, valid_from, lsl, target, usl, unit from v_characteristic order by valid_from, version"""
_OPERATIONS = "select machine, coalesce(operation, machine) from v_machine"

Limits = dict[tuple[str, str, str], list[tuple[int, dict[str, Any]]]]


def history(conn: Connection[Any], unit: UnitFound, as_of: int | None = None) -> list[Step]:
    """What happened to ``unit``, oldest first, as known at ``as_of``; corrected events among it, marked. With what was mounted."""
    at = as_of if as_of is not None else 1 << 62
    with one_view(conn):
        steps = steps_of(conn, [unit.id], at)
        mounted: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
        for key in {(step.machine, step.time, step.started) for step in steps if step.slot is None}:
            rows = conn.execute(_MOUNTED, (*key, at, at)).fetchall()
            mounted[key] = [
                {"slot": slot, "type": kind, "unit": serial, "certainty": sure} for slot, kind, serial, sure in rows
            ]
    return [
        msgspec.structs.replace(step, mounted=mounted.get((step.machine, step.time, step.started), []))
        for step in steps
    ]


def steps_of(conn: Connection[Any], units: list[int], as_of: int) -> list[Step]:
    """The events of many units, by time, without what was mounted."""
    rows = conn.execute(_EVENTS, {"units": units, "as_of": as_of}).fetchall()
    if not rows:
        return []
    limits: Limits = defaultdict(list)
    for product, operation, characteristic, valid_from, lsl, target, usl, unit in conn.execute(_LIMITS).fetchall():
        limits[product, operation, characteristic].append(
            (valid_from, {"lsl": lsl, "target": target, "usl": usl, "unit": unit})
        )
    operations = dict(conn.execute(_OPERATIONS).fetchall())
    return [_step(row, limits, operations) for row in rows]


def _step(row: tuple[Any, ...], limits: Limits, operations: dict[str, str]) -> Step:
    serial, kind, eid, ts, started, role, machine, op, result, product, number, slot, type, body, corrected = row
    event: Operation | SetupChanged = decode(type, bytes(body))
    more: dict[str, Any] = {}
    if isinstance(event, Operation):
        more = {
            "order": event.order, "to": event.to, "inputs": msgspec.to_builtins(event.inputs), "outputs": msgspec.to_builtins(event.outputs),
            "parameters": msgspec.to_builtins(event.parameters), "resources": {k: v for k, v in msgspec.to_builtins(event.resources).items() if v},
            "readings": _readings(event, operations.get(machine, machine), limits), "unknown": list(event.unknown),
        }  # fmt: skip
    signals = event.stream if event.stream.kind == "history" else event.stream.sibling("signals")
    return Step(
        unit=serial, type=kind, time=ts, started=started, machine=machine, op=op, role=role, result=result, product=product, eid=eid.hex,
        raw_number=number, slot=slot, stream=str(event.stream), number=event.number, signals_stream=str(signals), signals=event.signals,
        corrected_by=corrected.replace("-", "") if corrected else None, **more,
    )  # fmt: skip


def _readings(event: Operation, operation: str, limits: Limits) -> list[dict[str, Any]]:
    judged = []
    for reading in event.readings:
        versions = limits.get((event.product or "", operation, reading.name), [])
        at = bisect_right([valid_from for valid_from, _ in versions], event.ended)
        limit = versions[at - 1][1] if at else {"lsl": None, "target": None, "usl": None, "unit": None}
        within = _within(reading.value, reading.status, limit)
        found = {
            "name": reading.name,
            "value": reading.value,
            "unit": reading.unit or limit["unit"],
            "status": reading.status,
            "time": reading.time,
        }
        judged.append(found | {key: limit[key] for key in ("lsl", "target", "usl")} | {"within": within})
    return judged


def _within(value: object, status: int, limit: dict[str, Any]) -> bool | None:
    """None: no limits, no number, or a bad value, which is judged by nobody."""
    low, high = limit["lsl"], limit["usl"]
    if (
        (low is None and high is None)
        or isinstance(value, bool)
        or not isinstance(value, int | float)
        or status & 0x80000000
    ):
        return None
    return (low is None or value >= low) and (high is None or value <= high)
