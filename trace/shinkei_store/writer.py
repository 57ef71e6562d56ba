"""Accepted records as rows: everything of a batch by COPY, in the transaction that also moves the watermarks.

Idempotent because the watermarks are: what gets here is new. The numbers of `event_raw` are given last, under the lock of one row, so
that they are contiguous in the order of the commits. Called by `worker` alone; knows no Kafka.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import zstandard
from psycopg.types.json import Jsonb

from shinkei_events.codec import encode
from shinkei_events.frames import readings
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_events.model.machine import EnergyCounted, MachineStateChanged
from shinkei_events.model.numbered import ClockSkew, Gap, Numbered, SignalDescribed
from shinkei_events.model.quarantine import Quarantined
from shinkei_store.recorder import Accepted
from shinkei_store.rollup import Bucket, Key, coarser

_compressor = zstandard.ZstdCompressor(level=3)


def timestamp(ns: int) -> datetime:
    """ns UTC as datetime (microseconds)."""
    seconds, rest = divmod(ns, 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


class Writer:
    """Writes batches on one connection; `write`, then `finish`, then the caller commits. After an error make a new one."""

    def __init__(
        self, conn: psycopg.Connection[Any], as_row: Callable[[str, str], bool] = lambda _machine, _signal: True
    ) -> None:
        self._conn, self._as_row = conn, as_row
        self._streams: dict[StreamId, int] = {}
        self._sources: dict[StreamId, str] = {}
        self._signals: dict[tuple[str, str], int] = {}
        self._raw: list[tuple[Any, ...]] = []
        self._load()
        self.frames = self.values = self.events = 0

    def _load(self) -> None:
        for id, epoch, machine, kind, source in self._conn.execute(
            "select id, epoch, machine, kind, source from stream"
        ):
            stream = StreamId(str(epoch), machine, kind)
            self._streams[stream], self._sources[stream] = id, source
        for id, machine, name in self._conn.execute("select id, machine, name from signal"):
            self._signals[machine, name] = id
        self._conn.commit()

    def sources(self) -> dict[str, str]:
        """Stream text to the gateway and shard that can send it again."""
        return {str(stream): source for stream, source in self._sources.items()}

    def write(self, accepted: list[Accepted]) -> None:
        """All rows but those of `event_raw`."""
        self.frames = self.values = self.events = 0
        self._raw = []
        frames = [item for item in accepted if isinstance(item.event, Frame)]
        events = [item for item in accepted if isinstance(item.event, Numbered)]
        for item in accepted:
            self._know(item)
            if item.gap is not None:
                self._numbers_missing(item)
        if frames:
            self._write_frames(
                [(self._streams[item.stream], item.event) for item in frames if isinstance(item.event, Frame)]
            )
        for item in events:
            if isinstance(item.event, Numbered):
                self._event(self._streams[item.stream], item.type, item.event)

    def finish(self) -> None:
        """Give the events their numbers in the lineage's log; the last statement before the commit."""
        if not self._raw:
            return
        row = self._conn.execute(
            "update event_raw_end set number = number + %s returning number", (len(self._raw),)
        ).fetchone()
        assert row is not None
        first = int(row[0]) - len(self._raw) + 1
        columns = "number, stream_id, stream_number, type, machine, time, body"
        with self._conn.cursor().copy(f"copy event_raw ({columns}) from stdin (format binary)") as copy:
            copy.set_types(["int8", "int4", "int8", "text", "text", "int8", "bytea"])
            for at, raw in enumerate(self._raw):
                copy.write_row((first + at, *raw))
        self._conn.execute("select pg_notify('shinkei_event_raw', %s)", (str(first),))

    # ---- streams, signals --------------------------------------------------------------------------------------------
    def _know(self, item: Accepted) -> None:
        if item.stream in self._streams:
            return
        stream = item.stream
        row = self._conn.execute(
            "insert into stream (epoch, machine, kind, source) values (%s, %s, %s, %s) on conflict (epoch, machine, kind) do update set source = excluded.source returning id",
            (stream.epoch, stream.machine, stream.kind, item.source),
        ).fetchone()
        assert row is not None
        self._streams[stream], self._sources[stream] = int(row[0]), item.source

    def _signal(self, machine: str, name: str) -> int:
        found = self._signals.get((machine, name))
        if found is None:
            sql = "insert into signal (machine, name) values (%s, %s) on conflict (machine, name) do update set name = excluded.name returning id"
            row = self._conn.execute(sql, (machine, name)).fetchone()
            assert row is not None
            found = self._signals[machine, name] = int(row[0])
        return found

    # ---- frames ------------------------------------------------------------------------------------------------------
    def _write_frames(self, frames: list[tuple[int, Frame]]) -> None:
        rows: list[tuple[Any, ...]] = []
        others: list[tuple[Any, ...]] = []
        last: dict[int, tuple[Any, ...]] = {}
        minutes: dict[tuple[int, int], Bucket] = {}
        # An empty frame says that nothing happened; only one that carries a gap must be found again by who reads the record.
        kept = [(stream_id, frame) for stream_id, frame in frames if frame.count or frame.gap_before is not None]
        with self._conn.cursor().copy(
            "copy frame (stream_id, first, n, t0, t1, received, production, body) from stdin (format binary)"
        ) as copy:
            copy.set_types(["int4", "int8", "int4", "int8", "int8", "timestamptz", "int8", "bytea"])
            for stream_id, frame in kept:
                low, high = frame.t0 + min(frame.dt, default=0), frame.t0 + max(frame.dt, default=0)
                received = timestamp(frame.received[-1][1]) if frame.received else datetime.now(UTC)
                body = _compressor.compress(encode(frame))
                copy.write_row(
                    (
                        stream_id,
                        frame.first,
                        frame.count,
                        low,
                        high,
                        received,
                        frame.production,
                        body,
                    )
                )
        for stream_id, frame in kept:
            self.frames += 1
            if frame.replay_of is not None and not self._is_first_replay(
                frame.replay_of, stream_id, frame.stream, frame.first
            ):
                continue
            self.values += frame.count
            self._readings(stream_id, frame, rows, others, last, minutes)
        self._copy_readings("reading", "float8", rows)
        self._copy_readings("reading_other", "jsonb", others)
        self._last_values(last)
        self._rollups(coarser(minutes))

    def _readings(
        self,
        stream_id: int,
        frame: Frame,
        rows: list[Any],
        others: list[Any],
        last: dict[int, Any],
        minutes: dict[Any, Bucket],
    ) -> None:
        late = set(frame.late or ())
        machine = frame.machine
        for at, (number, name, time, value, status, received) in enumerate(readings(frame)):
            signal = self._signal(machine, name)
            filed = received if at in late else time
            kind = type(value)
            if kind is float or (kind is int and -(2**53) <= value <= 2**53):  # type: ignore[operator]
                number_value = float(value)  # type: ignore[arg-type]
                if self._as_row(machine, name):
                    rows.append((signal, timestamp(filed), status, stream_id, number, time, number_value))
                minutes.setdefault((signal, filed // 60_000_000_000 * 60), Bucket()).add(number_value, status)
                newest: tuple[Any, ...] = (signal, time, number_value, None, status, stream_id, number)
            else:
                other = Jsonb(value)
                others.append((signal, timestamp(filed), status, stream_id, number, time, other))
                newest = (signal, time, None, other, status, stream_id, number)
            held = last.get(signal)
            if held is None or held[1] <= time:
                last[signal] = newest

    def _copy_readings(self, table: str, kind: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            sql = f"copy {table} (signal_id, ts, status, stream_id, number, t_ns, value) from stdin (format binary)"
            with self._conn.cursor().copy(sql) as copy:
                copy.set_types(["int4", "timestamptz", "int8", "int4", "int8", "int8", kind])
                for row in rows:
                    copy.write_row(row)

    def _last_values(self, last: dict[int, tuple[Any, ...]]) -> None:
        if last:
            sql = """insert into last_value (signal_id, t_ns, value, other, status, stream_id, number) values (%s, %s, %s, %s, %s, %s, %s)
                on conflict (signal_id) do update set t_ns = excluded.t_ns, value = excluded.value, other = excluded.other, status = excluded.status,
                stream_id = excluded.stream_id, number = excluded.number where last_value.t_ns <= excluded.t_ns"""
            self._conn.cursor().executemany(sql, [last[signal] for signal in sorted(last)])

    def _rollups(self, buckets: dict[Key, Bucket]) -> None:
        if buckets:
            sql = """insert into rollup (signal_id, level, ts, n, total, squares, low, high, bad) values (%s, %s, to_timestamp(%s), %s, %s, %s, %s, %s, %s)
                on conflict (signal_id, level, ts) do update set n = rollup.n + excluded.n, total = rollup.total + excluded.total,
                squares = rollup.squares + excluded.squares, low = least(rollup.low, excluded.low), high = greatest(rollup.high, excluded.high),
                bad = rollup.bad + excluded.bad"""
            rows = [(*key, b.n, b.total, b.squares, b.low, b.high, b.bad) for key, b in sorted(buckets.items())]
            self._conn.cursor().executemany(sql, rows)

    def _is_first_replay(self, replay_of: str, stream_id: int, stream: StreamId, number: int) -> bool:
        """Whether this stream is the first that has what a quarantine record was; another one only repeats it."""
        sql = """insert into replay (replay_of, machine, kind, stream_id, first_number) values (%s, %s, %s, %s, %s)
            on conflict (replay_of, machine, kind) do update set first_number = least(replay.first_number, excluded.first_number)
            where replay.stream_id = excluded.stream_id returning stream_id"""
        row = (replay_of, stream.machine, stream.kind, stream_id, number)
        return self._conn.execute(sql, row).fetchone() is not None

    # ---- events ------------------------------------------------------------------------------------------------------
    def _event(self, stream_id: int, type: str, event: Numbered) -> None:
        self.events += 1
        if not isinstance(event, Quarantined):
            self._raw.append((stream_id, event.number, type, event.machine, event.time, encode(event)))
        if event.replay_of is not None and not self._is_first_replay(
            event.replay_of, stream_id, event.stream, event.number
        ):
            return
        if isinstance(event, MachineStateChanged):
            row: tuple[Any, ...] = (
                event.machine,
                event.time,
                stream_id,
                event.number,
                event.state,
                event.reason,
                event.code,
                event.product,
                event.recipe,
                event.tool,
                event.by == "gateway",
            )
            self._conn.execute(
                "insert into state_change values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                row,
            )
        elif isinstance(event, EnergyCounted):
            row = (event.machine, event.medium, event.time, event.value, event.unit, stream_id, event.number)
            self._conn.execute("insert into energy values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing", row)
        elif isinstance(event, Gap):
            self._gap(event)
        elif isinstance(event, ClockSkew):
            row = (event.machine, event.source, event.time, event.skew, event.limit, event.within, event.step)
            self._conn.execute("insert into clock_skew values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing", row)
        elif isinstance(event, SignalDescribed):
            self._describe(event)
        elif isinstance(event, Quarantined):
            self._quarantine(stream_id, event)

    def _gap(self, event: Gap) -> None:
        row = (event.id, str(event.of), event.machine, event.of.kind, event.cause, event.begin, event.end, event.t_from, event.t_to,
               event.at_least, event.channels, event.possible, event.detail)  # fmt: skip
        sql = """insert into gap (id, of_stream, machine, kind, cause, begin_number, end_number, t_from, t_to, at_least, channels, possible, detail)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            on conflict (id) do update set t_from = coalesce(excluded.t_from, gap.t_from), t_to = coalesce(excluded.t_to, gap.t_to), detail = excluded.detail"""
        self._conn.execute(sql, row)

    def _numbers_missing(self, item: Accepted) -> None:
        mark = item.gap
        assert mark is not None
        lost = (mark.end or 0) - (mark.begin or 0)
        row = (mark.id, str(item.stream), item.stream.machine, item.stream.kind, mark.cause, mark.begin, mark.end, lost)
        sql = """insert into gap (id, of_stream, machine, kind, cause, begin_number, end_number, at_least) values (%s, %s, %s, %s, %s, %s, %s, %s)
            on conflict (id) do nothing"""
        self._conn.execute(sql, row)

    def _describe(self, event: SignalDescribed) -> None:
        row = (event.unit, event.unece, event.low, event.high, event.source, event.node, event.data_type, event.description, event.time,
               event.sampling_ms, event.queue_size, event.instrument_low, event.instrument_high, self._signal(event.machine, event.name))  # fmt: skip
        sql = """update signal set unit = %s, unece = %s, low = %s, high = %s, source = %s, node = %s, data_type = %s, description = %s, described = %s,
            sampling_ms = %s, queue_size = %s, instrument_low = %s, instrument_high = %s where id = %s"""
        self._conn.execute(sql, row)

    def _quarantine(self, stream_id: int, event: Quarantined) -> None:
        row = (stream_id, event.number, event.machine, event.time, event.received, event.source, event.where, event.reason, event.path,
               event.content_type, event.raw, event.size, event.replay_of)  # fmt: skip
        sql = """insert into quarantine (stream_id, number, machine, time, received, source, place, reason, path, content_type, raw, size, replay_of)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing"""
        self._conn.execute(sql, row)


def encode_json(value: Any) -> str:
    """Any event as JSON text, for jsonb columns."""
    return msgspec.json.encode(value).decode()
