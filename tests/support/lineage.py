"""A database with the schema and a record of events to project: what lineage and alarm tests start from."""

from __future__ import annotations

import itertools
import random
from typing import Any

import psycopg
from psycopg import Connection

from shinkei_events.codec import encode
from shinkei_events.identity import StreamId, digest
from shinkei_events.model.machine import SetupChanged
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.operation import Operation, Unit
from shinkei_events.registry import type_of
from shinkei_store.migrate import migrate
from shinkei_store.pool import take_role

EPOCH = "018bcfe5-6800-7002-ab54-a98ceb1f0ad2"
T0 = 1_700_000_000_000_000_000
S = 1_000_000_000
_numbers = itertools.count(1)


def serial(id: str, item: str | None = None, certainty: float = 1.0) -> Unit:
    return Unit(id, "serial", item, certainty=certainty)


def lot(id: str, quantity: float = 1.0, certainty: float = 1.0, item: str | None = None) -> Unit:
    return Unit(id, "lot", item, quantity, certainty=certainty)


def box(id: str) -> Unit:
    return Unit(id, "container")


def operation(kind: str, at: int, inputs: list[Unit] | None = None, outputs: list[Unit] | None = None, *, station: str = "OP1",
              id: str | None = None, lasts: int = 1, **more: Any) -> Operation:  # fmt: skip
    """An operation that ended ``at`` seconds after the start of the test's time."""
    number = next(_numbers)
    ended = T0 + at * S
    return Operation(
        stream=StreamId(EPOCH, station, "production"), number=number, signals=0, time=ended, received=ended, operation_id=digest("test", id or number),
        kind=kind, station=station, started=ended - lasts * S, ended=ended, inputs=inputs or [], outputs=outputs or [], **more,
    )  # fmt: skip


def setup(
    action: str, at: int, unit: str, *, slot: str = "tool", unit_type: str = "tool", machine: str = "OP1", **more: Any
) -> SetupChanged:
    return SetupChanged(
        stream=StreamId(EPOCH, machine, "production"), number=next(_numbers), signals=0, time=T0 + at * S, received=T0 + at * S, slot=slot, unit=unit,
        unit_type=unit_type, action=action, **more,
    )  # fmt: skip


def schema(dsn: str) -> str:
    """Bring an empty database up to date; returns ``dsn``."""
    with psycopg.connect(dsn) as conn:
        migrate(conn)
    return dsn


def part(dsn: str, name: str) -> Connection[Any]:
    """A connection with the rights of a part, outside a transaction and not in autocommit mode."""
    conn = psycopg.connect(dsn, autocommit=True)
    take_role(conn, name)
    conn.autocommit = False
    return conn


def record(conn: Connection[Any], events: list[Numbered]) -> list[int]:
    """Append ``events`` to ``event_raw`` as the recorder does; returns their numbers."""
    given = []
    with conn.transaction():
        for event in events:
            row = conn.execute("update event_raw_end set number = number + 1 returning number").fetchone()
            assert row is not None
            conn.execute(
                "insert into event_raw (number, stream_id, stream_number, type, machine, time, body) values (%s, 1, %s, %s, %s, %s, %s)",
                (row[0], row[0], type_of(event).ce_type, event.machine, event.time, encode(event)),
            )
            given.append(int(row[0]))
    return given


def some_operations(rng: random.Random, count: int = 40) -> list[Numbered]:
    """A random history of a few units: every kind of operation, also nonsense, in time order."""
    events: list[Numbered] = []
    serials, lots, boxes = [f"S{n}" for n in range(6)], [f"L{n}" for n in range(3)], [f"B{n}" for n in range(2)]

    def some(names: list[str], make: Any, least: int = 1) -> list[Unit]:
        return [
            make(name, certainty=rng.choice([1.0, 1.0, 0.5])) if make is not box else box(name)
            for name in rng.sample(names, rng.randint(least, 2))
        ]

    for at in range(count):
        kind = rng.choice(
            [
                "process",
                "assemble",
                "disassemble",
                "pack",
                "unpack",
                "pack",
                "merge",
                "split",
                "rework",
                "relabel",
                "ship",
                "inspect",
                "setup",
            ]
        )
        time = at if rng.random() < 0.8 else rng.randint(0, count)
        if kind == "setup":
            action = rng.choice(["mounted", "mounted", "unmounted"])
            doubt: dict[str, Any] = rng.choice(
                [{}, {}, {"certainty": 0.5, "not_before": T0 + (time - 2) * S, "not_after": T0 + (time + 1) * S}]
            )
            events.append(setup(action, time, rng.choice(["T1", "T2", "T3"]), **doubt))
        elif kind in ("process", "assemble", "rework"):
            events.append(operation(kind, time, some(serials, serial) + some(lots, lot, 0), some(serials, serial, 0)))
        elif kind == "disassemble":
            events.append(operation(kind, time, some(serials, serial), some(serials, serial, 0)))
        elif kind == "pack":
            events.append(operation(kind, time, some(serials, serial), [box(rng.choice(boxes))]))
        elif kind == "unpack":
            events.append(operation(kind, time, [box(rng.choice(boxes))], some(serials, serial, 0)))
        elif kind in ("merge", "split"):
            events.append(operation(kind, time, some(lots, lot), some(lots, lot)))
        elif kind == "relabel":
            events.append(operation(kind, time, [serial(rng.choice(serials))], [serial(rng.choice(serials))]))
        elif kind == "ship":
            events.append(operation(kind, time, [box(rng.choice(boxes))], order=f"SH{rng.randint(0, 1)}", to="C1"))
        else:
            events.append(operation(kind, time, some(serials, serial), result="pass"))
        earlier = [event for event in events[:-1] if isinstance(event, Operation)]
        if earlier and isinstance(events[-1], Operation) and rng.random() < 0.15:
            events[-1] = _correcting(events[-1], rng.choice(earlier).operation_id)
    return events


def _correcting(event: Operation, target: str) -> Operation:
    import msgspec

    return msgspec.structs.replace(event, corrects=target)
