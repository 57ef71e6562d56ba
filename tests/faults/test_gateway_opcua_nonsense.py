"""Odd and spoiled OPC UA responses through the whole source: what can be read arrives, what cannot is in quarantine or a gap, and it goes on."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asyncua import ua

from shinkei_events.errors import BadInput
from shinkei_events.model.numbered import Gap
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.opcua import source as source_module
from shinkei_gateway.opcua.decode import Message, decode_publish_response
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.quality import BAD_DECODING, BAD_OUT_OF_RANGE
from tests.property.test_gateway_decode import spoiled, templates
from tests.support.fake_intake import FakeIntake
from tests.support.opcua_responses import PUBLISHED_NS, data_change, item, response
from tests.support.seed import seed_of_run
from tests.support.sizes import Sizes

V = ua.VariantType
STRUCTURES = Structures(["http://opcfoundation.org/UA/", "urn:press"])


def source(intake: FakeIntake, nodes: int, memory: Path | None = None) -> OpcuaMachine:
    said = {"type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "machine": "op10", "security": "none",
            "signals": [{"node": f"nsu=urn:press;i={n}", "name": f"s{n}"} for n in range(nodes)]}  # fmt: skip
    return OpcuaMachine("src", strict(said, OpcuaSource, "x"), intake, clock=lambda: PUBLISHED_NS, memory=memory)


def heard(made: OpcuaMachine, body: bytes) -> None:
    found = decode_publish_response(body, STRUCTURES)
    p = found
    made.take(Message(p.sequence, p.publish_time, p.values, p.bad, p.status_change, p.events))


def told(intake: FakeIntake, of: type) -> list[dict[str, Any]]:
    return [one.fields for batch in intake.batches for one in batch.items if isinstance(one, Draft) and one.type is of]


def readings(intake: FakeIntake) -> list[Reading]:
    return [one for batch in intake.batches for one in batch.items if isinstance(one, Reading)]


def test_odd_values_among_a_thousand() -> None:
    async def run() -> None:
        intake = FakeIntake()
        made = source(intake, 1000)
        items = [item(n, float(n), V.Double) for n in range(1000)]
        items[10] = item(10, "not a number", V.String)  # a node of another type than it had
        items[20] = item(20, math.nan, V.Double)
        items[30] = item(30, 30.0, V.Double, source=datetime(2016, 11, 24, tzinfo=UTC))
        items[40] = item(40, b"\xff\xfe", V.String)  # text that is not UTF-8
        heard(made, response(data_change(items)))
        found = {one.channel: one for one in readings(intake)}
        assert len(found) == 1000
        assert found["s10"].value == "not a number"
        assert (found["s20"].value, found["s20"].status) == (None, BAD_OUT_OF_RANGE)
        assert (found["s30"].value, found["s30"].time) == (30.0, 1_479_945_600_000_000_000), "kept with the time it had"
        assert (found["s40"].value, found["s40"].status) == (None, BAD_DECODING)
        assert {one["where"] for one in told(intake, Quarantined)} == {"s20", "nsu=urn:press;i=40"}
        (raw,) = [one["raw"] for one in told(intake, Quarantined) if one["where"] == "nsu=urn:press;i=40"]
        assert raw == b"\x0c\x02\x00\x00\x00\xff\xfe"
        assert [found[f"s{n}"].value for n in range(50, 1000)] == [float(n) for n in range(50, 1000)]

    asyncio.run(run())


def test_where_the_place_is_lost_a_gap_says_how_many_may_be_missing() -> None:
    async def run() -> None:
        intake = FakeIntake()
        made = source(intake, 10)
        body = bytearray(response(data_change([item(n, float(n), V.Double) for n in range(10)])))
        at = body.index(struct.pack("<IBBd", 4, 15, 11, 4.0)) + 5
        body[at] = 0x3F  # a type that does not exist
        heard(made, bytes(body))
        assert [one.value for one in readings(intake)] == [0.0, 1.0, 2.0, 3.0, None]
        assert len(told(intake, Quarantined)) == 1
        (missing,) = told(intake, Gap)
        assert missing["cause"] == "decode_error"
        assert missing["possible"]
        assert missing["detail"].startswith("5 values")

    asyncio.run(run())


def test_spoiled_responses_through_the_source() -> None:
    async def run() -> None:
        chosen, intake = random.Random(seed_of_run()), FakeIntake()
        made = source(intake, 40)
        good = templates()
        n = Sizes.from_environment().of("spoiled OPC UA messages through the source", sample=2_000, full=10_000)
        read = 0
        for _ in range(n):
            try:
                heard(made, spoiled(chosen.choice(good), chosen))
                read += 1
            except BadInput as error:
                made.unreadable(error)
            await asyncio.sleep(0)
            for batch in intake.batches:
                for one in batch.items:
                    msgspec.msgpack.encode(one.value if isinstance(one, Reading) else one.fields)  # can be carried
            intake.batches.clear()
        assert read > n // 10
        heard(made, response(data_change([item(3, 3.5, V.Double)])))
        assert [one.value for one in readings(intake)] == [3.5], "it goes on"

    asyncio.run(run())


def test_a_response_that_cannot_be_read_at_all_is_in_quarantine_with_its_bytes() -> None:
    async def run() -> None:
        intake = FakeIntake()
        made = source(intake, 3)
        whole = response(data_change([item(n, float(n), V.Double) for n in range(3)]))
        for body in (whole[:40], b"\x01\x00\xff\xff" + whole[4:]):  # cut short; no PublishResponse
            with pytest.raises(BadInput) as found:
                heard(made, body)
            made.unreadable(found.value)
            assert told(intake, Quarantined)[-1]["raw"] == body
        assert len(told(intake, Quarantined)) == 2

    asyncio.run(run())


def test_a_string_of_ten_megabytes_is_a_file_and_its_record_says_which(tmp_path: Path) -> None:
    async def run() -> None:
        intake, long = FakeIntake(), "運" + "x" * 10_000_000
        made = source(intake, 3, tmp_path / "src.session")
        for _ in range(2):
            items = [item(0, 1.0, V.Double), item(1, long, V.String), item(2, [1.5] * 100_000, V.Double)]
            found = decode_publish_response(response(data_change(items)), made._signals.structures)
            made.take(Message(found.sequence, found.publish_time, found.values, found.bad, None, []))
        one, text, array = readings(intake)[:3]
        assert one.value == 1.0
        assert isinstance(text.value, dict)
        assert text.value["size"] == len(long.encode())
        assert text.value["sha256"] == hashlib.sha256(long.encode()).hexdigest()
        assert text.value["head"] == long[:1024]
        assert (tmp_path / text.value["file"]).read_bytes() == long.encode()
        assert isinstance(array.value, dict)
        assert array.value["head"] == [1.5] * 16
        assert len(msgspec.msgpack.encode([text.value, array.value])) < 5_000
        assert len(list((tmp_path / "src.session.values").iterdir())) == 2, "the same value again is the same file"

    asyncio.run(run())


def test_what_a_keep_alive_proves_outlives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine that says nothing else; written down now and then, not every time."""

    async def run() -> None:
        intake = FakeIntake()
        made = source(intake, 3)
        heard(made, response(data_change([item(0, 1.0, V.Double)])))
        quiet = decode_publish_response(response(data_change([])), STRUCTURES)
        many = len(intake.batches)
        for at in range(5):
            made.alive(quiet._replace(publish_time=PUBLISHED_NS + at), proves=True)
        assert len(intake.batches) == many
        monkeypatch.setattr(source_module, "KEEP_S", 0.0)
        made.alive(quiet._replace(publish_time=PUBLISHED_NS + 9), proves=False)
        assert len(intake.batches) == many
        made.alive(quiet._replace(publish_time=PUBLISHED_NS + 10), proves=True)
        resume = intake.batches[-1].resume
        assert resume is not None
        assert (len(intake.batches), intake.batches[-1].items, resume["floors"]["heard"]) == (
            many + 1,
            [],
            PUBLISHED_NS + 10,
        )

    asyncio.run(run())
