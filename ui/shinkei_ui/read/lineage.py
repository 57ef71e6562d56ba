"""What the trace screens ask: units by their number, where they came from and went, what was done to them, what is not known.

Operations come from the record as they were received (`event_raw`), so readings and resources are those of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from shinkei_events.codec import decode
from shinkei_events.errors import BadInput
from shinkei_events.model.operation import Operation

if TYPE_CHECKING:
    from shinkei_ui.read.reader import Reader, Row

Direction = Literal["backward", "forward"]
NODES_MOST = 3_000
"""More is not drawn (3 000 nodes: 0.9 s in the browser); the answer says that it was cut."""
MATCHES = 12

_EXACT = "select id, serial, kind, item, finished from unit where serial = %s order by ns"
_PREFIX = "select id, serial, kind, item, finished from unit where serial like %s order by serial limit %s"
_INSIDE = "select id, serial, kind, item, finished from unit where serial ilike %s order by id desc limit %s"
_UNITS = "select id, serial, kind, item, finished from unit where id = any(%s)"
_BACK = "select src, dst, kind, qty, certainty, t_from, t_to from edge where dst = any(%s) and rec_to is null"
_ON = "select src, dst, kind, qty, certainty, t_from, t_to from edge where src = any(%s) and rec_to is null"
_EVENTS = """
select e.ts, e.started, e.machine, e.op, e.result, e.role, e.raw_number, e.slot, r.type, r.body
from event e join event_raw r on r.number = e.raw_number where e.unit = %s order by e.ts, e.raw_number limit %s"""
_FRAMES = """
select s.epoch || '/' || s.machine || '/' || s.kind as stream, min(f.first) as first, max(f.first + f.n) - 1 as last, count(*) as frames
from frame f join stream s on s.id = f.stream_id
where s.machine = %s and s.kind in ('signals', 'history') and f.t1 >= %s and f.t0 <= %s group by 1 order by 2 limit 3"""
_LIMITS = """
select distinct on (operation, characteristic) operation, characteristic, unit, lsl, target, usl, version from v_characteristic
where product = %s and valid_from <= %s order by operation, characteristic, version desc"""
_EXAMPLES = "select id, serial, kind, item, finished from unit where kind = %s order by id desc limit %s"


class Unit(NamedTuple):
    """A part, lot, container or shipment. ``id`` is the database's own and never leaves it: addresses carry ``kind`` and ``serial``."""

    id: int
    serial: str
    kind: str
    item: str | None
    finished: bool


class Edge(NamedTuple):
    """``src`` went into ``dst`` from ``begin`` (until ``end``, when it came out again); times ns UTC."""

    src: int
    dst: int
    kind: str
    qty: float
    certainty: float
    begin: int
    end: int | None


@dataclass
class Graph:
    """What was reached from ``start``; ``depth`` of each unit; ``cut``: there is more than `NODES_MOST`."""

    start: Unit
    direction: Direction
    units: dict[int, Unit] = field(default_factory=dict)
    depth: dict[int, int] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    cut: bool = False


class Step(NamedTuple):
    """One thing that was done to a unit. ``operation`` is None for a setup change, and when the record cannot be read."""

    time: int
    started: int
    machine: str
    kind: str
    result: str
    role: str
    slot: str | None
    number: int
    operation: Operation | None


