"""Ten minutes of the plant through the whole chain, embedded and on real Kafka, PostgreSQL and mosquitto: every reading and operation
in the machines' own ledgers is in the database exactly once, in their order; and one id leads all the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.chain import Chain, recorded, told

if TYPE_CHECKING:
    from tests.support.kafka import KafkaNode
    from tests.support.mosquitto import Mosquitto

SPEED = 6.0
LENGTH_S = 600.0
FIRST_MOMENT = 3
"""A machine's first operations are said in the very moment of subscribing: a server may tell the newest first, then the queue."""

Make = Callable[[], Chain]


@pytest.fixture
def on_real_servers(kafka: KafkaNode, postgres: str, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path, speed=SPEED, length=LENGTH_S, log=kafka.bootstrap, dsn=postgres, broker=mosquitto.url)
    yield from run(chain)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Chain]:
    yield from run(Chain(tmp_path, speed=SPEED, length=LENGTH_S))


def run(chain: Chain) -> Iterator[Chain]:
    try:
        chain.start()
        yield chain
    finally:
        chain.stop()


def everything_arrived(chain: Chain) -> None:
    chain.played(LENGTH_S / SPEED + 90)
    chain.arrived()
    said, done = told(chain.folder)
    kept, operations = recorded(chain)
    assert len(said) >= 20
    for key, values in said.items():
        assert kept.get(key) == values, f"{key}: {len(kept.get(key, []))} recorded of {len(values)}"
    assert set(kept) == set(said)
    for machine, told_operations in done.items():
        there = [
            (o.kind, o.started, o.ended, o.result, [u.id for u in o.inputs], [u.id for u in o.outputs])
            for o in operations[machine]
        ]
        expected = [
            (
                o["kind"],
                o["started"],
                o["ended"],
                o.get("result", "unknown"),
                [u["id"] for u in o.get("inputs", [])],
                [u["id"] for u in o.get("outputs", [])],
            )
            for o in told_operations
        ]
        assert sorted(there) == sorted(expected), f"{machine}: {len(there)} operations recorded of {len(expected)}"
        assert len({o.operation_id for o in operations[machine]}) == len(expected)
        ends = [o.ended for o in operations[machine]][FIRST_MOMENT:]
        assert ends == sorted(ends), f"{machine}: operations out of order"
    assert chain.ask("select count(*) from gap where not possible") == [(0,)]
    print(
        f"{sum(map(len, said.values()))} values and {sum(map(len, done.values()))} operations, each once and in order"
    )


def test_on_real_kafka_postgresql_and_mosquitto(on_real_servers: Chain) -> None:
    everything_arrived(on_real_servers)


def test_embedded(embedded: Chain) -> None:
    everything_arrived(embedded)
