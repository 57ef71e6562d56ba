"""The projector's process: woken by the recorder's notification, and every second without one, it projects what is new.

The database is its only peer. While that is away it waits, says so once, and goes on where the position stands.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from psycopg import Connection

from shinkei_events.errors import NotConnected
from shinkei_events.health import Health
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_store.pool import connect
from shinkei_trace import record
from shinkei_trace.ingest import project
from shinkei_trace.settings import TraceSettings
from shinkei_trace.telemetry import DatabaseAway, DatabaseBack

CHANNEL = "shinkei_event_raw"
RETRY_S = 0.5


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Project until ``stop``; ends within a batch."""
    settings = section(plant, "trace", TraceSettings)
    health = Health("trace", plant.dir, settings.http)
    health.start()
    away = False
    try:
        while not stop.is_set():
            try:
                with connect(plant, "trace") as conn, connect(plant, "trace", autocommit=True) as ears:
                    ears.execute(f"listen {CHANNEL}")
                    if away:
                        away = False
                        emit(DatabaseBack())
                    _serve(conn, ears, settings, health, stop)
            except (psycopg.Error, NotConnected) as error:
                health.update(ready=False, error=str(error).strip())
                if not away:
                    away = True
                    emit(DatabaseAway(str(error).strip()))
                stop.wait(RETRY_S)
    finally:
        health.stop()


def _serve(
    conn: Connection[Any], ears: Connection[Any], settings: TraceSettings, health: Health, stop: threading.Event
) -> None:
    """``lag``: recorded events that are not projected yet."""
    health.update(ready=True, error="")
    projected = repeats = conflicts = 0
    while not stop.is_set():
        done = project(conn, settings.batch)
        projected, repeats, conflicts = projected + done.events, repeats + done.repeats, conflicts + done.conflicts
        lag = max(0, record.end(conn) - done.number) if done.events == settings.batch else 0
        conn.rollback()
        health.update(lag=lag, number=done.number, projected=projected, repeats=repeats, conflicts=conflicts)
        if done.events == settings.batch:
            continue
        until = time.monotonic() + float(settings.sweep)
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if any(True for _ in ears.notifies(timeout=min(left, 0.25), stop_after=1)):
                break
