"""Finding the unit that somebody means, and the point of the record that a date means. SQL only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from psycopg import Connection

_EXACT = "select id, kind, serial, item, finished from unit where serial = %s order by ns"
_LIKE = "select id, kind, serial, item, finished from unit where serial like %s order by serial limit %s"
_AT = "select coalesce(max(number), 0) from event_raw where recorded <= %s"
_NOW = "select number from trace_position"


class UnitFound(msgspec.Struct, frozen=True):
    """A known unit. ``id`` is a surrogate of this database: never keep or show it."""

    id: int
    type: str
    serial: str
    item: str | None
    finished: bool


def resolve(conn: Connection[Any], text: str) -> list[UnitFound]:
    """Units with exactly this serial number; ``TYPE:SERIAL`` means one type. Usually one, none when it is unknown."""
    wanted, colon, rest = text.strip().partition(":")
    found = [UnitFound(*row) for row in conn.execute(_EXACT, (text.strip(),)).fetchall()]
    if not found and colon:
        found = [
            one for one in (UnitFound(*row) for row in conn.execute(_EXACT, (rest,)).fetchall()) if one.type == wanted
        ]
    return found


def nearest(conn: Connection[Any], text: str, limit: int = 10) -> list[UnitFound]:
    """Units whose serial number begins like ``text``: as much of it as any has."""
    wanted = text.strip()
    for length in range(len(wanted), 0, -1):
        pattern = wanted[:length].replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        rows = conn.execute(_LIKE, (pattern, limit)).fetchall()
        if rows:
            return [UnitFound(*row) for row in rows]
    return []


def as_of_number(conn: Connection[Any], when: str | int | datetime | None) -> int:
    """The ``event_raw`` number that ``when`` means: a number itself, a date (the last one recorded before it), or None: now."""
    row: tuple[Any, ...] | None
    if isinstance(when, int):
        return when
    if isinstance(when, str):
        if when.isdigit():
            return int(when)
        when = datetime.fromisoformat(when).astimezone()
    row = conn.execute(_NOW).fetchone() if when is None else conn.execute(_AT, (when,)).fetchone()
    return int(row[0]) if row else 0