def find(reader: Reader, text: str) -> tuple[list[Unit], list[Unit]]:
    """Units with exactly this number (several kinds may share it), else the nearest ones: same beginning, then containing it."""
    wanted = text.strip()
    if not wanted:
        return [], []
    for spelling in dict.fromkeys((wanted, wanted.upper())):
        exact = _units(reader.rows(_EXACT, spelling))
        if exact:
            return exact, []
    near: dict[int, Unit] = {}
    escaped = wanted.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    for length in range(len(escaped), max(2, len(escaped) // 2), -2):
        near |= {
            unit.id: unit for unit in _units(reader.rows(_PREFIX, escaped[:length].upper().rstrip("\\") + "%", MATCHES))
        }
        if len(near) >= MATCHES:
            break
    if len(near) < MATCHES:
        near |= {unit.id: unit for unit in _units(reader.rows(_INSIDE, f"%{escaped}%", MATCHES))}
    return [], list(near.values())[:MATCHES]


def unit_of(reader: Reader, serial: str, kind: str | None) -> Unit | None:
    """The unit of an address; without ``kind`` the first one with that number."""
    found = _units(reader.rows(_EXACT, serial))
    return next((unit for unit in found if kind is None or unit.kind == kind), None)


def newest(reader: Reader, kind: str, most: int = 4) -> list[Unit]:
    """The units of a kind seen last: something to begin with."""
    return _units(reader.rows(_EXAMPLES, kind, most))


def graph(reader: Reader, start: Unit, direction: Direction, most: int = NODES_MOST) -> Graph:
    """Everything ``start`` was made of (backward), or went into (forward), as believed now. One query a level."""
    found = Graph(start, direction, {start.id: start}, {start.id: 0})
    frontier, depth = [start.id], 0
    while frontier and not found.cut:
        depth += 1
        fresh: list[int] = []
        for row in reader.rows(_BACK if direction == "backward" else _ON, frontier):
            edge = Edge(row["src"], row["dst"], row["kind"], row["qty"], row["certainty"], row["t_from"], row["t_to"])
            other = edge.src if direction == "backward" else edge.dst
            if edge.kind == "removed":
                continue
            if other not in found.depth:
                if len(found.depth) >= most:
                    found.cut = True
                    continue
                found.depth[other] = depth
                fresh.append(other)
            found.edges.append(edge)
        found.units |= {unit.id: unit for unit in _units(reader.rows(_UNITS, fresh))}
        frontier = fresh
    return found


def steps(reader: Reader, unit: Unit, most: int = 500) -> list[Step]:
    """What was done to a unit, in order, with the operations as they were received."""
    return [_step(row) for row in reader.rows(_EVENTS, unit.id, most)]


def _step(row: Row) -> Step:
    operation: Operation | None = None
    try:
        event = decode(row["type"], bytes(row["body"]))
        operation = event if isinstance(event, Operation) else None
    except BadInput:
        operation = None  # the record keeps what it got; the page says that it cannot be read
    return Step(
        row["ts"],
        row["started"],
        row["machine"],
        row["op"],
        row["result"],
        row["role"],
        row["slot"],
        row["raw_number"],
        operation,
    )


def raw_numbers(reader: Reader, machine: str, begin: int, end: int) -> list[Row]:
    """Which numbers of a machine's streams hold what it measured from ``begin`` to ``end`` (ns): stream, first, last, frames."""
    return reader.rows(_FRAMES, machine, begin, end)


def limits(reader: Reader, product: str, at: int) -> dict[tuple[str, str], Row]:
    """Limits of a product's characteristics that held at ``at`` (ns): (operation, characteristic) -> unit, lsl, target, usl, version."""
    return {(row["operation"], row["characteristic"]): row for row in reader.rows(_LIMITS, product, at)}


def anomalies_at(reader: Reader, machine: str, begin: int, end: int) -> list[Row]:
    """Anomalies at a machine that overlap ``begin … end`` (ns)."""
    return reader.rows(
        "select id, machine, finding, began, ended, peak, phase, body from anomaly"
        " where machine = %s and began <= %s and coalesce(ended, began) >= %s order by began",
        machine, end, begin,
    )  # fmt: skip


def parts_made(reader: Reader, machine: str, begin: datetime, end: datetime, most: int = 2_000) -> list[Row]:
    """Parts worked on at a machine in a span: serial, kind, item, started, ended, result."""
    return reader.rows("select * from parts_in_span(%s, %s, %s) order by ended limit %s", machine, begin, end, most)


def _units(rows: list[Row]) -> list[Unit]:
    return [Unit(row["id"], row["serial"], row["kind"], row["item"], row["finished"]) for row in rows]


def spans(reader: Reader, units: list[int]) -> list[Row]:
    """At which machines these units were worked on, from when to when (ns): machine, begins, ends."""
    return reader.rows(
        "select machine, min(started) as begins, max(ts) as ends from event where unit = any(%s) group by machine order by machine",
        units,
    )
