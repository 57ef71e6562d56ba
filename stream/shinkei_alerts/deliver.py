"""Pages on their way: due rows to their targets, at least once, under a stable key, on the wall clock.

Whether the alarm was acknowledged is looked at again in the transaction that sends. A time-out is not a no: the same page may arrive
twice and carries its key. Backs off with full jitter; gives up after `give_up` and says so.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import apprise
import msgspec
import psycopg

from shinkei_alerts.settings import AlertsSettings, Target
from shinkei_alerts.telemetry import PageDead, PageHandedOver, PageRefused
from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_store.pool import connect
from shinkei_store.runtime_telemetry import PeerAway

LONGEST_PAUSE_S = 300.0

_NEXT = """
select d.page, d.alarm, d.occurrence, d.target, d.attempts, d.body, extract(epoch from now() - d.created),
       a.acknowledged_occurrence >= d.occurrence or a.closed_at is not null or a.shelved_until is not null
from delivery d join alarm a on a.id = d.alarm
where d.state = 'due' and d.due_at <= now() order by d.priority, d.due_at limit 1 for update of d skip locked"""


class Deliverer:
    """A thread that empties `delivery`. Several may run; a row is taken by one."""

    def __init__(self, plant: PlantFile) -> None:
        self._plant = plant
        self._settings = section(plant, "alerts", AlertsSettings)
        self._targets = {target.name: target for target in self._settings.targets}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deliver", daemon=True)
        self.last_page: float | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float = 4.0) -> None:
        """End; what is due stays due."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._plant, "alerts") as conn:
                    conn.execute("listen shinkei_delivery")
                    conn.commit()
                    self._serve(conn)
            except (psycopg.Error, NotConnected) as error:
                emit(PeerAway("deliver", str(error)))
                self._stop.wait(1.0)

    def _serve(self, conn: psycopg.Connection[Any]) -> None:
        while not self._stop.is_set():
            while self._one(conn) and not self._stop.is_set():
                conn.commit()
            conn.commit()
            for _ in conn.notifies(timeout=0.5, stop_after=1):
                pass
            conn.commit()

    def _one(self, conn: psycopg.Connection[Any]) -> bool:
        row = conn.execute(_NEXT).fetchone()
        if row is None:
            return False
        page, alarm, _, name, attempts, body, age, seen = row
        target = self._targets.get(name)
        if seen or target is None:
            conn.execute("update delivery set state = 'cancelled' where page = %s", (page,))
            return True
        why = self._send(target, page, body)
        if why is None:
            sql = "update delivery set state = 'sent', handed_over = now(), attempts = attempts + 1, last_error = null where page = %s"
            conn.execute(sql, (page,))
            self.last_page = time.time()
            emit(PageHandedOver(alarm, name, attempts + 1))
        elif float(age) > float(self._settings.give_up):
            conn.execute("update delivery set state = 'dead', last_error = %s, attempts = attempts + 1 where page = %s", (why, page))
            emit(PageDead(alarm, name))
        else:
            pause = random.uniform(0.5, min(LONGEST_PAUSE_S, 2.0 ** min(attempts, 12)))
            sql = "update delivery set due_at = now() + %s * interval '1 second', attempts = attempts + 1, last_error = %s where page = %s"
            conn.execute(sql, (pause, why, page))
            emit(PageRefused(alarm, name, why))
        return True

    def _send(self, target: Target, page: str, body: dict[str, str]) -> str | None:
        """None when the target took it, else why not (without the address, which may hold a secret)."""
        url = target.secret.reveal(self._plant.path.parent) if target.secret is not None else target.url or ""
        if url.startswith("file:"):
            return _append(self._plant.dir / url.removeprefix("file:"), page, body)
        sender = apprise.Apprise()
        if not sender.add(url):
            return "Apprise does not know this kind of address"
        taken = sender.notify(title=body["title"], body=f"{body['body']}\n[{page}]")
        return None if taken else "not taken"


def _append(path: Path, page: str, body: dict[str, str]) -> str | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode({"time": time.time(), "page": page, **body}) + b"\n")
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return None
