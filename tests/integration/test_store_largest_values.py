"""Values as large as a double can be are recorded as they are, again and again; sums and averages are of no use then, but there."""

from __future__ import annotations

from pathlib import Path

import pytest

from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame
from shinkei_store.pool import connect
from shinkei_store.recorder import Accepted, Recorder
from shinkei_store.writer import Writer
from tests.support.postgres import EmbeddedServer
from tests.support.store import EPOCH, T0, migrated, site_on

STREAM = StreamId(EPOCH, "OP10", "signals")
LARGEST = 1.7976931348623157e308


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 1e154])
def test_the_largest_values_of_an_hour_do_not_end_the_recording(
    embedded_server: EmbeddedServer, tmp_path: Path, value: float
) -> None:
    plant = site_on(tmp_path, migrated(embedded_server))
    recorder, said = Recorder({}), [value, value, value, -value]
    with connect(plant, "store") as conn:
        writer = Writer(conn)
        for number, one in enumerate(said, 1):
            frame = Frame(STREAM, number, T0 + number, Context(), ["a"], [0], [0], [one], [(1, 0)], [(1, T0)], 0)
            taken = recorder.offer("shinkei.frame.v1", "gateway/gw/0", frame, 0)
            assert isinstance(taken, Accepted)
            writer.write([taken])
            writer.finish()
            conn.commit()
        assert conn.execute("select value from reading order by number").fetchall() == [(one,) for one in said]
        rows = conn.execute("select n, low, high, total between -1e150 and 1e150 from rollup").fetchall()
    assert rows == [(4, -abs(value), abs(value), True)] * 3
