"""The detector as a consumer: frames live from the log, the rest from the record; rows, outbox and snapshots in one transaction.

Decides nothing itself: `machine.MachineDetector` does. After a crash the newest snapshot is loaded and what follows it is learned
again from the record; what is said again has the same ids and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg

from shinkei_detect import rows
from shinkei_detect.errors import SnapshotRefused
from shinkei_detect.explain import with_units
from shinkei_detect.machine import MachineDetector
from shinkei_detect.settings import DetectSettings
from shinkei_detect.snapshot import restore, take
from shinkei_detect.telemetry import AnomalyOpened, ModelsLoaded, ReadingsJudged, SnapshotNotUsed
from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Frame
from shinkei_events.telemetry import emit
from shinkei_events.topics import SIGNALS, partition_of
from shinkei_store import outbox
from shinkei_store.consumer import Handler
from shinkei_store.follower import Item


class DetectHandler(Handler):
    """State of the partitions of one worker. ``units`` by (machine, signal); ``unwatched``: signals to leave out, by machine."""

    topics = (SIGNALS.name,)
    kinds = ("signals",)

    def __init__(
        self,
        settings: DetectSettings,
        source: str,
        units: Mapping[tuple[str, str], str] | None = None,
        unwatched: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._settings, self._source = settings, source
        self._units, self._unwatched = dict(units or {}), dict(unwatched or {})
        self._every = int(settings.snapshot_every * 1e9)
        self._detectors: dict[str, MachineDetector] = {}
        self._saved: dict[str, int] = {}  # stream: stream time (ns) of its last snapshot
        self._silent: dict[str, int] = {}  # stream: another version has spoken below this number
        self._said: list[AnomalyChanged] = []
        self._readings = 0

    def load(
        self, conn: psycopg.Connection[Any], topic: str, partition: int, committed: dict[str, int]
    ) -> dict[str, int]:
        """See `Handler.load`: snapshots where there are fitting ones; from the numbers they include the record is read again."""
        for name in [name for name in self._detectors if partition_of(StreamId.parse(name).machine) == partition]:
            for of in (self._detectors, self._saved, self._silent):
                of.pop(name, None)
        self._said = [event for event in self._said if partition_of(event.machine) != partition]
        for name, number in committed.items():
            self._load_stream(conn, name, number)
        restored = sum(name in self._saved for name in committed)
        emit(ModelsLoaded(partition, len(committed), restored))
        return {name: self._detectors[name].next_number for name in committed}

    def use(self, item: Item, skip: int) -> None:
        """See `Handler.use`."""
        if not isinstance(item.event, Frame):
            return
        name = str(item.stream)
        detector = self._detectors.get(name)
        if detector is None:
            detector = self._detectors[name] = self._fresh(item.stream)
        said = detector.use(item.event, skip)
        silent = self._silent.get(name)
        if silent is not None:
            said = [event for event in said if event.last >= silent]
        self._said += said
        self._readings += item.count - skip

    def save(self, conn: psycopg.Connection[Any]) -> None:
        """See `Handler.save`."""
        for event in [with_units(event, self._units) for event in self._said]:
            if rows.write(conn, event, self._source) and event.phase == "opened":
                signal = event.signals[0].signal if event.signals else ""
                emit(AnomalyOpened(event.machine, event.finding, event.rule, signal, event.id))
        if self._said:
            outbox.wake(conn, rows.PART)
            self._said = []
        for name in [name for name, number in self._silent.items() if self._detectors[name].next_number >= number]:
            self._close_others(conn, name)
        for name, detector in self._detectors.items():
            if (
                detector.time
                and detector.time - self._saved.setdefault(name, detector.time - self._every) >= self._every
            ):
                rows.write_snapshot(conn, take(detector))
                self._saved[name] = detector.time
        if self._readings:
            emit(ReadingsJudged(self._readings))
            self._readings = 0

    def _fresh(self, stream: StreamId) -> MachineDetector:
        return MachineDetector(stream, self._settings, self._unwatched.get(stream.machine, frozenset()))

    def _load_stream(self, conn: psycopg.Connection[Any], name: str, committed: int) -> None:
        fresh = self._fresh(StreamId.parse(name))
        refused = False
        try:
            snapshot = rows.read_snapshot(conn, name)
            if snapshot is not None:
                self._detectors[name] = restore(snapshot, fresh.version)
                self._saved[name] = snapshot.header.time
                return
        except SnapshotRefused as error:
            refused = True
            emit(SnapshotNotUsed(name, str(error)))
        fresh.next_number = max(FIRST_NUMBER, rows.first_recorded(conn, name) or FIRST_NUMBER)
        self._detectors[name] = fresh
        if committed > fresh.next_number and (refused or rows.said_by_others(conn, name, fresh.version)):
            self._silent[name] = committed

    def _close_others(self, conn: psycopg.Connection[Any], name: str) -> None:
        """What another version of the detector left open, and this one does not see, ends where this one takes over."""
        del self._silent[name]
        detector = self._detectors[name]
        for event in rows.open_anomalies(conn, name):
            if event.model != detector.version:
                closed = msgspec.structs.replace(
                    event,
                    revision=event.revision + 1,
                    phase="closed",
                    time=max(event.time, detector.time),
                    ended=event.time,
                )
                rows.write(conn, closed, self._source)
                outbox.wake(conn, rows.PART)
