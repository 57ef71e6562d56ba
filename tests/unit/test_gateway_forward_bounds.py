"""What the forwarder holds of a log that does not acknowledge, and of a recorder that is away, is bounded."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.codec import encode
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_events.registry import type_of
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.sending import OUT_MOST, Sending
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.segment import Entry
from shinkei_gateway.spool.spool import Spool, open_spool
from tests.support.examples import CONTEXT, T

EPOCH = "00000000-0000-7000-8000-000000000001"
STREAM = StreamId(EPOCH, "OP20", "signals")
TEXT = "x" * 100_000


def filled(folder: Path, batches: int) -> Spool:
    spool, _ = open_spool(FolderDisk(folder), lambda: EPOCH)
    for number in range(1, batches + 1):
        frame = Frame(STREAM, number, T, CONTEXT, ["a"], [0], [0], [TEXT], [(1, 0)], [(1, T)], 0)
        payload = encode(frame)
        spool.write([Entry(str(STREAM), number, 1, type_of(frame).ce_type, len(payload))], [payload], {})
    spool.sync()
    return spool


def test_long_texts_to_a_log_that_hangs_are_bounded_in_bytes_and_go_on_with_it(tmp_path: Path) -> None:
    forwarder = Forwarder(filled(tmp_path, 60), credit=None, frame_age=0, flight_bytes=1_000_000)
    sends = []
    for _ in range(100):
        sends += forwarder.poll(0)
    assert 1_000_000 <= sum(send.size for send in sends) < 1_500_000
    held = list(sends)
    while held:
        for send in held:
            forwarder.delivered(send.ticket, 0)
        held = forwarder.poll(0)
        sends += held
    assert [number for send in sends for number in range(send.first, send.end)] == list(range(1, 61))


def test_records_that_failed_are_in_flight_no_more(tmp_path: Path) -> None:
    forwarder = Forwarder(filled(tmp_path, 60), credit=None, frame_age=0, flight_bytes=1_000_000)
    for _ in range(5):
        sends = forwarder.poll(0)
        assert sends[0].first == 1
        for send in sends:
            forwarder.failed(send.ticket)


def test_a_recorder_that_is_away_for_days_costs_no_memory() -> None:
    stream, most = Sending(STREAM, 0), 3 * OUT_MOST
    for end in range(2, most + 2):
        stream.goes(end, 10)
    assert len(stream.out) == OUT_MOST
    stream.recorded = OUT_MOST
    assert stream.settle() == 10 * (OUT_MOST - 1)
    stream.recorded = most + 1
    assert stream.settle() == 10 * (most - OUT_MOST + 1)
    assert not stream.out


def test_going_back_into_records_that_count_as_one_leaves_those_below_on_their_way() -> None:
    stream = Sending(STREAM, 0)
    for end in range(2, 3 * OUT_MOST):
        stream.goes(end, 10)
    stream.recorded = OUT_MOST
    stream.settle()
    stream.go_back(2 * OUT_MOST)
    assert stream.out[-1] == (2 * OUT_MOST, 0)
    stream.go_back(OUT_MOST)
    assert not stream.out


def test_what_a_reading_waited_on_its_way_to_the_disk_counts_towards_the_age_of_its_frame(tmp_path: Path) -> None:
    age, ms = 10_000_000, 1_000_000
    for waited, sent_after in ((4 * ms, 6 * ms), (30 * ms, 0), (-4 * ms, age), (2 * 10**9, age)):
        forwarder = Forwarder(filled(tmp_path / str(waited), 1), credit=None, frame_age=age)
        assert bool(forwarder.poll(5, wall=T + waited)) == (sent_after == 0)
        if sent_after:
            assert not forwarder.poll(5 + sent_after - 1, wall=T + waited + sent_after - 1)
            assert forwarder.due == 5 + sent_after
            assert forwarder.poll(5 + sent_after, wall=T + waited + sent_after)
