"""Index by index: the lineage's statements are all a few steps along indexes, and must be planned so before there are statistics.

A first start loads hours of history within seconds, a minute before PostgreSQL looks at the tables; with its guesses for tables it does
not know a trace of 500 units took 20 s instead of 0.08.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from psycopg.pq import TransactionStatus

_BY_INDEX = "select set_config(name, 'off', true) from unnest(array['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) as name"
_FROZEN = "set transaction isolation level repeatable read"


def by_index(conn: Connection[Any]) -> None:
    """For the rest of the open transaction: no whole table is read while an index can answer."""
    conn.execute(_BY_INDEX)


@contextmanager
def one_view(conn: Connection[Any]) -> Iterator[None]:
    """A transaction in which all statements see the same state, whatever the projector does meanwhile.

    Within an open transaction it is a part of that one, with whatever that one sees.
    """
    idle = conn.info.transaction_status == TransactionStatus.IDLE
    with conn.transaction():
        if idle:
            conn.execute(_FROZEN)
        by_index(conn)
        yield
