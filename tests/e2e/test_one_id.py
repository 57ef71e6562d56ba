"""One id all the way: from an alarm in the inbox to its anomaly, the parts made in that span, one part's page, its raw frame; and a bad
supplier lot traced forward to the boxes, equal to the truth of the machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shinkei_events.identity import StreamId
from shinkei_plant import truth
from shinkei_store.pool import connect
from shinkei_store.record import read_frames
from shinkei_trace.query import backward, forward, history, resolve
from tests.support.chain import Chain
from tests.support.waiting import eventually

SPEED, LENGTH_S = 8.0, 900.0
ALARMED = """select a.machine, n.stream, n.first, p.serial, p.raw_number
    from alarm a join alarm_cause c on c.alarm = a.id and c.kind = 'anomaly' join anomaly n on n.id = c.id
    cross join parts_in_span(a.machine, to_ts(n.began), to_ts(coalesce(n.ended, n.began + 60000000000))) p order by a.since"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("oneid")
    made = Chain(folder, speed=SPEED, length=LENGTH_S, faults=("bad_bearing_lot@60", "tool_wear@240:3"), seed=11)
    try:
        made.start()
        made.played(LENGTH_S / SPEED + 120)
        made.arrived()
        yield made
    finally:
        made.stop()


def test_from_the_alarm_to_the_raw_frame(chain: Chain) -> None:
    # A quarter of an hour with a worn tool: an alarm about an anomaly in whose span parts were made (detector and alarms follow the record).
    machine, stream, first, serial, raw = eventually(lambda: chain.ask(ALARMED), 60, every=0.5)[0]
    with connect(chain.plant, "ui") as conn:
        (unit,) = resolve(conn, serial)
        step = next(step for step in history(conn, unit) if step.raw_number == raw)
        assert step.machine == machine
        frames = read_frames(conn, StreamId.parse(step.signals_stream), step.signals, 1)
        assert frames[0].first <= step.signals < frames[0].end
        assert frames[0].machine == machine
        covered = read_frames(conn, StreamId.parse(stream), first, 1)
        assert covered[0].first <= first < covered[0].end
        (body,) = conn.execute("select body from event_raw where number = %s", (raw,)).fetchone() or (b"",)
        assert serial.encode() in bytes(body)


def test_a_bad_lot_leads_to_its_boxes(chain: Chain) -> None:
    told = [
        entry
        for path in chain.folder.glob("*.truth")
        for entry in truth.read(path).values()
        if entry.name == "bad_bearing_lot"
    ]
    whole = max(told, key=lambda entry: len(entry.affected))
    assert len(whole.hit) > 20, "the planted lot went into hardly any part"
    assert whole.cause is not None
    with connect(chain.plant, "ui") as conn:
        answer = forward(conn, resolve(conn, whole.cause)[0])
        found = {node.unit: node for node in answer.nodes if node.depth and node.type != "shipment"}
        sure = {unit for unit, node in found.items() if node.certainty == 1.0}
        boxes = [unit for unit, node in found.items() if node.type == "container"]
        assert set(whole.affected) <= found.keys()
        assert sure <= set(whole.affected), "what is sure to have the lot in it does have it"
        assert boxes
        assert set(whole.affected) & set(boxes)
        good = next(unit for unit, node in found.items() if node.finished and node.certainty == 1.0)
        assert {node.unit for node in backward(conn, resolve(conn, good)[0]).nodes} >= {whole.cause, good}
    print(
        f"lot {whole.cause}: {len(whole.affected)} units truly affected, {len(found)} found, {len(found) - len(sure)} uncertain, {len(boxes)} boxes"
    )
