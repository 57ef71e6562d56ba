"""Sparkplug at full size: ten thousand spoiled payloads, and an edge node that Eclipse Tahu encodes, killed at the end."""

from __future__ import annotations

import asyncio
import base64

import pytest

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import Gap, SignalDescribed
from shinkei_gateway.sparkplug.translate import BAD_NO_COMMUNICATION
from tests.integration.test_gateway_sparkplug import running, source
from tests.support.fake_intake import FakeIntake
from tests.support.mosquitto import Mosquitto
from tests.support.sizes import Sizes
from tests.support.tahu_node import TahuNode
from tests.support.waiting import eventually_async
from tests.unit.test_sparkplug_translate import spoil

COUNT = 3_000
EXPECTED = {
    "Int8": -128, "Int16": -32768, "Int32": -(2**31), "Int64": -(2**63), "UInt8": 255, "UInt16": 65535, "UInt32": 2**32 - 1, "UInt64": 2**64 - 1,
    "Float": 0.5, "Double": 0.1, "Boolean": True, "String": "ポンプ", "Text": "t", "DateTime": "2023-11-14T22:13:20.123000000Z",
    "Bytes": base64.b64encode(b"\x00\x01").decode(), "DataSet": {"columns": ["lot", "count"], "types": ["String", "Int32"], "rows": [["B-17", -5]]},
    "Int32Array": [-1, 2], "DoubleArray": [0.1, -2.0], "BooleanArray": [True, False, True], "StringArray": ["ABC", "水"],
}  # fmt: skip


def test_whatever_payloads_come_no_error_leaves_and_the_good_ones_arrive(sizes: Sizes) -> None:
    spoil(sizes.of("spoiled Sparkplug payloads", sample=2_000, full=10_000))


@pytest.mark.long
@pytest.mark.needs("mosquitto", "tahu")
def test_an_edge_node_of_eclipse_tahu(mosquitto: Mosquitto) -> None:
    """Births, counters at QoS 0, and every data type twice (in the birth and by alias without types), then its death."""

    async def test() -> None:
        intake = FakeIntake()
        async with running(source(mosquitto.port, intake, group_ids=["tahu"])) as host:
            node = await asyncio.to_thread(TahuNode, mosquitto.port, COUNT)
            await asyncio.to_thread(node.said)
            await eventually_async(lambda: len(intake.readings("StringArray")) == 2, 60)
            assert [reading.value for reading in intake.readings("n")] == list(range(COUNT + 1))
            for name, value in EXPECTED.items():
                assert [reading.value for reading in intake.readings(name)] == [value, value], name
            assert host.health()["nodes"]["tahu/edge"]["deviations"] == []
            node.kill()
            await eventually_async(lambda: [r for r in intake.readings("n") if r.status == BAD_NO_COMMUNICATION], 60)
        assert intake.drafts(Gap) == intake.drafts(MachineStateChanged) == []
        (unit,) = [draft.fields for draft in intake.drafts(SignalDescribed) if draft.fields["name"] == "n"]
        assert (unit["unit"], unit["high"]) == ("bar", 16.0)

    asyncio.run(test())
