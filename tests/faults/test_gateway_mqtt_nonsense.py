"""A broker that talks nonsense: told, tried again, and nothing that was whole before it is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from shinkei_events.settings import strict
from shinkei_gateway.mqtt import wire
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.mqtt.source import MqttDevices
from tests.support.fake_intake import FakeIntake
from tests.support.waiting import eventually_async

TOPICS = [{"filter": "plant/+/+", "as": "signal", "machine": "{1}", "signal": "{2}", "time": "/ts", "value": "/v"}]


def test_a_broker_that_talks_nonsense_is_told_and_tried_again(rng: random.Random) -> None:
    """What was whole before the nonsense is kept; the source goes on with the next connection."""
    good = wire.publish(1, "plant/M1/n", b'{"ts": 1700000000000000000, "v": 1}', 1, retain=False, is_5=False)
    nonsense = [b"\xf0\x00", b"\x36\x05\0\1a\0\1", b"\x30\xff\xff\xff\xff\x01", b"\x30\x02\0\x09", rng.randbytes(400)]
    calls: list[int] = []
    ended: list[int] = []

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = len(calls)
        calls.append(turn)
        await reader.read(1000)
        writer.write(b"\x20\x02\x01\x00")  # accepted, the session is there
        if turn == 0:
            await reader.read(1000)
            writer.write(b"\x90\x03\x00\x01\x01" + good)
        writer.write(nonsense[turn] if turn < len(nonsense) else b"")
        await writer.drain()
        while await reader.read(1000):
            pass
        writer.close()
        await writer.wait_closed()
        ended.append(turn)

    async def test() -> None:
        server = await asyncio.start_server(broker, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        raw = {
            "type": "mqtt",
            "url": f"mqtt://127.0.0.1:{port}",
            "client_id": "gw",
            "topics": TOPICS,
            "retry": "50ms",
            "timeout": "2s",
        }
        intake, stop = FakeIntake(), asyncio.Event()
        source = MqttDevices("src", strict(raw, MqttSource, "x"), intake, Path())
        task = asyncio.create_task(source.run(stop))
        await eventually_async(lambda: len(calls) > len(nonsense) and source.health()["connected"], 30)
        stop.set()
        await asyncio.wait_for(task, 60)
        await eventually_async(lambda: len(ended) == len(calls))
        server.close()
        assert [reading.value for reading in intake.readings("n")] == [1]

    asyncio.run(test())
