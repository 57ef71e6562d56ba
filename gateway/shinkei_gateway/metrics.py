"""The books, and what waits in the spool, as Prometheus metrics, worked out when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shinkei_gateway.reconcile import COUNTED, Books, State, verdict

WAITING = {
    "backlog": "Values and events in the spool that are not recorded yet",
    "spool_bytes": "Bytes of the spool on disk",
    "log_connected": "Whether the log takes what is sent: 1 or 0",
}


class BooksCollector(Collector):
    """``state``: as `Books.rows` wants it; ``clock``: ns UTC. ``now``: values of `WAITING`, by name. Labels are the configured sources only."""

    def __init__(
        self,
        books: Books,
        state: Callable[[], State | None],
        now: Callable[[], dict[str, float]] = dict,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._books, self._state, self._now, self._clock = books, state, now, clock

    def register(self) -> None:
        """Show in /metrics."""
        REGISTRY.register(self)

    def unregister(self) -> None:
        """Show no more."""
        REGISTRY.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked at registration."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Values and events of the kept hours, per source and stage, and whether they add up."""
        family = GaugeMetricFamily(
            "shinkei_gateway_values",
            "Values and events of the last 48 hours by how far they came",
            labels=["source", "stage"],
        )
        totals: dict[tuple[str, str], int] = {}
        rows = self._books.rows(self._state(), self._clock())
        for row in rows:
            for stage in COUNTED:
                if row[stage] is not None:
                    totals[row["source"], stage] = totals.get((row["source"], stage), 0) + row[stage]
        for (source, stage), total in sorted(totals.items()):
            family.add_metric([source, stage], total)
        yield family
        yield _balanced(rows)
        for name, value in self._now().items():
            yield GaugeMetricFamily(f"shinkei_gateway_{name}", WAITING[name], value)


def _balanced(rows: list[dict[str, Any]]) -> Metric:
    """Of a source of which nobody knows it there is no sample: 1 would be a promise and 0 an alarm."""
    family = GaugeMetricFamily(
        "shinkei_gateway_balanced", "Whether the last 48 hours of a source add up: 1 or 0", labels=["source"]
    )
    for source in sorted({row["source"] for row in rows}):
        found = verdict(row for row in rows if row["source"] == source)
        if found is not None:
            family.add_metric([source], found)
    return family
