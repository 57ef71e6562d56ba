"""What the health page asks: how far everything is on record, what is missing, how big the database is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_store.record import read_frames

if TYPE_CHECKING:
    from shinkei_ui.read.reader import Reader, Row

_ON_RECORD = """
select machine, coalesce(sum(stored) filter (where kind = 'signals'), 0)::bigint as signals,
  coalesce(sum(stored) filter (where kind = 'production'), 0)::bigint as events, coalesce(sum(stored) filter (where kind = 'history'), 0)::bigint as history,
  sum(missing)::bigint as missing, sum(gaps_in_time)::bigint as gaps_in_time, max(quarantined)::bigint as quarantined
from v_reconcile group by machine order by machine"""
_LAG = "select consumer, sum(behind)::bigint as behind, count(*) as streams from v_lag group by 1 order by 1"
_GAPS = "select machine, kind, cause, t_from, t_to, at_least, possible, channels, detail, recorded from v_gap order by recorded desc limit %s"
_SIZE = "select pg_database_size(current_database()) as bytes, current_setting('server_version') as version, engine() as engine"
_OUTBOX = "select part, count(*) filter (where sent_at is null) as waiting, count(*) as kept from outbox group by part order by part"
_PAGES = "select state, count(*) as n from delivery group by state order by state"
_QUARANTINE = "select machine, source, place, reason, path, time from quarantine order by recorded desc limit %s"


def on_record(reader: Reader) -> list[Row]:
    """Per machine: values and events on record, numbers missing (with a gap record), gaps in time, messages not understood."""
    return reader.rows(_ON_RECORD)


def lag(reader: Reader) -> list[Row]:
    """How many numbers each consumer is behind the record."""
    return reader.rows(_LAG)


def gaps(reader: Reader, most: int = 20) -> list[Row]:
    """The last gaps."""
    return reader.rows(_GAPS, most)


def database(reader: Reader) -> Row:
    """Size, version, engine."""
    found = reader.row(_SIZE)
    assert found is not None
    return found


def outboxes(reader: Reader) -> list[Row]:
    """What waits to be sent, per part."""
    return reader.rows(_OUTBOX)


def pages(reader: Reader) -> dict[str, int]:
    """Pages by state."""
    return {row["state"]: row["n"] for row in reader.rows(_PAGES)}


def quarantined(reader: Reader, most: int = 10) -> list[Row]:
    """What could not be understood, newest first."""
    return reader.rows(_QUARANTINE, most)


def frames(reader: Reader, stream: StreamId, number: int, most: int = 1) -> list[Frame]:
    """Frames that hold ``number`` or later ones, as recorded."""
    with reader.connection() as conn:
        opened: psycopg.Connection[Any] = conn
        return read_frames(opened, stream, number, most)


def frame_before(reader: Reader, stream: StreamId, first: int) -> int | None:
    """The first number of the frame before the one that begins with ``first``."""
    found = reader.row(
        "select f.first from frame f join stream s on s.id = f.stream_id"
        " where s.epoch = %s and s.machine = %s and s.kind = %s and f.first < %s order by f.first desc limit 1",
        stream.epoch, stream.machine, stream.kind, first,
    )  # fmt: skip
    return int(found["first"]) if found else None
