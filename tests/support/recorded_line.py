"""Minutes of the pump line on record: the recorder's own writer and the lineage's own projection over what a gateway would have numbered.

For tests of whoever reads the database. Beside it: one anomaly and one alarm as the detector and the alarm part write them, and a gap.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from shinkei_events.identity import gap_id
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Gap, Numbered
from shinkei_events.registry import type_of
from shinkei_events.settings import PlantFile
from shinkei_plant.faults import Planned
from shinkei_plant.line import Line
from shinkei_plant.records import SignalSample
from shinkei_store.master import apply_documents
from shinkei_store.pool import connect
from shinkei_store.recorder import Accepted
from shinkei_store.writer import Writer
from shinkei_trace.ingest import project
from tests.support.line_on_log import SOURCE, Numbering, S

GRID = 2 * S


def record_line(plant: PlantFile, minutes: int = 12, seed: int = 5, troubles: tuple[Planned, ...] = ()) -> Numbering:
    """The line's last ``minutes`` as rows, projected; returns the numbering, to go on with."""
    end = time.time_ns() // S * S
    line = Line(seed, end - minutes * 60 * S, troubles=troubles)
    numbering = Numbering()
    accepted: list[Accepted] = []
    samples: dict[str, list[SignalSample]] = {}

    def take(event: Frame | Numbered | None) -> None:
        if event is not None:
            accepted.append(Accepted(event.stream, type_of(event).ce_type, SOURCE, event, None))

    def cut(machine: str) -> None:
        some = samples.pop(machine, [])
        if some:
            take(numbering.frame(machine, some, some[-1].time))

    for record in line.play(end, GRID):
        if isinstance(record, SignalSample):
            samples.setdefault(record.machine, []).append(record)
            if len(samples[record.machine]) >= 60:
                cut(record.machine)
        else:
            cut(record.machine)
            take(numbering.event(record, record.time))
    for machine in list(samples):
        cut(machine)
    write(plant, accepted, numbering)
    return numbering


def write(plant: PlantFile, accepted: list[Accepted], numbering: Numbering) -> None:
    """Master data, rows, watermarks; then the projection."""
    with connect(plant, "store") as conn:
        apply_documents(conn, plant.documents(), "store/test", time.time_ns())
        conn.commit()
        conn.execute("select ensure_partitions(now() + interval '1 day', now() - interval '1 day')")
        conn.commit()
        writer = Writer(conn)
        writer.write(accepted)
        writer.finish()
        conn.execute("insert into recorder values ('recorder') on conflict do nothing")
        for stream, number in numbering.next_numbers().items():
            conn.execute(
                "insert into watermark (consumer, stream, next_number) values ('recorder', %s, %s) on conflict (consumer, stream) do update set next_number = excluded.next_number",
                (str(stream), number),
            )
        conn.commit()
    with connect(plant, "trace", autocommit=True) as conn:
        while project(conn).events:
            pass


def add_gap(plant: PlantFile, numbering: Numbering, machine: str, begin: int, end: int) -> None:
    """The gateway lost its session to ``machine`` from ``begin`` to ``end`` (ns)."""
    of = numbering.stream(machine, 0)
    stream = numbering.stream(machine, 1)
    gap = Gap(stream=stream, number=numbering.take(stream), signals=0, time=end, received=end, id=gap_id(of, begin, end, "session_lost"), of=of,
              cause="session_lost", t_from=begin, t_to=end, at_least=17, detail="test")  # fmt: skip
    write(plant, [Accepted(stream, type_of(gap).ce_type, SOURCE, gap, None)], numbering)


def add_anomaly(
    conn: psycopg.Connection[Any],
    id: str,
    machine: str,
    stream: str,
    began: int,
    ended: int | None,
    signal: str = "torque",
) -> None:
    """As the detector writes it. ``conn``: with the rights of detect."""
    body = {
        "signals": [{"signal": signal, "share": 0.8, "observed": 27.5, "reference": 21.3, "since": began}],
        "time": ended or began,
    }
    conn.execute(
        "insert into anomaly (id, revision, phase, finding, rule, machine, stream, first, last, began, ended, score, peak, body)"
        " values (%s, 1, %s, 'anomaly', 'joint', %s, %s, 1, 40, %s, %s, 5.1, 6.2, %s)",
        (id, "closed" if ended else "opened", machine, stream, began, ended, Jsonb(body)),
    )


def add_alarm(
    conn: psycopg.Connection[Any], id: str, machine: str, since: int, anomaly: str, state: str = "ACTIVE_UNACK"
) -> None:
    """As the alarm part writes it. ``conn``: with the rights of alerts."""
    text = {"ja": f"{machine} 主軸トルクが高い", "en": f"{machine} spindle torque is high"}
    conn.execute(
        "insert into alarm (id, dedup_key, condition, machine, priority, state, since, active_since, text, causes) values (%s, %s, 'odd', %s, 'P2', %s, %s, %s, %s, %s)",
        (id, id, machine, state, since, since, Jsonb(text), Jsonb([{"kind": "anomaly", "id": anomaly}])),
    )
    conn.execute("insert into alarm_cause values (%s, 'anomaly', %s, 1)", (id, anomaly))
    conn.execute(
        "insert into alarm_event (alarm, revision, transition, state, occurrence, time, body) values (%s, 1, 'raised', %s, 1, %s, %s)",
        (id, state, since, Jsonb(msgspec.to_builtins({"id": id}))),
    )
    conn.execute(
        "insert into delivery (page, alarm, occurrence, target, priority, body) values (%s, %s, 1, 'inbox', 'P2', '{}')",
        (f"p-{id}", id),
    )
