"""The alarm part as a process: consumer, relay of its outbox, delivery."""

from __future__ import annotations

import threading

from shinkei_alerts.deliver import Deliverer
from shinkei_alerts.settings import AlertsSettings
from shinkei_alerts.worker import AlarmWorker
from shinkei_events.health import Health
from shinkei_events.settings import PlantFile, section
from shinkei_store.consumer import run_consumer
from shinkei_store.relay import Relay


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Until ``stop``."""
    settings = section(plant, "alerts", AlertsSettings)
    health = Health("alerts", plant.dir, settings.http)
    health.start()
    relay, deliverer = Relay(plant, "alerts"), Deliverer(plant)
    health.add_source(lambda: {"last_page": deliverer.last_page})
    relay.start()
    deliverer.start()
    try:
        run_consumer(plant, "alerts", "alerts", AlarmWorker(plant), stop, health)
    finally:
        deliverer.stop()
        relay.stop()
        health.stop()
