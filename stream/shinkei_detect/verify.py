"""Does the record still say what was said? Every stream's frames through the core again, compared with every stored revision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg

from shinkei_detect import rows
from shinkei_detect.explain import with_units
from shinkei_detect.machine import MachineDetector
from shinkei_detect.settings import DetectSettings
from shinkei_events.identity import StreamId
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Frame
from shinkei_store.record import read_frames

_ROWS = 500
_STREAMS = """
select s.epoch::text, s.machine, s.kind, coalesce(w.next_number, 1) from stream s
left join watermark w on w.consumer = 'detect' and w.stream = s.epoch::text || '/' || s.machine || '/' || s.kind
where s.kind = 'signals' order by s.machine, s.epoch"""


class Verified(msgspec.Struct, frozen=True):
    """Of one stream. ``same``: revisions said alike; ``missing``: not stored though the record says them; ``other``: stored, but not
    said again (by another version of the detector, or from frames that are no longer kept)."""

    machine: str
    stream: str
    readings: int
    same: int
    missing: int
    other: int


def verify(
    conn: psycopg.Connection[Any], settings: DetectSettings, unwatched: dict[str, frozenset[str]]
) -> Iterator[Verified]:
    """One result per stream, as far as the detector had come when it was asked."""
    for epoch, machine, kind, watermark in conn.execute(_STREAMS).fetchall():
        stream = StreamId(epoch, machine, kind)
        detector = MachineDetector(stream, settings, unwatched.get(machine, frozenset()))
        said: dict[tuple[str, int], AnomalyChanged] = {}
        readings = 0
        for frame in _recorded(conn, stream, watermark):
            said |= {(event.id, event.revision): with_units(event, {}) for event in detector.use(frame)}
            readings += frame.count
        stored = {(event.id, event.revision): with_units(event, {}) for event in rows.revisions(conn, str(stream))}
        same = sum(stored.get(key) == event for key, event in said.items())
        other = sum(key not in said and event.time <= detector.time for key, event in stored.items())
        yield Verified(machine, str(stream), readings, same, len(said) - same, other)


def _recorded(conn: psycopg.Connection[Any], stream: StreamId, watermark: int) -> Iterator[Frame]:
    number = rows.first_recorded(conn, str(stream)) or watermark
    while number < watermark:
        frames = [frame for frame in read_frames(conn, stream, number, _ROWS) if frame.end <= watermark]
        yield from frames
        if not frames or frames[-1].end <= number:
            return
        number = frames[-1].end
