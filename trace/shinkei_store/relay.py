"""One sender per outbox: rows in order to the log, marked as sent when the log has acknowledged them.

An advisory lock keeps a second one out. At least once: a crash between the two sends a row again, under the same id. A log that lost
everything is not sent old rows again; who missed them sweeps the table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from confluent_kafka import KafkaError, Message, Producer

from shinkei_events import kafka
from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_store.pool import connect
from shinkei_store.runtime_telemetry import PeerAway, PeerBack

BATCH_ROWS = 500
SWEEP_S = 1.0
_LOCK_CLASS = 0x5348


class Relay:
    """A thread that empties the outbox of ``part``. `start`, then `stop`. Survives the loss of database and log."""

    def __init__(self, plant: PlantFile, part: str) -> None:
        self._plant, self._part = plant, part
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"relay-{part}", daemon=True)

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def stop(self, timeout: float = 4.0) -> None:
        """End; what is not sent stays in the table."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        away = False
        while not self._stop.is_set():
            try:
                log = kafka.find_log(self._plant)
                with connect(self._plant, self._part, autocommit=True) as conn:
                    if away:
                        away = False
                        emit(PeerBack(f"relay of {self._part}"))
                    self._serve(conn, log)
            except (psycopg.Error, NotConnected) as error:
                if not away:
                    away = True
                    emit(PeerAway(f"relay of {self._part}", str(error)))
                self._stop.wait(0.5)

    def _serve(self, conn: psycopg.Connection[Any], log: kafka.LogAddress) -> None:
        found = conn.execute("select pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK_CLASS, self._part)).fetchone()
        if not found or not found[0]:
            self._stop.wait(SWEEP_S)
            return
        conn.execute("listen shinkei_outbox")
        producer = kafka.producer(log, linger_ms=2)
        while not self._stop.is_set():
            if self._send(conn, producer) == BATCH_ROWS:
                continue
            for _ in conn.notifies(timeout=SWEEP_S / 4, stop_after=1):
                pass
            if kafka.find_log(self._plant).log_id != log.log_id:
                return

    def _send(self, conn: psycopg.Connection[Any], producer: Producer) -> int:
        rows = conn.execute(
            "select number, topic, key, headers, body from outbox where part = %s and sent_at is null order by number limit %s",
            (self._part, BATCH_ROWS),
        ).fetchall()
        if not rows:
            return 0
        sent: list[int] = []

        def acknowledgement(number: int) -> Callable[[KafkaError | None, Message], None]:
            def on_delivery(error: KafkaError | None, _message: Message) -> None:
                if error is None:
                    sent.append(number)

            return on_delivery

        for number, topic, key, headers, body in rows:
            pairs: list[tuple[str, str | bytes | None]] = [
                (name, value) for name, value in msgspec.json.decode(headers)
            ]
            producer.produce(topic, value=bytes(body), key=key, headers=pairs, on_delivery=acknowledgement(number))
        producer.flush(5.0)
        if len(sent) < len(rows):
            producer.purge()
            producer.flush(1.0)
        conn.execute("update outbox set sent_at = now() where part = %s and number = any(%s)", (self._part, sent))
        if len(sent) < len(rows):
            raise NotConnected(f"the log took {len(sent)} of {len(rows)} events of {self._part}")
        return len(rows)
