"""After a restart the way from the start of the newest segment to what is not recorded yet is walked without rests, and read once for all partitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from shinkei_events.codec import encode
from shinkei_events.errors import BadInput
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_events.model.progress import Recorded
from shinkei_events.registry import type_of
from shinkei_events.topics import partition_of
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.segment import Entry
from shinkei_gateway.spool.spool import Spool, open_spool
from tests.support.examples import CONTEXT, T

EPOCH = "00000000-0000-7000-8000-000000000001"
BATCHES = 300


def filled(folder: Path, stream: StreamId) -> Spool:
    spool, _ = open_spool(FolderDisk(folder), lambda: EPOCH)
    for number in range(1, BATCHES + 1):
        frame = Frame(stream, number, T, CONTEXT, ["a"], [0], [0], [1.0], [(1, 0)], [(1, T)], 0)
        payload = encode(frame)
        spool.write([Entry(str(stream), number, 1, type_of(frame).ce_type, len(payload))], [payload], {})
        spool.sync()
    return spool


def test_a_restarted_gateway_sends_what_is_left_without_resting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = StreamId(EPOCH, "OP20", "signals")
    spool = filled(tmp_path, stream)
    reads = 0
    read = spool.read

    def counted(cursor):  # type: ignore[no-untyped-def]
        nonlocal reads
        reads += 1
        return read(cursor)

    monkeypatch.setattr(spool, "read", counted)
    forwarder = Forwarder(spool, credit=None, frame_age=0)
    forwarder.on_log("log")
    forwarder.on_progress(partition_of("OP20"), [Recorded(stream, BATCHES)], ("signals",))
    forwarder.skip_done()
    sends = []
    while not sends:
        sends = forwarder.poll(0)
        assert sends or forwarder.has_more
    assert [(send.first, send.end) for send in sends] == [(BATCHES, BATCHES + 1)]
    assert forwarder.missing == []
    assert reads < 2 * BATCHES
    forwarder.poll(0)
    assert not forwarder.has_more


def test_a_person_gets_again_what_is_not_on_record_and_never_a_gap_that_is_none(tmp_path: Path) -> None:
    stream = StreamId(EPOCH, "OP20", "signals")
    forwarder = Forwarder(filled(tmp_path, stream), credit=None, frame_age=0)
    forwarder.on_log("log")

    def polled() -> list[tuple[int, int]]:
        sends = forwarder.poll(0)
        while forwarder.has_more:
            sends += forwarder.poll(0)
        return [(send.first, send.end) for send in sends]

    assert sum(end - first for first, end in polled()) == BATCHES
    now = StreamId("", "OP20", "signals")
    assert forwarder.on_asked_again(now, 290) == (stream, 290, BATCHES + 1, 1)
    assert next(first for first, _ in polled()) == 290
    forwarder.on_progress(partition_of("OP20"), [Recorded(stream, 200)], ("signals",))
    assert forwarder.on_asked_again(stream, 2) == (stream, 200, BATCHES + 1, 200)
    assert next(first for first, _ in polled()) == 200
    assert forwarder.on_asked_again(stream, BATCHES + 1)[1] == BATCHES + 1
    assert polled() == []
    unknown = StreamId(EPOCH, "OP21", "signals")
    for asked, number, why in (
        (unknown, 1, "no such"),
        (stream, 0, "from 1 to 300"),
        (stream, BATCHES + 2, "none of its"),
    ):
        with pytest.raises(BadInput, match=why):
            forwarder.on_asked_again(asked, number)
    assert (polled(), forwarder.missing, str(unknown) in forwarder.state()) == ([], [], False)
