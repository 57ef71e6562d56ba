"""Units and their surrogate ids, given at first sight – before the unit's own birth is known, so the order of arrival does not matter.

SQL only; called by `ingest` (which writes) and by the queries (which look up).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from psycopg import Connection

from shinkei_trace.facts import Fact, OperationFact, UnitKey

UNIT_TYPES = ("serial", "lot", "container", "supplier_lot", "shipment", "tool", "program", "fixture", "operator_group")
"""Each is a number space of its own; the place in this list is its ``ns``."""
NS = {name: at for at, name in enumerate(UNIT_TYPES)}

_FIND = """
select u.id, u.kind, u.serial, u.item from unnest(%s::smallint[], %s::text[]) as k (ns, serial) join unit u on u.ns = k.ns and u.serial = k.serial"""
_ADD = """
insert into unit (ns, serial, kind, item, first_number)
select * from unnest(%s::smallint[], %s::text[], %s::text[], %s::text[], %s::bigint[]) returning id, kind, serial"""
_NAME_ITEM = """
update unit u set item = k.item from unnest(%s::bigint[], %s::text[]) as k (id, item) where u.id = k.id and u.item is null"""


class Sight(NamedTuple):
    """A unit as a batch of events names it: its item if one says so, and the first event that names it."""

    key: UnitKey
    item: str | None
    number: int


class Known(NamedTuple):
    """Ids of all units of a batch; ``new``: those nobody had named before."""

    ids: dict[UnitKey, int]
    new: frozenset[UnitKey]


def sights(facts: Iterable[Fact]) -> list[Sight]:
    """Every unit that ``facts`` (in the order of their numbers) name, in the order of first sight."""
    seen: dict[UnitKey, Sight] = {}
    for fact in facts:
        named = (
            [(p.key, p.item) for p in (*fact.inputs, *fact.outputs)]
            if isinstance(fact, OperationFact)
            else [(fact.unit, fact.item)]
        )
        for key, item in named:
            before = seen.get(key)
            if before is None:
                seen[key] = Sight(key, item, fact.number)
            elif before.item is None and item is not None:
                seen[key] = before._replace(item=item)
    return list(seen.values())


def find(conn: Connection[Any], keys: Iterable[UnitKey]) -> dict[UnitKey, int]:
    """Ids of those of ``keys`` that are known."""
    wanted = list(keys)
    rows = conn.execute(_FIND, ([NS[k.type] for k in wanted], [k.id for k in wanted])).fetchall()
    return {UnitKey(kind, serial): number for number, kind, serial, _ in rows}


def register(conn: Connection[Any], named: list[Sight]) -> Known:
    """Ids for all units of a batch, new ones made; an item told for the first time is kept."""
    rows = conn.execute(_FIND, ([NS[s.key.type] for s in named], [s.key.id for s in named])).fetchall()
    ids = {UnitKey(kind, serial): number for number, kind, serial, _ in rows}
    unnamed = {UnitKey(kind, serial) for _, kind, serial, item in rows if item is None}
    named_now = [s for s in named if s.item is not None and s.key in unnamed]
    if named_now:
        conn.execute(_NAME_ITEM, ([ids[s.key] for s in named_now], [s.item for s in named_now]))
    fresh = [s for s in named if s.key not in ids]
    if fresh:
        columns = zip(*((NS[s.key.type], s.key.id, s.key.type, s.item, s.number) for s in fresh), strict=True)
        for number, kind, serial in conn.execute(_ADD, [list(column) for column in columns]).fetchall():
            ids[UnitKey(kind, serial)] = number
    return Known(ids, frozenset(s.key for s in fresh))
