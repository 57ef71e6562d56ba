"""``trace.ingest.events_per_s``, ``trace.backward.p50_ms``, ``trace.history.p50_ms``: the pump line's own records through the lineage.

Eight hours of the line are recorded, projected, made again (the state must be the same), and asked about. CPU seconds of our process
count for the ingest, not those of the database.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.migrate import migrate
from shinkei_trace import ingest, rebuild
from shinkei_trace.query import backward, history, resolve
from tests.integration.test_trace_plant import played
from tests.support.lineage import part, record

MINUTES = 480
ASKED = 200


def main() -> None:
    """Print one JSON object a line."""
    with (
        tempfile.TemporaryDirectory(prefix="shinkei-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        with psycopg.connect(server.dsn()) as conn:
            migrate(conn)
        trace, store = part(server.dsn(), "trace"), part(server.dsn(), "store")
        events, _, _ = played(MINUTES)
        for at in range(0, len(events), 2000):
            record(store, events[at : at + 2000])
        began, cpu = time.perf_counter(), time.process_time()
        while ingest.project(trace).events:
            pass
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        first = rebuild.state_hash(trace, recorded=True)
        rebuild.rebuild(trace)
        if rebuild.state_hash(trace, recorded=True) != first:
            raise SystemExit("made again, the lineage is another one")
        print_figure(
            "trace.ingest.events_per_s",
            len(events) / cpu,
            "1/s",
            "more",
            35_000,
            80_000,
            events=len(events),
            wall_per_s=round(len(events) / wall),
        )
        trace.autocommit = True
        trace.execute("set role none")
        trace.execute("analyze")
        pumps = [
            row[0]
            for row in trace.execute(
                "select serial from unit where finished order by id desc limit %s", (ASKED,)
            ).fetchall()
        ]
        print_figure(
            "trace.backward.p50_ms",
            median_ms(pumps, lambda unit: backward(trace, resolve(trace, unit)[0])),
            "ms",
            "less",
            5,
            1,
        )
        print_figure(
            "trace.history.p50_ms",
            median_ms(pumps, lambda unit: history(trace, resolve(trace, unit)[0])),
            "ms",
            "less",
            25,
            7,
        )


def median_ms(units: list[str], ask: Callable[[str], Any]) -> float:
    """Median time of a question about each of ``units``."""
    times = []
    for unit in units:
        began = time.perf_counter()
        ask(unit)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def print_figure(name: str, value: float, unit: str, better: str, must: float, aim: float, **more: Any) -> None:
    """One line of the benchmark sheet."""
    conditions = {"cpus": os.cpu_count(), "python": platform.python_version(), "plant_minutes": MINUTES} | more
    sheet = {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "better": better,
        "must": must,
        "aim": aim,
        "conditions": conditions,
    }
    print(json.dumps(sheet), flush=True)


if __name__ == "__main__":
    main()
