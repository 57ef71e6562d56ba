"""The books, and what waits in the spool, as Prometheus metrics, worked out when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shinkei_gateway.reconcile import COUNTED, Books

WAITING = {
    "backlog": "Values and events in the spool that are not recorded yet",
    "spool_bytes": "Bytes of the spool on disk",
    "log_connected": "Whether the log takes what is sent: 1 or 0",
}


class BooksCollector(Collector):
    """``state``: as `Books.rows` wants it. ``now``: values of `WAITING`, by name. Labels are the configured sources only."""

    def __init__(
        self,
        books: Books,
        state: Callable[[], dict[str, tuple[int, int, int]]],
        now: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._books, self._state, self._now = books, state, now

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
        """Values and events of the kept hours, per source and stage."""
        family = GaugeMetricFamily(
            "shinkei_gateway_values",
            "Values and events of the last 48 hours by how far they came",
            labels=["source", "stage"],
        )
        totals: dict[tuple[str, str], int] = {}
        for row in self._books.rows(self._state()):
            for stage in COUNTED:
                if row[stage] is not None:
                    totals[row["source"], stage] = totals.get((row["source"], stage), 0) + row[stage]
        for (source, stage), total in sorted(totals.items()):
            family.add_metric([source, stage], total)
        yield family
        for name, value in self._now().items():
            yield GaugeMetricFamily(f"shinkei_gateway_{name}", WAITING[name], value)
