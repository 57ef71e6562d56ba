"""The runtime of every consumer that writes to the database, except the recorder.

One member of a consumer group; positions and watermarks live with the rows and move in the same transaction. On assignment (also to
the same worker), on another log, and when a compare-and-set fails, all memory of a partition is dropped and loaded again. Live
records come from the log, whatever was missed from the record. A part gives it a `Handler`; it knows nothing of what is consumed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from shinkei_events import kafka
from shinkei_events.envelope import Opened, open_record
from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.health import Health
from shinkei_events.identity import Kind
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Numbered
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_store import position, record
from shinkei_store.follower import Follower, Item, Use
from shinkei_store.lives import live
from shinkei_store.pool import connect
from shinkei_store.runtime_telemetry import PartitionLoaded, RecordRefused

COMMIT_S = 0.2
LOOK_S = 1.0
SWEEP_S = 60.0
RECORD_ROWS = 500
BATCH = 500


class Handler:
    """What a part does. All calls come from one thread. Subclass and override; nothing here does anything.

    ``topics``: what is read; ``kinds``: the streams that are used. Delivery: numbered records exactly in order, each once per load;
    unnumbered ones at least once, so their ids are stored with their effect.
    """

    topics: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ("signals",)

    def load(
        self, conn: psycopg.Connection[Any], topic: str, partition: int, committed: dict[str, int]
    ) -> dict[str, int]:
        """Drop and load all state of a partition. ``committed``: its streams with the next numbers of the last commit; returns those
        to go on from (lower ones are read from the record again)."""
        return committed

    def use(self, item: Item, skip: int) -> None:
        """One numbered record, without its first ``skip`` numbers."""

    def event(self, opened: Opened, topic: str, partition: int) -> None:
        """One record of a topic without numbers (anomalies, alerts, decisions …)."""

    def save(self, conn: psycopg.Connection[Any]) -> None:
        """Write all effects since the last save; the runtime moves the positions and commits."""

    def tick(self, conn: psycopg.Connection[Any]) -> bool:
        """About once a second, in a transaction of its own; True when something was written."""
        return False

    def sweep(self, conn: psycopg.Connection[Any]) -> bool:
        """At the start and every minute: what producers' outboxes have that never came; True when something was written."""
        return False


@dataclass(slots=True)
class _Partition:
    follower: Follower
    token: int
    position: int
    moved: bool = False
    committed: dict[str, int] = field(default_factory=dict)


