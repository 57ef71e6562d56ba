"""All Kafka client settings, in one place; the only module that builds clients.

Correctness never rests on the broker: positions and watermarks live with the rows, ids are deterministic. So the same clients
run against Apache Kafka and against the embedded log; only the address differs (and what that log cannot do: admin calls).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from shinkei_events.errors import NotConnected
from shinkei_events.runfile import read_run
from shinkei_events.settings import PlantFile
from shinkei_events.topics import MAX_RECORD_BYTES, PROGRESS, TOPICS

POLL_S = 0.1
_NO_LEADER_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


@dataclass(frozen=True, slots=True)
class LogAddress:
    """Where a log is and which one it is: a position belongs to one ``log_id``."""

    bootstrap: str
    log_id: str
    embedded: bool
    extra: dict[str, str] = field(default_factory=dict)


def find_log(plant: PlantFile, timeout: float = 5.0) -> LogAddress:
    """The log of this plant; raises `NotConnected` when it does not answer.

    Embedded: address and id are what its owner wrote to the run file (the mock's own cluster id is a heap address).
    """
    if plant.log.bootstrap is None:
        found = read_run(plant.dir, "log")
        if found is None or "bootstrap" not in found:
            raise NotConnected(f"the embedded log of {plant.dir} is not running (no run/log.json)")
        return LogAddress(found["bootstrap"], found["log_id"], embedded=True)
    extra = dict(plant.log.kafka)
    admin = AdminClient(_common(LogAddress(plant.log.bootstrap, "", False, extra)))
    try:
        cluster = admin.list_topics(timeout=timeout).cluster_id
    except KafkaException as error:
        raise NotConnected(f"Kafka at {plant.log.bootstrap} does not answer: {error.args[0].str()}") from error
    return LogAddress(plant.log.bootstrap, str(cluster), False, extra)


class LogWatch:
    """Whether a log that was found is still there and still the same: one client for all looks, so that a look is one small request.

    For a thread beside whoever reads and writes: `look` blocks for up to ``timeout`` s, as long as a log that hangs does not answer.
    """

    def __init__(self, plant: PlantFile, log: LogAddress, timeout: float = 5.0) -> None:
        self._plant, self._log, self._timeout = plant, log, timeout
        self._admin = None if log.embedded else AdminClient(_common(log))

    def look(self) -> None:
        """Raises `NotConnected` when the log does not answer or is another one now."""
        if self._admin is None:
            found = find_log(self._plant).log_id
        else:
            try:
                found = str(self._admin.list_topics(PROGRESS.name, timeout=self._timeout).cluster_id)
            except KafkaException as error:
                raise NotConnected(f"Kafka at {self._log.bootstrap} does not answer: {error.args[0].str()}") from error
        if found != self._log.log_id:
            raise NotConnected("the log is another one now")


def _common(log: LogAddress) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap.servers": log.bootstrap,
        # Never "v4": on a machine that has no interface but the loopback getaddrinfo() then finds not even 127.0.0.1 (AI_ADDRCONFIG, RFC 3493 6.1).
        "broker.address.family": "any",
        "log_level": 2,
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 30_000,
        "enable.metrics.push": False,
    }
    return settings | log.extra


def producer(
    log: LogAddress,
    *,
    linger_ms: float = 5,
    in_flight_records: int = 20_000,
    on_error: Callable[[KafkaError], None] | None = None,
) -> Producer:
    """An idempotent producer that keys records to partitions as the Java client does.

    ``message.timeout.ms`` is endless: the spool or the outbox absorbs an outage, not this queue, which is bounded.
    """
    settings = _common(log) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": linger_ms,
        "message.timeout.ms": 0,
        "message.max.bytes": 2 * MAX_RECORD_BYTES,
        "queue.buffering.max.messages": in_flight_records,
        "queue.buffering.max.kbytes": 65_536,
        "error_cb": on_error or _quiet,
    }
    return Producer(settings)


def _reader(log: LogAddress) -> dict[str, Any]:
    return _common(log) | {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 10 if log.embedded else 50,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
        "queued.max.messages.kbytes": 32_768,
        "isolation.level": "read_committed",
        "check.crcs": True,
        "error_cb": _quiet,
    }


def group_consumer(log: LogAddress, group: str, topics: list[str], on_assign: Callable[[Consumer, list[TopicPartition]], None],
                   on_revoke: Callable[[Consumer, list[TopicPartition]], None], **more: Any) -> Consumer:  # fmt: skip
    """A member of ``group``. Callbacks get the added/removed partitions and must call ``incremental_(un)assign``.

    ``group.protocol=consumer`` (KIP-848): session and heartbeat times are the broker's.
    """
    consumer = Consumer(_reader(log) | {"group.id": group, "group.protocol": "consumer"} | more)
    consumer.subscribe(topics, on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)
    return consumer


def plain_consumer(log: LogAddress, name: str) -> Consumer:
    """A reader without a group, for `assign`: screens, gateways, tests."""
    return Consumer(_reader(log) | {"group.id": f"{name}.ungrouped", "client.id": name})


def assign_from_beginning(consumer: Consumer, topics: list[str], timeout: float = 10.0) -> list[TopicPartition]:
    """Assign every partition of ``topics`` at its first record; raises `NotConnected`."""
    return _assign(consumer, topics, timeout, at_end=False)


def assign_at_end(consumer: Consumer, topics: list[str], timeout: float = 10.0) -> list[TopicPartition]:
    """Assign every partition of ``topics`` behind its last record; raises `NotConnected`."""
    return _assign(consumer, topics, timeout, at_end=True)


def _assign(consumer: Consumer, topics: list[str], timeout: float, at_end: bool) -> list[TopicPartition]:
    try:
        found = []
        for topic in topics:
            about = consumer.list_topics(topic, timeout=timeout).topics[topic]
            if about.error is not None:
                raise NotConnected(f"topic {topic}: {about.error.str()}")
            for partition in about.partitions:
                low, high = _offsets(consumer, TopicPartition(topic, partition), timeout)
                found.append(TopicPartition(topic, partition, high if at_end else low))
    except KafkaException as error:
        raise NotConnected(f"the log does not answer: {error.args[0].str()}") from error
    consumer.assign(found)
    return found


def _offsets(consumer: Consumer, partition: TopicPartition, timeout: float) -> tuple[int, int]:
    """First and next offset. A topic that was just made is listed before its leader knows that it leads: that is waited for."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            low, high = consumer.get_watermark_offsets(partition, timeout=timeout)
            return low, high
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def consume_batch(consumer: Consumer, most: int = 500, wait: float = POLL_S) -> list[Message]:
    """Up to ``most`` messages (errors among them): a poll's latency with a batch's throughput."""
    first = consumer.poll(wait)
    if first is None:
        return []
    return [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]


def ensure_topics(log: LogAddress, replication: int = 1, timeout: float = 30.0) -> list[str]:
    """Create the topics that are missing; returns their names. On the embedded log its owner has made them.

    Raises `NotConnected` when the broker does not answer and KafkaException when it refuses.
    """
    if log.embedded:
        return []
    admin = AdminClient(_common(log))
    try:
        there = set(admin.list_topics(timeout=timeout).topics)
    except KafkaException as error:
        raise NotConnected(f"Kafka at {log.bootstrap} does not answer: {error.args[0].str()}") from error
    missing = [topic for topic in TOPICS if topic.name not in there]
    wanted = [
        NewTopic(t.name, num_partitions=t.partitions, replication_factor=replication, config=t.config())
        for t in missing
    ]
    if not wanted:
        return []
    for future in admin.create_topics(wanted, request_timeout=timeout).values():
        try:
            future.result(timeout)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    deadline = time.monotonic() + timeout
    while not {t.name for t in missing} <= set(admin.list_topics(timeout=timeout).topics):
        if time.monotonic() > deadline:
            raise NotConnected("Kafka has taken the topics but does not list them")
        time.sleep(0.05)
    return [topic.name for topic in missing]


def _quiet(error: KafkaError) -> None:
    """Connection errors show as missing progress; the parts report those once."""


def is_record(consumer: Consumer, message: Message) -> bool:
    """Whether ``message`` is a record to take. An offset out of range goes on at the oldest record there is: watermarks decide what is done already.

    Raises `NotConnected` for an error that the client does not recover from.
    """
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        place = TopicPartition(message.topic() or "", message.partition() or 0)
        place.offset, _ = consumer.get_watermark_offsets(place, timeout=5)
        # Not by a seek: the client has stopped to fetch a partition with this error, and refuses one ("Erroneous state").
        consumer.incremental_unassign([place])
        consumer.incremental_assign([place])
    elif error.fatal():
        raise NotConnected(f"the log: {error.str()}")
    return False
