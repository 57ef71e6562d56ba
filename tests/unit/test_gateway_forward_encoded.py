"""What joins no other frame goes from the spool to the log in the bytes it was written in; what does is one frame, as ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shinkei_events.codec import decode_head, encode
from shinkei_events.envelope import seal, seal_encoded
from shinkei_events.errors import BadInput
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame, GapMark, Origin
from shinkei_events.registry import type_of
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.sending import Encoded, Send
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.segment import Entry
from shinkei_gateway.spool.spool import open_spool
from tests.support.examples import CONTEXT, T

EPOCH = "00000000-0000-7000-8000-000000000001"
STREAM = StreamId(EPOCH, "OP20", "signals")


def frame(first: int, count: int, production: int = 0) -> Frame:
    places = list(range(count))
    return Frame(STREAM, first, T, CONTEXT, [f"c{at}" for at in places], places, places, [float(at) for at in places],
                 [(count, 0)], [(count - 1, T), (1, T + 1)] if count > 1 else [(1, T)], production)  # fmt: skip


def forwarded(folder: Path, payloads: list[tuple[Frame, bytes]], skip: int = 0) -> list[Send]:
    spool, _ = open_spool(FolderDisk(folder), lambda: EPOCH)
    for one, payload in payloads:
        entry = Entry(str(STREAM), one.first, one.count, type_of(one).ce_type, len(payload))
        spool.write([entry], [payload], {})
    spool.sync()
    forwarder = Forwarder(spool, credit=None)
    if skip:
        forwarder._stream(str(STREAM)).sent = 1 + skip  # as when the recorder has the first ones
    return forwarder.poll(0) + forwarder.poll(10**12)


def test_a_frame_alone_keeps_its_bytes(tmp_path: Path) -> None:
    made = [frame(1, 500), frame(501, 500), frame(1001, 20, production=1)]
    sends = forwarded(tmp_path, [(one, encode(one)) for one in made])
    assert [send.event for send in sends] == made
    assert [send.record.payload for send in sends if isinstance(send.record, Encoded)] == [encode(one) for one in made]


def test_small_frames_are_one(tmp_path: Path) -> None:
    made = [frame(1, 3), frame(4, 5), frame(9, 2)]
    (send,) = forwarded(tmp_path, [(one, encode(one)) for one in made])
    assert isinstance(send.record, Frame)
    assert (send.first, send.end, send.record.v) == (1, 11, [*map(float, (0, 1, 2, 0, 1, 2, 3, 4, 0, 1))])


def test_of_a_frame_that_is_partly_recorded_the_rest_follows(tmp_path: Path) -> None:
    made = frame(1, 100)
    (send,) = forwarded(tmp_path, [(made, encode(made))], skip=40)
    assert isinstance(send.event, Frame)
    assert (send.first, send.end, send.event.v) == (41, 101, [float(at) for at in range(40, 100)])


@pytest.mark.parametrize("more", [{}, {"gap_before": GapMark("g", "overflow"), "origin": Origin(maybe_again=True)}])
def test_an_encoded_frame_is_sealed_as_the_frame(more: dict[str, object]) -> None:
    made = msgspec.structs.replace(frame(7, 30), **more)
    payload = encode(made)
    head = decode_head(payload)
    assert (head.count, head.end, head.gap_before, head.origin) == (30, 37, made.gap_before, made.origin)
    assert seal_encoded(head, payload, "gateway/gw/0", topic="t") == seal(made, "gateway/gw/0", topic="t")


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"{}", encode(frame(1, 3))[:40]])
def test_what_is_no_frame_has_no_head(payload: bytes) -> None:
    with pytest.raises(BadInput):
        decode_head(payload)
