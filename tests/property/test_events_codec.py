"""Whatever bytes come in, decoding gives a valid event or a `BadInput`; frames cut and joined are the same readings."""

from __future__ import annotations

import contextlib
import os
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shinkei_events.codec import check, decode, decode_frame, encode
from shinkei_events.envelope import open_record, seal
from shinkei_events.errors import BadField, BadInput, UnknownType, UnknownVersion
from shinkei_events.frames import can_join, cut, join, readings, runs_of
from shinkei_events.identity import StreamId, event_id, new_epoch
from shinkei_events.model.frame import Context, Frame
from shinkei_events.registry import type_of
from tests.support.examples import EPOCH, EXAMPLES, T

SEED = int(os.environ.get("SHINKEI_SEED", "0"))
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)  # fmt: skip
one_reading = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 10**12),
    values,
    st.sampled_from([0, 0x80000000, 0x40920000]),
    st.integers(0, 3),
    st.integers(0, 5),
)


def frame_of(rows: list[tuple[str, int, object, int, int, int]], first: int = 1, t0: int = T) -> Frame:
    names: dict[str, int] = {}
    ch = [names.setdefault(row[0], len(names)) for row in rows]
    server = [row[1] + row[5] for row in rows]
    return Frame(
        StreamId(EPOCH, "M", "signals"), first, t0, Context("EXECUTE"), list(names), ch, [row[1] for row in rows], [row[2] for row in rows],  # type: ignore[misc]
        runs_of([row[3] for row in rows]), runs_of([T + row[4] for row in rows]), 0,
        server_dt=server if any(row[5] for row in rows) else None, late=[i for i, row in enumerate(rows) if row[4] == 3] or None,
    )  # fmt: skip


@given(st.lists(one_reading, min_size=1, max_size=30))
def test_encode_decode(rows: list[tuple[str, int, object, int, int, int]]) -> None:
    frame = frame_of(rows)
    check(frame)
    assert decode_frame(encode(frame)) == frame


@given(st.lists(one_reading, min_size=1, max_size=30), st.data())
def test_cut_and_join_keep_every_reading(
    rows: list[tuple[str, int, object, int, int, int]], data: st.DataObject
) -> None:
    frame = frame_of(rows)
    at = data.draw(st.integers(0, len(rows)))
    right = cut(frame, at)
    check(right)
    assert list(readings(right)) == list(readings(frame))[at:]
    left = frame_of(rows[:at]) if at else None
    if left is not None and right.count:
        later = msgspec.structs.replace(frame_of(rows[at:], first=at + 1, t0=T - 1000), late=None)
        shifted = msgspec.structs.replace(
            later,
            dt=[d + 1000 for d in later.dt],
            server_dt=[d + 1000 for d in later.server_dt] if later.server_dt else None,
        )
        assert can_join(left, shifted)
        joined = join([left, shifted])
        check(joined)
        assert list(readings(joined)) == list(readings(frame))


def test_join_refuses_what_does_not_follow() -> None:
    frame = frame_of([("a", 0, 1.0, 0, 0, 0)])
    with pytest.raises(ValueError, match="does not follow"):
        join([frame, frame])


def test_ten_thousand_broken_payloads_give_typed_errors() -> None:
    rng = random.Random(SEED)
    refused = 0
    for _ in range(10_000):
        event = rng.choice(EXAMPLES)
        payload = bytearray(encode(event))
        for _ in range(rng.randint(1, 4)):
            kind, at = rng.randrange(4), rng.randrange(len(payload) or 1)
            if kind == 0 and payload:
                payload[at] = rng.randrange(256)
            elif kind == 1:
                del payload[at:]
            elif kind == 2:
                payload[at:at] = rng.randbytes(rng.randint(1, 6))
            else:
                payload[at:at] = rng.choice(
                    [b"null", b"1e999", b"-1", b'"x"', b"[[[[", b"{", b"\xff", b"NaN", b"99999999999999999999"]
                )
        try:
            check(decode(type_of(event).ce_type, bytes(payload)))
        except BadInput:
            refused += 1
    assert refused > 5_000


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [("t0", -1, "$.t0"), ("first", 0, "$.first"), ("dt", [2**62, 0, 0], "$.dt"), ("v", [1.0], "$.ch"), ("v", [1.0, float("nan"), 2.0], "$.v[1]"),
     ("v", [[1.0, [float("inf")]], 1, 2], "$.v[0][1][0]"), ("status", [(4, 0)], "$.status"), ("status", [(3, 2**32)], "$.status"), ("ch", [0, 0, 9], "$.ch"),
     ("late", [7], "$.late")],
)  # fmt: skip
def test_bad_frames_name_the_field(field: str, value: object, path: str) -> None:
    frame = msgspec.structs.replace(EXAMPLES[0], **{field: value})
    with pytest.raises(BadField) as caught:
        check(frame)
    assert caught.value.path == path


def test_bad_events_name_the_field() -> None:
    with pytest.raises(BadField, match=r"\$\.readings\[0\]\.value"):
        decode("shinkei.operation.v1", encode(EXAMPLES[10]).replace(b'"value":4.2', b'"value":1e999'))
    with pytest.raises(BadField) as caught:
        decode("shinkei.machine_state.v1", encode(EXAMPLES[7]).replace(b'"HELD"', b'"SLEEPY"'))
    assert caught.value.path == "$.state"
    with pytest.raises(UnknownVersion, match="newer"):
        decode("shinkei.frame.v2", b"")
    with pytest.raises(UnknownType):
        decode("plant.frame.v1", b"")


def test_records_without_our_headers_are_refused() -> None:
    sealed = seal(EXAMPLES[0], "x")
    for headers, value in [
        (None, b""),
        ([("ce_type", b"\xff")], b""),
        (sealed.headers[2:], sealed.value),
        (sealed.headers, None),
    ]:
        with pytest.raises(BadInput):
            open_record(headers, value)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
def test_epochs_are_uuid7_and_streams_parse(now: int, bits: int) -> None:
    stream = StreamId(new_epoch(now, bits), "OP10", "history")
    assert stream.epoch[14] == "7"
    assert stream.epoch[19] in "89ab"
    assert StreamId.parse(str(stream)) == stream
    assert event_id(stream, 5) == f"{stream}/5"


@given(st.text())
def test_foreign_stream_names_are_refused(text: str) -> None:
    with contextlib.suppress(BadField):
        assert str(StreamId.parse(text)) == text
