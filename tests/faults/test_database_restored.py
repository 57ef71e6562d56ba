"""A database restored from an older backup, behind a real Kafka: what came after the backup is on record again, once and in order.

Kafka may still have it, or not any more: then the recorder asks the gateway, which keeps its spool for just that.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import OFFSET_END, TopicPartition

from shinkei_events.topics import PRODUCTION, QUARANTINE, SIGNALS
from shinkei_store.pool import connect
from tests.faults.test_gateway_log import MACHINES, Plant
from tests.support.kafka import KafkaNode
from tests.support.store import left_by
from tests.support.waiting import eventually

TABLES = ("frame", "reading", "event_raw", "state_change", "watermark", "fence", "event_raw_end")
STREAMS = (SIGNALS, PRODUCTION, QUARANTINE)
SEARCH = "-c search_path=shinkei,public"


def forget(kafka: KafkaNode) -> None:
    """As after the retention time: topics are there, records are not."""
    admin = kafka.admin()
    found = admin.list_topics(timeout=60).topics
    ends = [TopicPartition(topic.name, p, OFFSET_END) for topic in STREAMS for p in found[topic.name].partitions]
    for future in admin.delete_records(ends, request_timeout=60).values():
        future.result(60)


@pytest.mark.parametrize(
    "kafka_has_it",
    [pytest.param(True, id="on the log", marks=pytest.mark.long), pytest.param(False, id="in the spool alone")],
)
def test_a_database_restored_from_an_older_backup_is_filled_again(
    tmp_path: Path, kafka: KafkaNode, postgres: str, kafka_has_it: bool
) -> None:
    with ExitStack() as ending:
        proxy = ending.enter_context(kafka.proxy())
        plant = Plant(tmp_path, kafka, postgres, proxy)
        ending.callback(plant.stop)
        plant.start()
        plant.store.kill()
        left_by(postgres, "store")
        with psycopg.connect(postgres, options=SEARCH) as conn:
            for table in TABLES:
                conn.execute(f"create table backup_{table} as select * from {table}")
        kept, said = plant.recorded(), plant.said
        plant.store.start(60)
        eventually(lambda: plant.recorded() > said + 500, 60)
        plant.rest()
        plant.store.kill()
        left_by(postgres, "store")
        with psycopg.connect(postgres, options=SEARCH) as conn:
            for table in TABLES:
                conn.execute(f"delete from {table}")
                conn.execute(f"insert into {table} select * from backup_{table}")
        assert len(plant.stored()[MACHINES[0]]) < plant.said
        if not kafka_has_it:
            forget(kafka)
        plant.store.start(60)
        wanted = {machine: [(n, n) for n in range(1, plant.said + 1)] for machine in MACHINES}
        eventually(lambda: plant.stored() == wanted, 60, every=0.5)
        assert plant.said > kept
        with connect(plant.plant, "ui") as conn:
            assert conn.execute("select count(*) from gap").fetchone() == (0,)
