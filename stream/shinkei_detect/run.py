"""The detect part as a process: health, relay of its outbox, and the consumer that feeds the detector."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from shinkei_detect.rows import PART
from shinkei_detect.settings import DetectSettings
from shinkei_detect.worker import DetectHandler
from shinkei_events.health import Health
from shinkei_events.model.master import Signal
from shinkei_events.settings import PlantFile, section
from shinkei_store.consumer import run_consumer
from shinkei_store.relay import Relay

CONSUMER = "detect"


def unwatched_of(signals: Iterable[Signal]) -> dict[str, frozenset[str]]:
    """Signals that master data says not to watch, by machine."""
    found: dict[str, frozenset[str]] = {}
    for one in signals:
        if not one.watch:
            found[one.machine] = found.get(one.machine, frozenset()) | {one.signal}
    return found


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Detect until ``stop``. Raises `BadConfig`; peers that are away are waited for."""
    settings = section(plant, PART, DetectSettings)
    units = {(one.machine, one.signal): one.unit for one in plant.signals if one.unit}
    handler = DetectHandler(settings, f"detect/{plant.site.id}", units, unwatched_of(plant.signals))
    health = Health(PART, plant.dir, settings.http)
    health.start()
    relay = Relay(plant, PART)
    relay.start()
    try:
        run_consumer(plant, CONSUMER, PART, handler, stop, health)
    finally:
        relay.stop()
        health.stop()
