"""The real servers of the tests: each does what its fixture promises, also after a kill -9."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # its own stubs forget to export it
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.kafka import KafkaNode
from tests.support.postgres import EmbeddedServer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mosquitto import Mosquitto
    from tests.support.postgres import DebianPostgres


def make_topic(node: KafkaNode, name: str) -> None:
    admin = node.admin()
    admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])[name].result(60)


def send(node: KafkaNode, topic: str, values: list[bytes]) -> None:
    producer = Producer(
        {"bootstrap.servers": node.bootstrap, "enable.idempotence": True, "message.timeout.ms": 120_000, "log_level": 2}
    )
    for value in values:
        producer.produce(topic, value, key=b"k")
    assert producer.flush(120) == 0


def everything(node: KafkaNode, topic: str, group: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": node.bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "log_level": 2,
        }
    )
    consumer.subscribe([topic])
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(message.value() or b"" for message in consumer.consume(count, 0.2) if message.error() is None)
        return len(found) >= count

    try:
        eventually(enough, 60)
    finally:
        consumer.close()
    return found


def test_kafka_keeps_acknowledged_records_over_a_kill(kafka: KafkaNode) -> None:
    make_topic(kafka, "kept")
    values = [str(number).encode() for number in range(500)]
    send(kafka, "kept", values)
    cluster = kafka.admin().list_topics(timeout=60).cluster_id
    kafka.kill()
    assert not kafka.alive()
    kafka.start()
    assert kafka.admin().list_topics(timeout=60).cluster_id == cluster == kafka.cluster_id
    assert everything(kafka, "kept", "g", 500) == values


def test_kafka_is_empty_for_the_next_test(kafka: KafkaNode) -> None:
    make_topic(kafka, "gone")
    send(kafka, "gone", [b"x"])
    assert everything(kafka, "gone", "g", 1) == [b"x"]
    kafka.clear()
    assert kafka.topics() == []
    make_topic(kafka, "gone")
    send(kafka, "gone", [b"y"])
    assert everything(kafka, "gone", "g", 1) == [b"y"]


def test_a_second_kafka_is_another_log(kafka: KafkaNode, new_kafka: Callable[[], KafkaNode]) -> None:
    other = new_kafka()
    assert other.cluster_id != kafka.cluster_id
    assert other.bootstrap != kafka.bootstrap
    other.freeze()
    with pytest.raises(Exception, match=r"_TRANSPORT|_TIMED_OUT"):
        other.admin().list_topics(timeout=1)
    other.thaw()
    assert other.admin().list_topics(timeout=60).cluster_id == other.cluster_id


def test_postgres_keeps_committed_rows_over_a_kill_and_gives_each_test_its_own_database(
    postgres_server: DebianPostgres, postgres: str
) -> None:
    assert postgres_server.version >= 15
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (-1)")
        postgres_server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres_server.start()
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT count(*), min(n) FROM kept").fetchone() == (1000, 1)
    with psycopg.connect(postgres_server.new_database()) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


def test_the_embedded_database_offers_the_same(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "database")
    server.start()
    try:
        mine = server.new_database()
        with psycopg.connect(mine, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        server.kill()
        server.restart()
        database = str(psycopg.conninfo.conninfo_to_dict(mine)["dbname"])
        with psycopg.connect(server.dsn(database)) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        server.stop()


class Listener:
    """A client with a session that the broker keeps."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: list[bytes] = []
        self.session: bool | None = None
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self.client.on_connect = self._connected
        self.subscribed = False
        self.client.on_subscribe = lambda *about: setattr(self, "subscribed", True)
        self.client.on_message = lambda client, data, message: self.heard.append(bytes(message.payload))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        eventually(self.client.is_connected, 10)
        self.client.subscribe("line/#", qos=1)
        eventually(lambda: self.subscribed, 10)

    def _connected(self, client: Client, data: object, flags: object, reason: object, properties: object) -> None:
        self.session = bool(getattr(flags, "session_present", False))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def publish(broker: Mosquitto, count: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2, client_id="sender")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for number in range(count):
        sent = client.publish("line/op10", str(number).encode(), qos=1)
        sent.wait_for_publish(120)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


def test_mosquitto_keeps_a_session_and_its_messages_over_a_kill(mosquitto: Mosquitto) -> None:
    first = Listener(mosquitto)
    first.close()
    publish(mosquitto, 20)
    written = mosquitto.folder / "data" / "mosquitto.db"
    size = written.stat().st_size if written.exists() else 0
    eventually(lambda: written.exists() and written.stat().st_size >= size, 5)
    mosquitto.restart()
    second = Listener(mosquitto)
    try:
        eventually(lambda: len(second.heard) == 20, 10)
        assert second.session is True
        assert second.heard == [str(number).encode() for number in range(20)]
        mosquitto.kill()
        eventually(lambda: not second.client.is_connected(), 10)
        mosquitto.start()
        eventually(second.client.is_connected, 20)
    finally:
        second.close()


def test_a_broker_waits_until_its_port_is_free_and_is_not_taken_for_who_answers_there(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    starting = threading.Thread(target=mosquitto.start)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", mosquitto.port))
        other.listen()
        starting.start()
        eventually(lambda: "Address already in use" in (mosquitto.folder / "mosquitto.log").read_text(), 20)
        assert starting.is_alive()
    starting.join(120)
    assert mosquitto.alive()
    publish(mosquitto, 1)
