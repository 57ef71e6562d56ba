"""What a gateway shows on /metrics beside its events: its books by stage, and what waits."""

from __future__ import annotations

from shinkei_gateway.metrics import WAITING, BooksCollector
from shinkei_gateway.reconcile import Books


def test_what_waits_is_a_gauge_each() -> None:
    waiting = {"backlog": 7.0, "spool_bytes": 4096.0, "log_connected": True}
    assert waiting.keys() == WAITING.keys()
    families = {family.name: family for family in BooksCollector(Books(), dict, lambda: waiting).collect()}
    shown = {name: family.samples[0].value for name, family in families.items() if family.samples}
    assert shown == {
        "shinkei_gateway_backlog": 7.0,
        "shinkei_gateway_spool_bytes": 4096.0,
        "shinkei_gateway_log_connected": 1.0,
    }
