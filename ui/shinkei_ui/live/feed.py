"""The one reader of the log behind all boards: from the end of the log into the snapshot, flushed ten times a second.

Writes nothing and holds no position: what it missed while it was away is in the database, from where ``refill`` brings the states
and open alarms before it reads on. Runs in a thread of the ui process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message

from shinkei_events import topics
from shinkei_events.envelope import Headers, open_record
from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.kafka import LogAddress, assign_at_end, consume_batch, find_log, plain_consumer
from shinkei_events.model.frame import Frame
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_ui.live.hub import Hub
from shinkei_ui.live.picture import Picture
from shinkei_ui.telemetry import FeedConnected, FeedLost, FeedRecordRefused

TOPICS = [topic.name for topic in (topics.SIGNALS, topics.PRODUCTION, topics.ANOMALIES, topics.ALERTS, topics.LIVE)]
FLUSH_S = 0.1
RETRY_S = 0.5
SAME_LOG_S = 1.0
"""How often the reader looks whether the embedded log is still the one it reads."""


class Feed:
    """``refill()`` puts what the database knows on the board; it may raise `NotConnected`, then it is called again later."""

    def __init__(self, plant: PlantFile, hub: Hub, picture: Picture, refill: Callable[[], None]) -> None:
        self._plant, self._hub, self._picture, self._refill = plant, hub, picture, refill
        self._up: bool | None = None
        self.records = 0

    @property
    def connected(self) -> bool:
        """Whether the log is being read."""
        return self._up is True

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set. A log that is away, or is another one, is looked for again."""
        while not stop.is_set():
            try:
                log = find_log(self._plant)
                self._read(log, stop)
            except NotConnected as error:
                self._tell(False, str(error))
                stop.wait(RETRY_S)

    def _tell(self, up: bool, why: str) -> None:
        if up != self._up:
            emit(FeedConnected(why) if up else FeedLost(why))
            self._up = up
        self._hub.put("feed", "log", {"up": up})
        self._hub.flush()

    def _read(self, log: LogAddress, stop: threading.Event) -> None:
        consumer = plain_consumer(log, "ui")
        try:
            assign_at_end(consumer, TOPICS)
            with suppress(NotConnected):  # the board is live without the database, too; its reader says so
                self._refill()
            self._tell(True, log.bootstrap)
            self._follow(consumer, log, stop)
        finally:
            consumer.close()

    def _follow(self, consumer: Consumer, log: LogAddress, stop: threading.Event) -> None:
        flushed = looked = time.monotonic()
        while not stop.is_set():
            for message in consume_batch(consumer, wait=FLUSH_S / 2):
                self._take(consumer, message)
            now = time.monotonic()
            if now - flushed >= FLUSH_S:
                flushed = now
                self._hub.flush()
            if log.embedded and now - looked >= SAME_LOG_S:
                looked = now
                if find_log(self._plant).log_id != log.log_id:
                    raise NotConnected("the log is another one now")

    def _take(self, consumer: Consumer, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
                assign_at_end(consumer, TOPICS)  # fell behind what the log keeps: the board shows now, not then
            return
        try:
            event = open_record(cast("Headers | None", message.headers()), message.value()).event
        except BadInput as refused:
            emit(FeedRecordRefused(message.topic() or "", str(refused)))
            return
        self.records += 1
        now = time.time_ns()
        if isinstance(event, Frame):
            self._picture.frame(event, now, provisional=message.topic() == topics.LIVE.name)
        else:
            self._picture.event(event, now)
