"""A thread that hears gateways say on the log that they are there, for `watchdog`. Knows nothing of alarms."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException

from shinkei_alerts.watchdog import Watchdog
from shinkei_events import kafka
from shinkei_events.envelope import open_record
from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.model.progress import Claim
from shinkei_events.settings import PlantFile
from shinkei_events.topics import PROGRESS

LOOK_S = 2.0
WAIT_S = 0.5
_CLAIM = b"claim/"
"""What keys of claims begin with; the recorder's reports, which are many, are not even opened."""


class Ear:
    """`start`, then `stop`. Survives the loss of the log, and tells the watchdog of it."""

    def __init__(self, plant: PlantFile, watchdog: Watchdog) -> None:
        self._plant, self._watchdog = plant, watchdog
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ear", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self, timeout: float = 4.0) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen(kafka.find_log(self._plant))
            except (NotConnected, KafkaException):  # the consumer beside this one tells it, once
                self._watchdog.is_deaf()
                self._stop.wait(WAIT_S)

    def _listen(self, log: kafka.LogAddress) -> None:
        reader, watch = kafka.plain_consumer(log, "alerts.ear"), kafka.LogWatch(self._plant, log)
        try:
            place, *_ = kafka.assign_from_beginning(reader, [PROGRESS.name])
            _, end = reader.get_watermark_offsets(place, timeout=5.0)
            look_at = time.monotonic()
            while not self._stop.is_set():
                if time.monotonic() >= look_at:
                    watch.look()
                    self._watchdog.looks(time.monotonic())
                    look_at = time.monotonic() + LOOK_S
                self._hear(reader, end)
        finally:
            reader.close()

    def _hear(self, reader: Consumer, end: int) -> None:
        """What is before ``end`` was said before anybody listened."""
        for message in kafka.consume_batch(reader, wait=WAIT_S):
            if not kafka.is_record(reader, message) or not bytes(message.key() or b"").startswith(_CLAIM):
                continue
            try:
                event = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
            except BadInput:
                continue
            if not isinstance(event, Claim):
                continue
            source = f"gateway/{event.gateway}/{event.shard}"
            if (message.offset() or 0) < end:
                self._watchdog.knows(source, event.time)
            else:
                self._watchdog.hears(source, event.time, time.monotonic())
