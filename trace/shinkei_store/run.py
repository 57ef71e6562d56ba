"""The store as a process: migrate, record, relay master data, keep partitions ahead."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg

from shinkei_events.errors import NotConnected
from shinkei_events.health import Health
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_store.access import SCHEMA
from shinkei_store.migrate import migrate
from shinkei_store.pool import connect, owner
from shinkei_store.relay import Relay
from shinkei_store.runtime_telemetry import PeerAway
from shinkei_store.worker import record

AHEAD = timedelta(days=3)
EVERY_S = 3600.0
_PATH = f"set search_path = {SCHEMA}, public"


def prepare(plant: PlantFile) -> list[str]:
    """Bring the schema up to date and make the partitions of the next days; returns the migrations applied.

    Raises `NotConnected` when the database is not there.
    """
    with owner(plant) as conn:
        applied = migrate(conn)
    with owner(plant) as conn:
        conn.execute(_PATH)
        conn.execute("insert into recorder values (%s) on conflict do nothing", (plant.store.recorder,))
        conn.execute("select ensure_partitions(%s)", (datetime.now(UTC) + AHEAD,))
    return applied


def _keep_ahead(plant: PlantFile, stop: threading.Event) -> None:
    while not stop.wait(EVERY_S):
        try:
            with owner(plant) as conn:
                conn.execute(_PATH)
                conn.execute("select ensure_partitions(%s)", (datetime.now(UTC) + AHEAD,))
        except (psycopg.Error, NotConnected) as error:
            emit(PeerAway("partitions", str(error)))


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Until ``stop``."""
    health = Health("store", plant.dir, plant.store.http)
    health.start()
    relay = Relay(plant, "store")
    try:
        away = False
        while not stop.is_set():
            try:
                prepare(plant)
                break
            except (psycopg.Error, NotConnected) as error:
                health.update(ready=False, error=str(error))
                if not away:
                    emit(PeerAway("store", str(error)))
                away = True
                stop.wait(0.5)
        threading.Thread(target=_keep_ahead, args=(plant, stop), name="partitions", daemon=True).start()
        relay.start()
        record(plant, health, stop)
    finally:
        relay.stop()
        health.stop()


__all__ = ["connect", "prepare", "run"]
