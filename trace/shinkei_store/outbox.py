"""The outbox: what a part wants to say, in the transaction in which it became true; the relay sends it afterwards.

An id is a pure function of the cause, so the same cause put twice (a replay, a zombie) is one row. Decisions of people get the
number of their row: ``site/part/number``. Rows are kept as long as the topic keeps records, so that consumers can sweep them.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from psycopg import Connection

from shinkei_events.codec import check
from shinkei_events.envelope import seal
from shinkei_events.identity import decision_id
from shinkei_events.model.decision import Decision
from shinkei_events.registry import type_of

D = TypeVar("D", bound=Decision)

_PUT = """
insert into outbox (part, id, topic, key, type, source, headers, body)
values (%s, %s, %s, %s, %s, %s, %s, %s)
on conflict (part, id) do nothing returning number"""


def put(
    conn: Connection[Any],
    part: str,
    event: msgspec.Struct,
    *,
    source: str,
    id: str,
    key: str | None = None,
    topic: str | None = None,
) -> bool:
    """Add ``event`` in the open transaction; False when the id is there already. Raises `BadField` for an event that breaks the language."""
    check(event)
    sealed = seal(event, source, key=key, topic=topic, id=id)
    headers = msgspec.json.encode([[name, value.decode()] for name, value in sealed.headers]).decode()
    row = (part, id, sealed.topic, sealed.key.decode(), type_of(event).ce_type, source, headers, sealed.value)
    return conn.execute(_PUT, row).fetchone() is not None


def decide(conn: Connection[Any], site: str, part: str, decision: D, *, source: str) -> D:
    """Give a person's ``decision`` (its ``id`` is empty) an id and put it; wakes the relay. Raises ValueError when it has an id."""
    if decision.id:
        raise ValueError(f"{decision.id}: a decision gets its id here")
    row = conn.execute("select nextval('outbox_number')").fetchone()
    assert row is not None
    made = msgspec.structs.replace(decision, id=decision_id(site, part, int(row[0])))
    put(conn, part, made, source=source, id=made.id, key=made.subject)
    wake(conn, part)
    return made


def wake(conn: Connection[Any], part: str) -> None:
    """Tell the relay, at commit, that there is something."""
    conn.execute("select pg_notify('shinkei_outbox', %s)", (part,))
