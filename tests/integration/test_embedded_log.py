"""The embedded log is there at once: the mock's thread must not sleep over a request (it would then take seconds, at random)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer, Message, TopicPartition

from shinkei_events import kafka
from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress, _common
from shinkei_events.topics import SIGNALS
from tests.support.parts import environment
from tests.support.waiting import eventually

STARTS, WITHIN_S = 6, 3.0
"""Measured: 0.5 s for all of them; 5 s where each start lost a second now and then."""
ROUNDS = 5
"""A shared machine may stand still in one round; a log that loses seconds does so in all of them."""


def starting(folder: Path) -> float:
    """Seconds that `STARTS` starts took."""
    took = 0.0
    for at in range(STARTS):
        log = EmbeddedLog(folder / str(at))
        began = time.monotonic()
        log.start()
        took += time.monotonic() - began
        log.stop()
    return took


def test_it_starts_without_losing_seconds(tmp_path: Path) -> None:
    assert any(starting(tmp_path / str(at)) < WITHIN_S for at in range(ROUNDS))


WITHOUT_NETWORK = """
import sys
from pathlib import Path
from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.kafka import LogAddress, producer
log = EmbeddedLog(Path(sys.argv[1]))
log.start()
print(producer(LogAddress(log.bootstrap, log.log_id, True)).list_topics(timeout=20).brokers)
log.stop()
"""


def test_it_is_reached_where_the_loopback_is_the_only_interface(tmp_path: Path) -> None:
    """A demo needs no network. Where no namespace may be made (not root and not allowed), the setting that decides it is read."""
    inner = f"ip link set lo up && exec {shlex.quote(sys.executable)} -P -c {shlex.quote(WITHOUT_NETWORK)} {shlex.quote(str(tmp_path / 'log'))}"
    if subprocess.run(["unshare", "-rn", "sh", "-c", "ip link set lo up"], capture_output=True).returncode == 0:
        done = subprocess.run(
            ["unshare", "-rn", "sh", "-c", inner], capture_output=True, text=True, timeout=90, env=environment()
        )
        assert done.returncode == 0, done.stderr
        assert "127.0.0.1" in done.stdout
    else:
        assert _common(LogAddress("127.0.0.1:1", "", True))["broker.address.family"] == "any"


def test_a_reader_whose_place_is_not_kept_any_more_goes_on_at_the_oldest_record(tmp_path: Path) -> None:
    """The embedded log keeps 5 MiB of a partition; a Kafka behaves so after the retention time."""
    log = EmbeddedLog(tmp_path)
    log.start()
    address = LogAddress(log.bootstrap, log.log_id, embedded=True)
    producer = kafka.producer(address)

    def from_the_beginning(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            place.offset = 0
        consumer.incremental_assign(partitions)

    reader = kafka.group_consumer(
        address, "g", [SIGNALS.name], from_the_beginning, lambda c, p: c.incremental_unassign(p)
    )
    try:
        for number in range(80):
            producer.produce(SIGNALS.name, os.urandom(100_000), key=str(number), partition=3)
            producer.poll(0)
        assert producer.flush(60) == 0
        found: list[Message] = []

        def is_at_the_end() -> bool:
            found.extend(m for m in kafka.consume_batch(reader, 100, 0.2) if kafka.is_record(reader, m))
            return bool(found) and found[-1].key() == b"79"

        eventually(is_at_the_end, 30)
        assert [int(message.key() or b"") for message in found] == list(range(80 - len(found), 80))
        assert len(found) < 80
    finally:
        reader.close()
        log.stop()
