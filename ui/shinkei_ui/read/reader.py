"""One pool of read-only connections for all screens of the process. A database that is away is `NotConnected`, never another error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile
from shinkei_store.pool import reader_pool
from shinkei_ui.read import line
from shinkei_ui.states import level_of

WAIT_S = 5.0
"""A screen waits this long for a connection, then says that the database does not answer."""
UNITS_S = 30.0
_OWN_UNITS = "select machine, name, unit from signal where unit is not null"

Row = dict[str, Any]


class Reader:
    """Opens its pool at the first question, so that the board is there before the database. ``wait``: s for a connection. Thread-safe."""

    def __init__(self, plant: PlantFile, wait: float = WAIT_S) -> None:
        self._plant, self._wait = plant, wait
        self._lock = threading.Lock()
        self._pool: ConnectionPool[psycopg.Connection[Any]] | None = None
        self._units: dict[tuple[str, str], str] = {}
        self._units_until = 0.0
        self._category = {reason.name: reason.category for reason in plant.master["reasons"]}

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A read-only connection. Raises `NotConnected` when the database does not answer, or stops answering meanwhile."""
        with self._lock:
            if self._pool is None:
                self._pool = reader_pool(self._plant, "ui")
            pool = self._pool
        try:
            with pool.connection(self._wait) as conn:
                yield conn
        except (psycopg.OperationalError, PoolTimeout) as error:
            self._forget(pool)
            raise NotConnected(f"the database: {str(error).strip()}") from error

    def _forget(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        """A pool that failed waits ever longer between its attempts (minutes); a new one tries at once."""
        with self._lock:
            if self._pool is not pool:
                return
            self._pool = None
        pool.close(timeout=0.0)

    def rows(self, query: str, *values: object) -> list[Row]:
        """All rows of a query as dicts."""
        with self.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values or None).fetchall()

    def row(self, query: str, *values: object) -> Row | None:
        """The first row, or None."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def close(self) -> None:
        """End the pool."""
        if self._pool is not None:
            self._pool.close(timeout=1.0)

    def own_units(self) -> dict[tuple[str, str], str]:
        """By machine and signal, the unit that the source itself gives; asked again after `UNITS_S`. Raises `NotConnected`."""
        now = time.monotonic()
        if now >= self._units_until:
            self._units = {(row["machine"], row["name"]): row["unit"] for row in self.rows(_OWN_UNITS)}
            self._units_until = now + UNITS_S
        return self._units

    # ---- the board -----------------------------------------------------------------------------------------------------
    def states_now(self) -> list[Row]:
        """Newest state of each machine: machine, time (ns), state, reason, product, tool."""
        return self.rows(line.STATES_NOW)

    def timeline(self, hours: int) -> dict[str, list[list[Any]]]:
        """States of all machines over the last ``hours``: machine -> [from ms, to ms or None while it lasts, level, state, reason]."""
        found: dict[str, list[list[Any]]] = {machine.name: [] for machine in self._plant.machines}
        for row in self.rows(line.TIMELINE, list(found), hours):
            found[row["machine"]].append(self._interval(row))
        return found

    def state_minutes(self, hours: int) -> list[Row]:
        """Time in each state and reason over the last ``hours``: machine, state, reason, seconds, share, times; longest first."""
        return self.rows(line.STATE_MINUTES, hours, [machine.name for machine in self._plant.machines])

    def _interval(self, row: Row) -> list[Any]:
        level = level_of(row["state"], self._category.get(row["reason"] or ""))
        return [row["from_ms"], None if row["open"] else row["to_ms"], level, row["state"], row["reason"]]

    def figures(self, now: datetime) -> dict[str, Row]:
        """What the strip on top of the board shows, each from the store's one function for it."""
        return line.figures(self, [machine.name for machine in self._plant.machines], self._category, now)

    def open_alarms(self) -> list[Row]:
        """Alarms that are not back to normal and seen."""
        return self.rows(line.OPEN_ALARMS)

    def open_anomalies(self) -> list[Row]:
        """Anomalies that go on, of what is live."""
        return self.rows(line.OPEN_ANOMALIES)

    def signal(self, machine: str, signal: str, begin: datetime, end: datetime, points: int = 800) -> list[Row]:
        """A signal over time: ts, mean, low, high, n, bad."""
        return self.rows("select * from read_signal(%s, %s, %s, %s, %s)", machine, signal, begin, end, points)

    def gaps(self, machines: Sequence[str], begin: datetime, end: datetime) -> list[Row]:
        """What is missing, or may be, at these machines in that time."""
        return self.rows(line.GAPS, list(machines), begin, end)
