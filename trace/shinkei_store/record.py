"""Reading the record: frames and events by stream and number, for whoever missed them live. SQL only.

Everything comes in the order of the numbers and carries the gap marks as recorded, so that watermarks can pass over what is missing.
"""

from __future__ import annotations

from typing import Any

import psycopg
import zstandard

from shinkei_events.codec import decode
from shinkei_events.identity import Kind, StreamId
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Numbered
from shinkei_events.registry import FRAME
from shinkei_store.follower import Item
from shinkei_store.position import partition_streams

_FRAMES = """
select f.first, f.body from frame f
where f.stream_id = (select id from stream where epoch = %s and machine = %s and kind = %s) and f.first + f.n > %s
order by f.first, f.n limit %s"""

_EVENTS = """
select e.stream_number, e.type, e.body from event_raw e
where e.stream_id = (select id from stream where epoch = %s and machine = %s and kind = %s) and e.stream_number >= %s
order by e.stream_number limit %s"""

_NEXT = """
select s.epoch, s.machine, s.kind, w.next_number from stream s
join watermark w on w.stream = s.epoch || '/' || s.machine || '/' || s.kind join recorder r on r.name = w.consumer
where s.kind = any(%s)"""


def unpack(body: bytes) -> bytes:
    """The encoded frame of a frame row."""
    return zstandard.ZstdDecompressor().decompress(body)


def read_frames(conn: psycopg.Connection[Any], stream: StreamId, number: int, limit: int) -> list[Frame]:
    """Up to ``limit`` frames that hold ``number`` or later ones, in order."""
    rows = conn.execute(_FRAMES, (stream.epoch, stream.machine, stream.kind, number, limit)).fetchall()
    return [decode(FRAME.ce_type, unpack(body)) for _, body in rows]


def read_events(conn: psycopg.Connection[Any], stream: StreamId, number: int, limit: int) -> list[tuple[str, Numbered]]:
    """Up to ``limit`` events from ``number`` on, in order, with their types."""
    rows = conn.execute(_EVENTS, (stream.epoch, stream.machine, stream.kind, number, limit)).fetchall()
    return [(type, decode(type, bytes(body))) for _, type, body in rows]


def read_items(conn: psycopg.Connection[Any], name: str, number: int, limit: int) -> list[Item]:
    """The next records of a stream as a follower takes them; a history stream has both frames and events."""
    stream = StreamId.parse(name)
    items: list[Item] = []
    if stream.kind in ("signals", "history"):
        for frame in read_frames(conn, stream, number, limit):
            mark = frame.gap_before
            items.append(
                Item(
                    stream, frame.first, frame.count, mark.begin if mark else None, FRAME.ce_type, frame, recorded=True
                )
            )
    if stream.kind in ("production", "history"):
        for type, event in read_events(conn, stream, number, limit):
            mark = event.gap_before
            items.append(Item(stream, event.number, 1, mark.begin if mark else None, type, event, recorded=True))
    items.sort(key=lambda item: (item.first, item.count))
    return items[:limit]


def recorded_next(conn: psycopg.Connection[Any], topic: str, partition: int, kinds: tuple[Kind, ...]) -> dict[str, int]:
    """How far the recorder has the streams of a partition."""
    return partition_streams(topic, partition, conn.execute(_NEXT, (list(kinds),)).fetchall())
