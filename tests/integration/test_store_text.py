"""Text that PostgreSQL cannot hold is no reason to record nothing more: the raw event keeps it, the rows show U+FFFD in its place."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.codec import decode
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import Gap, Numbered
from shinkei_store.pool import connect, reader_pool
from tests.support.postgres import EmbeddedServer
from tests.support.store import EPOCH, T0, migrated, record, site_on

SIGNALS, PRODUCTION = StreamId(EPOCH, "OP10", "signals"), StreamId(EPOCH, "OP10", "production")
VALUES = ["lot\0\0\0", {"a\0": ["b\0", "\\u0000"]}, "plain"]
"""A PLC pads its strings with zeros; a device's JSON may say \\u0000 anywhere."""


def test_zero_characters_are_recorded_as_replacement_characters(
    embedded_server: EmbeddedServer, tmp_path: Path
) -> None:
    plant = site_on(tmp_path, migrated(embedded_server))
    frame = Frame(SIGNALS, 1, T0, Context(), ["bar\0code", "x"], [0, 0, 1], [0, 1, 2], VALUES, [(3, 0)], [(3, T0)], 0)
    events: list[Numbered] = [
        MachineStateChanged(
            stream=PRODUCTION, number=1, signals=0, time=T0, received=T0, state="HELD", reason="a\0b", recipe="\0"
        ),
        Gap(
            stream=PRODUCTION, number=2, signals=0, time=T0, received=T0, id="g", of=SIGNALS, cause="overflow",
            t_from=T0, t_to=T0 + 1, channels=["bar\0code"], detail="\0",
        ),
    ]  # fmt: skip
    said = [("shinkei.frame.v1", frame), *(("shinkei.machine_state.v1", one) for one in events[:1]), ("shinkei.gap.v1", events[1])]  # fmt: skip
    record(plant, said)
    with connect(plant, "trace") as conn:
        raw = conn.execute("select type, body from event_raw order by number").fetchall()
        assert [decode(type_, bytes(body)) for type_, body in raw] == events, "the record itself is exact"
    readers = reader_pool(plant, "ui", max_size=1)
    with readers, readers.connection() as conn:
        sql = "select r.value from reading_other r join signal s on s.id = r.signal_id where s.name = %s order by r.number"
        assert conn.execute(sql, ("bar\0code",)).fetchall() == [
            ("lot���",), ({"a�": ["b�", "\\u0000"]},),
        ]  # fmt: skip
        assert conn.execute("select reason, recipe from state_change").fetchall() == [("a�b", "�")]
        assert conn.execute("select channels, detail from gap").fetchall() == [(["bar�code"], "�")]
