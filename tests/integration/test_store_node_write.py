"""What was written to a machine, and what was not, is in the record like everything a machine says."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.codec import decode
from shinkei_events.identity import StreamId
from shinkei_events.model.numbered import NodeWrite
from shinkei_store.pool import connect
from tests.support.postgres import EmbeddedServer
from tests.support.store import EPOCH, T0, migrated, record, site_on

STREAM = StreamId(EPOCH, "OP10", "production")


def test_every_write_is_in_the_record(embedded_server: EmbeddedServer, tmp_path: Path) -> None:
    plant = site_on(tmp_path, migrated(embedded_server))
    events = [
        NodeWrite(
            stream=STREAM, number=number, signals=0, time=T0 + number, received=T0, source="press", handshake="cycle",
            operation_id=f"o{number}", node="nsu=urn:p;s=Ack", value=value, user="answers", outcome=outcome,
        )
        for number, value, outcome in ((1, 1, "written"), (2, True, "unproven"), (3, "ok", "late"))
    ]  # fmt: skip
    record(plant, [("shinkei.node_write.v1", event) for event in events])
    with connect(plant, "trace") as conn:
        rows = conn.execute("select type, machine, body from event_raw order by number").fetchall()
    assert [(type_, machine) for type_, machine, _ in rows] == [("shinkei.node_write.v1", "OP10")] * 3
    assert [decode(type_, bytes(body)) for type_, _, body in rows] == events
