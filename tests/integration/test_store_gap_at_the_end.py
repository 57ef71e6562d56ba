"""A gap that only an empty frame carries (a stream's last numbers are gone) is found again by whoever reads the record."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame, GapMark
from shinkei_store.follower import Follower
from shinkei_store.pool import connect
from shinkei_store.record import read_items
from shinkei_store.recorder import Accepted, Recorder
from shinkei_store.writer import Writer
from tests.support.postgres import EmbeddedServer
from tests.support.store import EPOCH, T0, migrated, site_on

STREAM = StreamId(EPOCH, "OP10", "signals")


def frame(first: int, count: int, gap: GapMark | None = None) -> Frame:
    received = [(count, T0)] if count else []
    status = [(count, 0)] if count else []
    values = [float(first + n) for n in range(count)]
    return Frame(
        STREAM, first, T0, Context(), ["a"] if count else [], [0] * count, list(range(count)), list(values), status, received, 0, gap_before=gap
    )  # fmt: skip


def test_a_consumer_passes_over_a_gap_that_an_empty_frame_told(embedded_server: EmbeddedServer, tmp_path: Path) -> None:
    plant = site_on(tmp_path, migrated(embedded_server))
    recorder, told = Recorder({}), []
    for event in (frame(1, 3), frame(10, 0, GapMark("g", "trimmed", 4, 10)), frame(10, 2)):
        got = recorder.offer("shinkei.frame.v1", "gateway/gw/0", event, 0)
        assert isinstance(got, Accepted)
        told.append(got)
    with connect(plant, "store") as conn:
        writer = Writer(conn)
        writer.write(told)
        writer.finish()
        conn.commit()
        follower = Follower({str(STREAM): 1})
        uses = follower.recorded(str(STREAM), read_items(conn, str(STREAM), 1, 100), end=True)
        assert [(use.item.first, use.item.count) for use in uses] == [(1, 3), (10, 0), (10, 2)]
        assert follower.watermarks() == {str(STREAM): 12}
        assert conn.execute("select begin_number, end_number from gap where id = 'g'").fetchone() == (4, 10)
