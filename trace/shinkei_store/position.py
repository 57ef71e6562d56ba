"""Positions and watermarks of consumers, moved by compare-and-set in the transaction of their effects. SQL only."""

from __future__ import annotations

from typing import Any

import psycopg
from confluent_kafka import Message

from shinkei_events.errors import Fenced
from shinkei_events.identity import FIRST_NUMBER, Kind, StreamId
from shinkei_events.topics import TOPIC_OF_KIND, partition_of

_TAKE = """
insert into fence (consumer, log_id, topic, "partition", position, token) values (%s, %s, %s, %s, 0, 1)
on conflict (consumer, log_id, topic, "partition") do update set token = fence.token + 1
returning position, token"""

_MOVE = """
update fence set position = %s, moved = now()
where consumer = %s and log_id = %s and topic = %s and "partition" = %s and token = %s"""

_MARK = """
insert into watermark (consumer, stream, next_number) values (%s, %s, %s)
on conflict (consumer, stream) do update set next_number = excluded.next_number"""

_MARKS = """
select s.epoch, s.machine, s.kind, coalesce(w.next_number, 0) from stream s
left join watermark w on w.stream = s.epoch || '/' || s.machine || '/' || s.kind and w.consumer = %s
where s.kind = any(%s)"""

_REFUSED = """
insert into refused (consumer, log_id, topic, "partition", position, key, reason, headers, raw)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing"""


def take(conn: psycopg.Connection[Any], consumer: str, log_id: str, topic: str, partition: int) -> tuple[int, int]:
    """Become the owner of a partition: everybody who had it before is fenced. Returns position and token."""
    row = conn.execute(_TAKE, (consumer, log_id, topic, partition)).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def move(
    conn: psycopg.Connection[Any], consumer: str, log_id: str, topic: str, partition: int, position: int, token: int
) -> None:
    """Move the position; raises `Fenced` when another worker has taken the partition."""
    done = conn.execute(_MOVE, (position, consumer, log_id, topic, partition, token))
    if done.rowcount != 1:
        conn.rollback()
        raise Fenced(f"{consumer}: {topic}/{partition} of log {log_id} belongs to another worker now")


def partition_streams(topic: str, partition: int, rows: list[tuple[Any, ...]]) -> dict[str, int]:
    """Of rows ``(epoch, machine, kind, number)`` those on this partition, as stream text to number (at least 1)."""
    found = ((StreamId(str(row[0]), row[1], row[2]), int(row[3])) for row in rows)
    return {
        str(s): max(FIRST_NUMBER, number)
        for s, number in found
        if TOPIC_OF_KIND[s.kind].name == topic and partition_of(s.machine) == partition
    }


def watermarks(
    conn: psycopg.Connection[Any], consumer: str, topic: str, partition: int, kinds: tuple[Kind, ...]
) -> dict[str, int]:
    """Next numbers of all recorded streams of a partition for ``consumer`` (1 for those it never read)."""
    return partition_streams(topic, partition, conn.execute(_MARKS, (consumer, list(kinds))).fetchall())


def set_watermarks(conn: psycopg.Connection[Any], consumer: str, marks: dict[str, int]) -> None:
    """Store next numbers by stream text."""
    if marks:
        conn.cursor().executemany(_MARK, [(consumer, name, number) for name, number in marks.items()])


def refuse(conn: psycopg.Connection[Any], consumer: str, log_id: str, message: Message, reason: str) -> None:
    """Keep a record of the log that could not be understood, with its bytes."""
    headers = "\n".join(f"{pair[0]}: {pair[1]!r}" for pair in message.headers() or [])
    key = message.key()
    shown = key.decode(errors="replace") if isinstance(key, bytes) else str(key or "")
    row = (
        consumer,
        log_id,
        message.topic(),
        message.partition(),
        message.offset(),
        shown,
        reason,
        headers,
        message.value() or b"",
    )
    conn.execute(_REFUSED, row)
