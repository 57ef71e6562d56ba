"""The alarm part as a process: consumer, relay of its outbox, delivery, and the ear that hears whether gateways are there."""

from __future__ import annotations

import threading

from shinkei_alerts.deliver import Deliverer
from shinkei_alerts.ear import Ear
from shinkei_alerts.settings import AlertsSettings
from shinkei_alerts.watchdog import Watchdog
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
    watchdog = Watchdog(settings.gateway_silent)
    ear = Ear(plant, watchdog)
    health.add_source(lambda: {"last_page": deliverer.last_page})
    relay.start()
    deliverer.start()
    ear.start()
    try:
        run_consumer(plant, "alerts", "alerts", AlarmWorker(plant, watchdog=watchdog), stop, health)
    finally:
        ear.stop()
        deliverer.stop()
        relay.stop()
        health.stop()
