"""One life after the other: what the recorder and every consumer do when the log, the database or their place is lost.

A life is made on one log and one database connection and never repaired. Peers that are away are waited for, for ever; that is told
once, and their return once. Called by `worker` and `consumer`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import psycopg
from confluent_kafka import KafkaException

from shinkei_events.errors import Fenced, NotConnected
from shinkei_events.health import Health
from shinkei_events.telemetry import emit
from shinkei_store.runtime_telemetry import PartitionFenced, PeerAway, PeerBack

AGAIN_S = 0.5


class Life(Protocol):
    """Made anew for each attempt; making it may raise `NotConnected` as well."""

    def run(self) -> None:
        """Work until stop. Raises psycopg.Error, KafkaException or `NotConnected` when a peer is lost, `Fenced` when another took over."""


def live(name: str, make: Callable[[], Life], health: Health, stop: threading.Event) -> None:
    """Run lives of consumer ``name`` until ``stop``."""
    away = False
    while not stop.is_set():
        try:
            life = make()
            if away:
                away = False
                emit(PeerBack(name))
            life.run()
        except Fenced as error:
            emit(PartitionFenced(name, str(error)))
        except (psycopg.Error, NotConnected, KafkaException) as error:
            health.update(ready=False, error=str(error))
            if not away:
                away = True
                emit(PeerAway(name, str(error)))
            stop.wait(AGAIN_S)
