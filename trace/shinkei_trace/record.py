"""Reading ``event_raw``: the lineage's log, in the order of its numbers, and the facts in it again by number. SQL only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shinkei_events.model.machine import SetupChanged
from shinkei_events.model.operation import Operation
from shinkei_events.registry import BY_STRUCT
from shinkei_trace.facts import Fact, fact_of

OPERATION = BY_STRUCT[Operation].ce_type
SETUP = BY_STRUCT[SetupChanged].ce_type
FACT_TYPES = [OPERATION, SETUP]
_READ = {OPERATION: msgspec.json.Decoder(Operation).decode, SETUP: msgspec.json.Decoder(SetupChanged).decode}
"""Types are checked here, values were when they were recorded: checking every number of a press curve again takes 6 times as long."""

_NEXT = """
select number, type, case when type = any(%s) then body end from event_raw where number > %s order by number limit %s"""
_SOME = "select number, type, body from event_raw where number = any(%s) order by number"
_END = "select coalesce(max(number), 0) from event_raw"


class Page(NamedTuple):
    """Facts of the events up to number ``upto``; ``unreadable``: numbers and what is wrong with them."""

    upto: int
    events: int
    facts: list[Fact]
    unreadable: list[tuple[int, str]]


def next_page(conn: Connection[Any], after: int, limit: int) -> Page:
    """What follows number ``after``; numbers are contiguous, so a hole ends the page (its transaction is still to be seen)."""
    facts: list[Fact] = []
    unreadable: list[tuple[int, str]] = []
    upto = after
    for number, type, body in conn.execute(_NEXT, (FACT_TYPES, after, limit)).fetchall():
        if number != upto + 1:
            break
        upto = number
        if body is None:
            continue
        try:
            fact = fact_of(number, _READ[type](body))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            unreadable.append((number, str(error)))
            continue
        if fact is not None:
            facts.append(fact)
    return Page(upto, upto - after, facts, unreadable)


def facts_at(conn: Connection[Any], numbers: Iterable[int]) -> list[Fact]:
    """The facts with these numbers, in order."""
    found = (
        fact_of(number, _READ[type](body)) for number, type, body in conn.execute(_SOME, (list(numbers),)).fetchall()
    )
    return [fact for fact in found if fact is not None]


def end(conn: Connection[Any]) -> int:
    """The last number there is."""
    row = conn.execute(_END).fetchone()
    return int(row[0]) if row else 0
