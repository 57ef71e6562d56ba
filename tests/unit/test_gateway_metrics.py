"""What a gateway shows on /metrics beside its events: its books by stage, and what waits."""

from __future__ import annotations

from shinkei_gateway.metrics import WAITING, BooksCollector
from shinkei_gateway.reconcile import HOUR_NS, Books, Run


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


def test_whether_the_books_balance_is_a_gauge_of_those_sources_of_which_it_is_known() -> None:
    books, now = Books(), 10 * HOUR_NS
    books.enter("good", 5 * HOUR_NS, [Run("e/A/signals", 1, 11)], received=10)
    books.enter("bad", 5 * HOUR_NS, [Run("e/B/signals", 1, 11)], received=10)
    books.enter("lost", 5 * HOUR_NS, [Run("d/C/signals", 1, 11)], received=10)
    state = {"e/A/signals": (11, 11, 11), "e/B/signals": (11, 11, 5)}

    def shown(state: dict[str, tuple[int, int, int]] | None) -> dict[str, float]:
        families = BooksCollector(books, lambda: state, dict, lambda: now).collect()
        (family,) = (family for family in families if family.name == "shinkei_gateway_balanced")
        return {sample.labels["source"]: sample.value for sample in family.samples}

    assert shown(state) == {"good": 1, "bad": 0}
    assert shown(None) == {}
