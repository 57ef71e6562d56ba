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
from shinkei_store.runtime_telemetry import PeerAway, PeerBack

LONGEST_PAUSE_S = 300.0

_NEXT = """
select d.page, d.alarm, d.target, d.attempts, d.body, extract(epoch from now() - d.created),
  a.acknowledged_occurrence >= d.occurrence or a.closed_at is not null or a.shelved_until is not null
  or ((d.body->>'late')::boolean and (a.state <> 'ACTIVE_UNACK' or a.occurrence > d.occurrence))
from delivery d join alarm a on a.id = d.alarm
where d.state = 'due' and d.due_at <= now() order by d.priority, d.due_at limit 1 for update of d skip locked"""
_SENT = "update delivery set state = 'sent', handed_over = now(), attempts = attempts + 1, last_error = null where page = %s"
_DEAD = "update delivery set state = 'dead', last_error = %s, attempts = attempts + 1 where page = %s"
_AGAIN = "update delivery set due_at = now() + %s * interval '1 second', attempts = attempts + 1, last_error = %s where page = %s"


class Deliverer:
    """Threads that empty `delivery`. Several may run, here and elsewhere; a row is taken by one."""

    def __init__(self, plant: PlantFile) -> None:
        self._plant = plant
        self._settings = section(plant, "alerts", AlertsSettings)
        self._targets = {target.name: target for target in self._settings.targets}
        self._stop = threading.Event()
        names = [f"deliver-{number}" for number in range(self._settings.senders)]
        self._threads = [threading.Thread(target=self._run, args=(name,), name=name, daemon=True) for name in names]
        self.last_page: float | None = None

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 4.0) -> None:
        """End; what is due stays due. A page that is just being sent is sent again at the next start."""
        self._stop.set()
        until = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, name: str) -> None:
        away = False
        while not self._stop.is_set():
            try:
                with connect(self._plant, "alerts") as conn:
                    conn.execute("listen shinkei_delivery")
                    conn.commit()
                    if away:
                        away = False
                        emit(PeerBack(name))
                    self._serve(conn)
            except (psycopg.Error, NotConnected) as error:
                if not away:
                    away = True
                    emit(PeerAway(name, str(error)))
                self._stop.wait(1.0)

    def _serve(self, conn: psycopg.Connection[Any]) -> None:
        while not self._stop.is_set():
            while not self._stop.is_set() and self.one(conn):
                pass
            for _ in conn.notifies(timeout=0.5, stop_after=1):
                pass
            conn.commit()

    def one(self, conn: psycopg.Connection[Any]) -> bool:
        """Hand over the page that is due first, in a transaction of its own; False when none is due."""
        with conn.transaction():
            row = conn.execute(_NEXT).fetchone()
            if row is None:
                return False
            page, alarm, name, attempts, body, age, over = row
            target = self._targets.get(name)
            if over or target is None:
                why = None if target is not None else f"no target {name} any more"
                conn.execute("update delivery set state = 'cancelled', last_error = %s where page = %s", (why, page))
                return True
            why = self.hand_over(target, page, body["title"], body["body"])
            if why is None:
                conn.execute(_SENT, (page,))
                self.last_page = time.time()
                emit(PageHandedOver(alarm, name, attempts + 1))
            elif float(age) > float(self._settings.give_up):
                conn.execute(_DEAD, (why, page))
                emit(PageDead(alarm, name))
            else:
                pause = random.uniform(0.5, min(LONGEST_PAUSE_S, 2.0 ** min(attempts + 1, 12)))
                conn.execute(_AGAIN, (pause, why, page))
                emit(PageRefused(alarm, name, why))
            return True

    def hand_over(self, target: Target, page: str, title: str, body: str) -> str | None:
        """Give a page to ``target``: None when it took it, else why not (without the address, which may hold a secret)."""
        url = target.secret.reveal(self._plant.path.parent) if target.secret is not None else target.url or ""
        if url.startswith("file:"):
            return _append(
                self._plant.dir / url.removeprefix("file:"),
                {"time": time.time(), "page": page, "title": title, "body": body},
            )
        service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            return "Apprise does not know this kind of address"
        service.socket_connect_timeout = service.socket_read_timeout = float(self._settings.timeout)
        return None if service.notify(title=title, body=f"{body}\n[{page}]") else "the target did not take it"


def _append(path: Path, line: dict[str, Any]) -> str | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    return None
