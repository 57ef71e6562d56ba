"""What the trace screens ask of the lineage: its own questions through one read-only connection, and where the raw data of a step are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from shinkei_trace.query import Answer, Step, UnitFound, backward, forward, history, nearest, resolve
from shinkei_trace.query.history import steps_of

if TYPE_CHECKING:
    from shinkei_ui.read.reader import Reader, Row

Direction = Literal["backward", "forward"]
UNITS_MOST = 20_000
"""A trace is followed so far on a screen; it says when there is more (`shinkei trace` has no such end)."""
MATCHES = 12

_NEWEST = "select id, kind, serial, item, finished from unit where kind = %s order by id desc limit %s"
_FRAMES = """
select s.epoch || '/' || s.machine || '/' || s.kind as stream, min(f.first) as first, max(f.first + f.n) - 1 as last, count(*) as frames
from frame f join stream s on s.id = f.stream_id
where s.machine = %s and s.kind in ('signals', 'history') and f.t1 >= %s and f.t0 <= %s group by 1 order by 2 limit 3"""
_ANOMALIES = """
select id, machine, finding, began, ended, peak, phase, body from anomaly
where machine = %s and began <= %s and coalesce(ended, began) >= %s order by began"""


def find(reader: Reader, text: str) -> tuple[list[UnitFound], list[UnitFound]]:
    """Units with exactly this number (several types may share it), else the nearest ones. Scanners and people forget capitals."""
    wanted = text.strip()
    if not wanted:
        return [], []
    with reader.connection() as conn:
        for spelling in dict.fromkeys((wanted, wanted.upper())):
            exact = resolve(conn, spelling)
            if exact:
                return exact, []
        near = {unit.id: unit for spelling in (wanted, wanted.upper()) for unit in nearest(conn, spelling, MATCHES)}
    return [], list(near.values())[:MATCHES]


def unit_of(reader: Reader, serial: str, type: str | None) -> UnitFound | None:
    """The unit of an address; without ``type`` the first one with that number."""
    with reader.connection() as conn:
        return next((unit for unit in resolve(conn, serial) if type is None or unit.type == type), None)


def newest(reader: Reader, type: str, most: int = 4) -> list[UnitFound]:
    """The units of a type seen last: something to begin with."""
    return [
        UnitFound(row["id"], row["kind"], row["serial"], row["item"], row["finished"])
        for row in reader.rows(_NEWEST, type, most)
    ]


def trace(reader: Reader, unit: UnitFound, way: Direction) -> Answer:
    """Where a unit came from, or what it went into, as known now, with the gaps the answer crosses."""
    with reader.connection() as conn:
        return (backward if way == "backward" else forward)(conn, unit, limit=UNITS_MOST)


def story(reader: Reader, unit: UnitFound, components: list[str]) -> list[Step]:
    """What happened to a unit, with what was mounted, and to its ``components`` (serial numbers) while they were parts of their own."""
    with reader.connection() as conn:
        own = history(conn, unit)
        known = {step.raw_number for step in own}
        parts = [
            one.id
            for serial in components
            for one in resolve(conn, serial)
            if one.type == "serial" and one.id != unit.id
        ]
        others = {step.raw_number: step for step in steps_of(conn, parts, 1 << 62) if step.raw_number not in known}
    return sorted([*own, *others.values()], key=lambda step: (step.time, step.raw_number))


def raw_numbers(reader: Reader, machine: str, begin: int, end: int) -> list[Row]:
    """Which numbers of a machine's streams hold what it measured from ``begin`` to ``end`` (ns): stream, first, last, frames."""
    return reader.rows(_FRAMES, machine, begin, end)


def anomalies_at(reader: Reader, machine: str, begin: int, end: int) -> list[Row]:
    """Anomalies at a machine that overlap ``begin … end`` (ns)."""
    return reader.rows(_ANOMALIES, machine, end, begin)


def parts_made(reader: Reader, machine: str, begin: datetime, end: datetime, most: int = 2_000) -> list[Row]:
    """Parts worked on at a machine in a span: serial, kind, item, started, ended, result."""
    return reader.rows("select * from parts_in_span(%s, %s, %s) order by ended limit %s", machine, begin, end, most)
