"""The recorder's shell: the log in, rows and watermarks out in one commit, progress and commands back to the log.

What it takes is decided by `recorder`, how it is written by `writer`. Gateways trim and get credit by the progress it reports, and
only by that. Peers that are away are waited for, for ever.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from shinkei_events import kafka
from shinkei_events.envelope import open_record, seal
from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.health import Health
from shinkei_events.identity import Kind, StreamId, digest
from shinkei_events.model.progress import Command, Progress, Recorded, SendAgain
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_events.topics import PRODUCTION, PROGRESS, QUARANTINE, SIGNALS
from shinkei_store import position
from shinkei_store.lives import live
from shinkei_store.pool import connect
from shinkei_store.recorder import Accepted, Ask, Recorder
from shinkei_store.runtime_telemetry import GapRecorded, HoleAsked, RecordRefused
from shinkei_store.writer import Writer

KINDS: dict[str, tuple[Kind, ...]] = {
    SIGNALS.name: ("signals", "history"),
    PRODUCTION.name: ("production",),
    QUARANTINE.name: ("quarantine",),
}
COMMAND_LIFE_NS = 60 * 10**9
LOOK_S = 0.5


@dataclass(slots=True)
class _Partition:
    recorder: Recorder
    token: int
    position: int
    moved: bool = False
    known: dict[str, int] = field(default_factory=dict)


class _Life:
    """One life on one log and one database connection."""

    def __init__(self, plant: PlantFile, health: Health, stop: threading.Event) -> None:
        self._plant, self._health, self._stop = plant, health, stop
        self._name = plant.store.recorder
        self._log = kafka.find_log(plant)
        self._partitions: dict[tuple[str, int], _Partition] = {}
        self._accepted: list[Accepted] = []
        self._moved = 0
        self.counts = {"frames": 0, "values": 0, "events": 0, "repeats": 0, "holes": 0, "refused": 0}

    def run(self) -> None:
        """Record until stop; raises when a peer is lost or the position is somebody else's."""
        kafka.ensure_topics(self._log, self._plant.log.replication)
        with connect(self._plant, "store") as conn:
            self._conn, self._writer = conn, Writer(conn)
            self._producer = kafka.producer(self._log, linger_ms=2)
            self._last_reports = self._read_progress()
            consumer = kafka.group_consumer(
                self._log, f"shinkei.store.{self._name}", list(KINDS), self._assign, self._revoke
            )
            try:
                self._loop(conn, consumer)
            except BaseException:
                self._moved = 0  # what is not committed is dropped, so that giving back the partitions commits nothing
                raise
            finally:
                consumer.close()
                self._producer.flush(1.0)

    def _loop(self, conn: psycopg.Connection[Any], consumer: Consumer) -> None:
        self._health.update(error="")
        settings = self._plant.store
        commit_at = look_at = time.monotonic()
        while not self._stop.is_set():
            for message in kafka.consume_batch(consumer, 1000, wait=0.05):
                self._take(consumer, message)
            now = time.monotonic()
            if self._moved and (now >= commit_at or len(self._accepted) >= settings.commit_rows):
                self._commit(conn)
                commit_at = now + float(settings.commit_every)
            if now >= look_at:
                look_at = now + LOOK_S
                self._look(consumer)
            self._producer.poll(0)
        if self._moved:
            self._commit(conn)

    # ---- records -----------------------------------------------------------------------------------------------------
    def _take(self, consumer: Consumer, message: Message) -> None:
        topic, partition = message.topic() or "", message.partition() or 0
        held = self._partitions.get((topic, partition))
        if not kafka.is_record(consumer, message) or held is None:
            return
        held.position, held.moved = (message.offset() or 0) + 1, True
        self._moved += 1
        try:
            opened = open_record(message.headers(), message.value())  # type: ignore[arg-type]
            stream: StreamId = opened.event.stream
            if stream.kind not in KINDS[topic]:
                raise BadInput(f"a {stream.kind} stream on {topic}")
        except (BadInput, AttributeError) as problem:
            self.counts["refused"] += 1
            emit(RecordRefused(self._name, f"{topic}/{partition}/{message.offset()}", str(problem)))
            position.refuse(self._conn, self._name, self._log.log_id, message, str(problem))
            return
        got = held.recorder.offer(opened.type, opened.source, opened.event, time.monotonic_ns())
        if isinstance(got, Ask):
            self._ask(got)
        elif got is not None:
            self._accepted.append(got)
            if got.gap is not None:
                emit(GapRecorded(str(got.stream), got.gap.begin or 0, got.gap.end or 0, got.gap.cause))

    def _ask(self, ask: Ask) -> None:
        emit(HoleAsked(str(ask.stream), ask.number))
        _, _, rest = ask.source.partition("/")
        gateway, _, _ = rest.rpartition("/")
        now = time.time_ns()
        command = Command(
            id=digest("send_again", ask.stream, ask.number, now), gateway=gateway, issuer=f"store/{self._name}", deadline=now + COMMAND_LIFE_NS,
            request=SendAgain(stream=ask.stream, number=ask.number),
        )  # fmt: skip
        self._produce(command)

    def _produce(self, event: Any) -> None:
        sealed = seal(event, f"store/{self._name}")
        headers: list[tuple[str, str | bytes | None]] = [*sealed.headers]
        self._producer.produce(sealed.topic, value=sealed.value, key=sealed.key, headers=headers)

    # ---- positions ---------------------------------------------------------------------------------------------------
    def _commit(self, conn: psycopg.Connection[Any]) -> None:
        accepted, self._accepted, self._moved = self._accepted, [], 0
        self._writer.write(accepted)
        moved: list[tuple[str, int]] = []
        for (topic, partition), held in self._partitions.items():
            if not held.moved:
                continue
            position.move(conn, self._name, self._log.log_id, topic, partition, held.position, held.token)
            marks = held.recorder.watermarks()
            position.set_watermarks(conn, self._name, {n: v for n, v in marks.items() if held.known.get(n) != v})
            held.known, held.moved = marks, False
            moved.append((topic, partition))
        self._writer.finish()
        conn.commit()
        for topic, partition in moved:
            self._report(topic, partition)
        self.counts["frames"] += self._writer.frames
        self.counts["values"] += self._writer.values
        self.counts["events"] += self._writer.events

    def _report(self, topic: str, partition: int) -> None:
        held = self._partitions[topic, partition]
        streams = [Recorded(StreamId.parse(name), number) for name, number in held.known.items()]
        self._produce(
            Progress(
                recorder=self._name,
                log_id=self._log.log_id,
                topic=topic,
                partition=partition,
                position=held.position,
                streams=streams,
                time=time.time_ns(),
            )
        )

    def _assign(self, consumer: Consumer, added: list[TopicPartition]) -> None:
        if self._moved:
            self._commit(self._conn)
        for one in added:
            place, token = position.take(self._conn, self._name, self._log.log_id, one.topic, one.partition)
            marks = position.watermarks(self._conn, self._name, one.topic, one.partition, KINDS[one.topic])
            held = self._partitions[one.topic, one.partition] = _Partition(
                Recorder(marks), token, place, known=dict(marks)
            )
            one.offset = place if place > 0 else OFFSET_BEGINNING
            reported = self._last_reports.get((one.topic, one.partition), [])
            for ask in held.recorder.restored(reported, self._writer.sources(), time.monotonic_ns()):
                self._ask(ask)
        self._conn.commit()
        consumer.incremental_assign(added)
        self._health.update(
            ready=bool(self._partitions)
        )  # after a kill the group gives them only when the dead one is missed
        for one in added:
            self._report(one.topic, one.partition)

    def _revoke(self, consumer: Consumer, removed: list[TopicPartition]) -> None:
        if self._moved:
            self._commit(self._conn)
        for one in removed:
            self._partitions.pop((one.topic, one.partition), None)
        consumer.incremental_unassign(removed)

    def _read_progress(self) -> dict[tuple[str, int], list[Recorded]]:
        """The last reports under this recorder's name: ahead of the database when that was restored."""
        reader = kafka.plain_consumer(self._log, f"store.{self._name}.progress")
        reports: dict[tuple[str, int], list[Recorded]] = {}
        try:
            kafka.assign_from_beginning(reader, [PROGRESS.name])
            _, end = reader.get_watermark_offsets(TopicPartition(PROGRESS.name, 0), timeout=5)
            at = 0
            while at < end and (batch := kafka.consume_batch(reader, 500, wait=2.0)):
                for message in batch:
                    if message.error() is None:
                        at = (message.offset() or 0) + 1
                        report = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
                        if isinstance(report, Progress) and report.recorder == self._name:
                            reports[report.topic, report.partition] = report.streams
        finally:
            reader.close()
        return reports

    def _look(self, consumer: Consumer) -> None:
        if kafka.find_log(self._plant).log_id != self._log.log_id:
            raise NotConnected("the log is another one now")
        lag = 0
        for (topic, partition), held in self._partitions.items():
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            lag += max(0, high - held.position)
        self.counts["repeats"] = sum(held.recorder.repeats for held in self._partitions.values())
        self.counts["holes"] = sum(held.recorder.holes for held in self._partitions.values())
        self._health.update(
            lag=lag, partitions=len(self._partitions), log_id=self._log.log_id, counts=dict(self.counts)
        )


def record(plant: PlantFile, health: Health, stop: threading.Event) -> None:
    """Record until ``stop``."""
    live(plant.store.recorder, lambda: _Life(plant, health, stop), health, stop)