class _Run:
    """One life on one log, until something is lost."""

    def __init__(
        self, plant: PlantFile, name: str, part: str, handler: Handler, health: Health, stop: threading.Event
    ) -> None:
        self._plant, self._name, self._part, self._handler = plant, name, part, handler
        self._health, self._stop = health, stop
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._uses = 0
        self._log = kafka.find_log(plant)

    def run(self) -> None:
        """Work until stop; raises psycopg.Error, NotConnected or Fenced when the life ends before."""
        with connect(self._plant, self._part) as conn:
            self._conn = conn
            if self._handler.sweep(conn):
                conn.commit()
            consumer = kafka.group_consumer(
                self._log, f"shinkei.{self._name}", list(self._handler.topics), self._assign, self._revoke
            )
            try:
                self._loop(conn, consumer)
            except BaseException:
                self._uses = 0  # what is not committed is dropped, so that giving back the partitions commits nothing
                raise
            finally:
                consumer.close()

    def _loop(self, conn: psycopg.Connection[Any], consumer: Consumer) -> None:
        self._health.update(error="")
        commit_at = look_at = time.monotonic()
        sweep_at = commit_at + SWEEP_S
        while not self._stop.is_set():
            for message in kafka.consume_batch(consumer, BATCH):
                self._take(consumer, message)
            now = time.monotonic()
            if now >= look_at:
                look_at = now + LOOK_S
                self._look(conn, consumer)
                if self._handler.tick(conn):
                    conn.commit()
            if now >= sweep_at:
                sweep_at = now + SWEEP_S
                if self._handler.sweep(conn):
                    conn.commit()
            self._fill(conn)
            if self._uses and (now >= commit_at or self._uses >= 5_000):
                commit_at = now + COMMIT_S
                self._commit(conn)
        if self._uses:
            self._commit(conn)

    # ---- records -----------------------------------------------------------------------------------------------------
    def _take(self, consumer: Consumer, message: Message) -> None:
        topic, partition = message.topic() or "", message.partition() or 0
        held = self._partitions.get((topic, partition))
        if not kafka.is_record(consumer, message) or held is None:
            return
        held.position, held.moved = (message.offset() or 0) + 1, True
        self._uses += 1
        try:
            opened = open_record(message.headers(), message.value())  # type: ignore[arg-type]
        except BadInput as problem:
            emit(RecordRefused(self._name, f"{topic}/{partition}/{message.offset()}", str(problem)))
            position.refuse(self._conn, self._name, self._log.log_id, message, str(problem))
            return
        event = opened.event
        if isinstance(event, Frame | Numbered):
            if event.stream.kind in self._handler.kinds:
                self._used(held.follower.live(item_of(opened.type, event)))
        else:
            self._handler.event(opened, topic, partition)

    def _used(self, uses: list[Use]) -> None:
        for use in uses:
            self._handler.use(use.item, use.skip)
        self._uses += len(uses)

    def _fill(self, conn: psycopg.Connection[Any]) -> None:
        """Read from the record what is missing; streams far behind take turns with the live ones."""
        for held in self._partitions.values():
            for name, number in held.follower.behind().items():
                items = record.read_items(conn, name, number, RECORD_ROWS)
                self._used(held.follower.recorded(name, items, end=len(items) < RECORD_ROWS))
        if not self._uses:
            conn.rollback()

    def _look(self, conn: psycopg.Connection[Any], consumer: Consumer) -> None:
        if kafka.find_log(self._plant).log_id != self._log.log_id:
            raise NotConnected("the log is another one now")
        lag = 0
        for (topic, partition), held in self._partitions.items():
            held.follower.sweep(record.recorded_next(conn, topic, partition, self._handler.kinds))
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            lag += max(0, high - held.position)
        behind = sum(len(held.follower.behind()) for held in self._partitions.values())
        self._health.update(lag=lag, partitions=len(self._partitions), streams_behind=behind)
        if not self._uses:
            conn.rollback()

    # ---- positions ---------------------------------------------------------------------------------------------------
    def _assign(self, consumer: Consumer, added: list[TopicPartition]) -> None:
        if self._uses:
            self._commit(self._conn)
        for one in added:
            place, token = position.take(self._conn, self._name, self._log.log_id, one.topic, one.partition)
            committed = position.watermarks(self._conn, self._name, one.topic, one.partition, self._handler.kinds)
            wanted = self._handler.load(self._conn, one.topic, one.partition, committed)
            follower = Follower(wanted)
            self._partitions[one.topic, one.partition] = _Partition(follower, token, place, committed=dict(wanted))
            one.offset = place if place > 0 else OFFSET_BEGINNING
            emit(PartitionLoaded(self._name, one.topic, one.partition, len(wanted)))
        self._conn.commit()
        consumer.incremental_assign(added)
        self._health.update(
            ready=bool(self._partitions)
        )  # after a kill the group gives them only when the dead one is missed

    def _revoke(self, consumer: Consumer, removed: list[TopicPartition]) -> None:
        if self._uses:
            self._commit(self._conn)
        for one in removed:
            self._partitions.pop((one.topic, one.partition), None)
        consumer.incremental_unassign(removed)

    def _commit(self, conn: psycopg.Connection[Any]) -> None:
        self._handler.save(conn)
        for (topic, partition), held in self._partitions.items():
            marks = held.follower.watermarks()
            changed = {name: number for name, number in marks.items() if held.committed.get(name) != number}
            if held.moved or changed:
                position.move(conn, self._name, self._log.log_id, topic, partition, held.position, held.token)
                position.set_watermarks(conn, self._name, changed)
                held.moved, held.committed = False, marks
        conn.commit()
        self._uses = 0


def item_of(type: str, event: Frame | Numbered, recorded: bool = False) -> Item:
    """The `Item` of a frame or numbered event."""
    mark = event.gap_before
    first, count = (event.first, event.count) if isinstance(event, Frame) else (event.number, 1)
    return Item(event.stream, first, count, mark.begin if mark is not None else None, type, event, recorded)


def run_consumer(
    plant: PlantFile, name: str, part: str, handler: Handler, stop: threading.Event, health: Health
) -> None:
    """Run ``handler`` as consumer ``name`` with the rights of ``part`` until ``stop``. Peers that are away are waited for, for ever."""
    live(name, lambda: _Run(plant, name, part, handler, health, stop), health, stop)
