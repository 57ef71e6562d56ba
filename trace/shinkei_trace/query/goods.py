"""Which finished goods contain a unit: straight from the closure, as known now."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from shinkei_trace.query.find import UnitFound

_GOODS = """
select u.id, u.kind, u.serial, u.item, u.finished, c.certainty from top_closure c join unit u on u.id = c.finished_good
where c.ancestor = %s order by u.serial"""


def finished_goods(conn: Connection[Any], unit: UnitFound) -> list[tuple[UnitFound, float]]:
    """Finished goods that contain ``unit``, each with the certainty of it, by serial number. What is still in work is not among them."""
    return [(UnitFound(*row[:5]), row[5]) for row in conn.execute(_GOODS, (unit.id,)).fetchall()]
