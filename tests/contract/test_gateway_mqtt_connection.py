"""What a connection to an MQTT broker promises, on our own client and on paho, against a real mosquitto."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_events.errors import BadConfig, NotConnected
from shinkei_events.settings import strict
from shinkei_gateway.mqtt.broker_settings import BrokerSettings
from shinkei_gateway.mqtt.broker_settings import dial as dial_of
from shinkei_gateway.mqtt.connection import Connection, Dial, Message, Will
from shinkei_gateway.mqtt.dial import connection
from shinkei_plant.broker import Broker
from tests.support.certificates import Authority
from tests.support.mosquitto import Mosquitto
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.waiting import eventually_async

Client = tuple[Literal["own", "paho"], Literal["3.1.1", "5"]]
CLIENTS: list[Client] = [("own", "3.1.1"), ("own", "5"), ("paho", "3.1.1"), ("paho", "5")]


@pytest.fixture(params=CLIENTS, ids=["-".join(each) for each in CLIENTS])
def client(request: pytest.FixtureRequest) -> Client:
    return request.param


@pytest.fixture(params=["3.1.1", "5"])
def own(request: pytest.FixtureRequest) -> Client:
    return ("own", request.param)


def dialled(client: Client, port: int, **more: Any) -> Dial:
    """What tests a time-out sets its own: a shared machine stands still for seconds."""
    return Dial("127.0.0.1", port, "gw", protocol=client[1], client=client[0], **({"timeout": 20.0} | more))


@asynccontextmanager
async def connected(dial: Dial) -> AsyncIterator[tuple[Connection, bool]]:
    made = connection(dial, time.time_ns)
    try:
        present = await made.connect()
        yield made, present
    finally:
        await made.close()


def publish(
    port: int, numbers: range, qos: int = 1, topic: str = "t", payload: Callable[[int], bytes] | None = None
) -> None:
    """From another client; returns when the broker has all."""
    device = paho.Client(CallbackAPIVersion.VERSION2, "device")
    device.max_queued_messages_set(0)
    device.max_inflight_messages_set(500)
    device.connect("127.0.0.1", port)
    device.loop_start()
    sent = [device.publish(topic, payload(n) if payload else b"%d" % n, qos) for n in numbers]
    until = time.monotonic() + 120
    for info in sent:
        info.wait_for_publish(max(0.01, until - time.monotonic()))
        assert info.is_published(), "the broker did not take the device's messages within 120 s"
    device.disconnect()
    device.loop_stop()


async def taken(made: Connection, count: int, *, acknowledge: bool = True, within: float = 120) -> list[Message]:
    found: list[Message] = []
    deadline = time.monotonic() + within
    while len(found) < count and time.monotonic() < deadline:
        more = await made.take(500, 0.2)
        if acknowledge:
            made.acknowledge(more)
            made.complete(made.settled().released)
        found += more
    return found


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 300))


def numbers(messages: list[Message]) -> list[int]:
    return [int(message.payload) for message in messages]


def test_messages_come_once_and_in_order(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        async with connected(dialled(client, mosquitto.port)) as (made, _):
            await made.subscribe(["t"], 1)
            await asyncio.to_thread(publish, mosquitto.port, range(500))
            found = await taken(made, 500)
            assert numbers(found) == list(range(500))
            assert {(m.topic, m.qos, m.is_again, m.is_retained) for m in found} == {("t", 1, False, False)}
            assert await made.take(10, 0.05) == []

    run(test())


def test_what_was_not_acknowledged_comes_again_in_order(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        dial = dialled(client, mosquitto.port)
        async with connected(dial) as (made, present):
            assert not present
            await made.subscribe(["t"], 1)
            await asyncio.to_thread(publish, mosquitto.port, range(40))
            found = await taken(made, 40, acknowledge=False)
            made.acknowledge(found[:10])
            await made.publish("elsewhere", b"")  # its answer shows that the broker has read what was before it
        async with connected(dial) as (made, present):
            assert present
            again = await taken(made, 30)
            await made.publish("elsewhere", b"")
        assert numbers(again) == list(range(10, 40))
        assert all(message.is_again for message in again)
        assert [message.mid for message in again] == [message.mid for message in found[10:]]
        async with connected(dial) as (made, present):
            assert present
            assert await made.take(10, 0.3) == []

    run(test())


def test_messages_wait_in_the_session_while_nobody_is_there(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        async with connected(dialled(client, mosquitto.port)) as (made, _):
            await made.subscribe(["t"], 1)
        await asyncio.to_thread(publish, mosquitto.port, range(200))
        async with connected(dialled(client, mosquitto.port)) as (made, present):
            assert present
            found = await taken(made, 200)
            assert (numbers(found), any(m.is_again for m in found)) == (list(range(200)), False)

    run(test())


def test_a_session_that_is_not_kept_ends_with_the_connection(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        dial = dialled(client, mosquitto.port, keep_session=False)
        for _ in range(2):
            async with connected(dial) as (made, present):
                assert not present
                await made.subscribe(["t"], 1)

    run(test())


def test_a_cut_in_the_middle_of_a_batch_loses_nothing(mosquitto: Mosquitto, client: Client) -> None:
    async def test(proxy: Proxy) -> None:
        dial = dialled(client, proxy.port)
        found: list[Message] = []
        async with connected(dial) as (made, _):
            await made.subscribe(["t"], 1)
            await asyncio.to_thread(publish, mosquitto.port, range(400))
            found += await taken(made, 80)
            proxy.cut()
            await asyncio.wait_for(asyncio.shield(made.lost), 60)
        proxy.restore()
        async with connected(dial) as (made, present):
            assert present
            while 399 not in numbers(found):
                found += await taken(made, 1)
        fresh = [number for at, number in enumerate(numbers(found)) if number not in numbers(found[:at])]
        assert fresh == list(range(400))
        repeated = [m for at, m in enumerate(found) if (m.mid, m.payload) in {(f.mid, f.payload) for f in found[:at]}]
        assert all(message.is_again for message in repeated)
        assert len(found) - len(repeated) == 400

    with Proxy(mosquitto.port) as proxy:
        run(test(proxy))


def test_qos_2_comes_once(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        async with connected(dialled(client, mosquitto.port)) as (made, _):
            await made.subscribe(["t"], 2)
            await asyncio.to_thread(publish, mosquitto.port, range(100), 2)
            found = await taken(made, 100)
            assert (numbers(found), {m.qos for m in found}) == (list(range(100)), {2})
        async with connected(dialled(client, mosquitto.port)) as (made, _):
            assert await made.take(10, 0.3) == []

    run(test())


def test_qos_2_is_confirmed_only_when_it_is_acknowledged(mosquitto: Mosquitto, own: Client) -> None:
    """paho confirms before it hands over, which is why the settings refuse it with QoS 2."""

    async def test() -> None:
        async with connected(dialled(own, mosquitto.port)) as (made, _):
            await made.subscribe(["t"], 2)
            await asyncio.to_thread(publish, mosquitto.port, range(20), 2)
            found = await taken(made, 20, acknowledge=False)
        async with connected(dialled(own, mosquitto.port)) as (made, _):
            again = await taken(made, 20, acknowledge=False)
            assert [(m.mid, m.payload) for m in again] == [(m.mid, m.payload) for m in found]
            assert all(m.is_again for m in again)
            made.acknowledge(again)
            released: list[int] = []
            while len(released) < 20:
                released += made.settled().released
                await made.take(1, 0.05)
            assert released == [m.mid for m in again]
            made.complete(released[:5])
            await made.publish("elsewhere", b"")  # its answer shows that the broker has read what was before it
        async with connected(dialled(own, mosquitto.port)) as (made, _):
            left: list[int] = []  # what was not completed is released once more, and its message does not come again
            while len(left) < 15:
                assert await made.take(1, 0.05) == []
                left += made.settled().released
            assert left == released[5:]
            made.complete(left)
        async with connected(dialled(own, mosquitto.port)) as (made, _):
            assert await made.take(10, 0.3) == []
            assert made.settled().released == []

    run(test())


def test_an_answered_ping_proves_the_acknowledgements(mosquitto: Mosquitto, own: Client) -> None:
    async def test() -> None:
        proven = 0

        def is_proven() -> bool:  # several pings may prove it, when the messages came in several pieces
            nonlocal proven
            proven += made.settled().oldest
            return proven >= 30

        async with connected(dialled(own, mosquitto.port)) as (made, _):
            await made.subscribe(["t"], 1)
            await asyncio.to_thread(publish, mosquitto.port, range(30))
            assert made.settled().oldest == 0
            await taken(made, 30)
            await eventually_async(is_proven)
            assert proven == 30

    run(test())


def test_the_will_is_said_when_the_connection_breaks_and_only_then(mosquitto: Mosquitto, client: Client) -> None:
    async def test(proxy: Proxy) -> None:
        async with connected(Dial("127.0.0.1", mosquitto.port, "ear")) as (ear, _):
            await ear.subscribe(["will/#"], 1)
            will = Will("will/gw", b"dead", 1, True)
            async with connected(dialled(client, proxy.port, keep_session=False, will=will)):
                pass
            assert await ear.take(1, 0.3) == []
            async with connected(dialled(client, proxy.port, keep_session=False, will=will)) as (made, _):
                proxy.cut()
                await asyncio.wait_for(asyncio.shield(made.lost), 60)
            assert [(m.topic, m.payload) for m in await taken(ear, 1)] == [("will/gw", b"dead")]
        async with connected(Dial("127.0.0.1", mosquitto.port, "late")) as (late, _):
            await late.subscribe(["will/#"], 1)
            assert [m.is_retained for m in await taken(late, 1)] == [True]

    with Proxy(mosquitto.port) as proxy:
        run(test(proxy))


def test_publishing(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        async with connected(Dial("127.0.0.1", mosquitto.port, "ear")) as (ear, _):
            await ear.subscribe(["out/#"], 2)
            async with connected(dialled(client, mosquitto.port)) as (made, _):
                for qos in (0, 1, 2):
                    await made.publish("out/x", b"%d" % qos, qos, retain=qos == 1)
                for at in range(200):
                    await made.publish("out/y", b"%d" % at, 1 + at % 2)
            found = await taken(ear, 203)
            assert [(m.qos, m.payload) for m in found[:3]] == [(0, b"0"), (1, b"1"), (2, b"2")]
            assert numbers(found[3:]) == list(range(200))

    run(test())


def test_retained_messages_are_taken_or_left(mosquitto: Mosquitto) -> None:
    async def test(client: Client) -> None:
        async with connected(dialled(client, mosquitto.port, keep_session=False)) as (made, _):
            await made.publish("r/a", b"1", 1, retain=True)
            await made.subscribe(["r/#"], 1, "leave")
            assert await made.take(5, 0.2) == []
            await made.subscribe(["r/#"], 1, "new")
            assert await made.take(5, 0.2) == []
            await made.subscribe(["r/#"], 1, "take")
            assert [(m.payload, m.is_retained, m.is_again) for m in await taken(made, 1)] == [(b"1", True, True)]

    for which in ("own", "paho"):
        run(test((which, "5")))  # type: ignore[arg-type]


def test_a_filter_that_was_given_up_brings_nothing(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        async with connected(dialled(client, mosquitto.port)) as (made, _):
            await made.subscribe(["a", "b"], 1)
            await made.unsubscribe(["a"])
            await made.publish("a", b"1")
            await made.publish("b", b"2")
            assert [m.topic for m in await taken(made, 1)] == ["b"]
            assert await made.take(1, 0.1) == []

    run(test())


def test_large_payloads(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        big = bytes(range(256)) * 4 * 5000
        async with connected(dialled(client, mosquitto.port, timeout=20.0)) as (made, _):
            await made.subscribe(["t"], 1)
            for size in (0, 1, 127, 128, 16_383, 16_384, len(big)):
                await made.publish("t", big[:size])
            assert [m.payload for m in await taken(made, 7)] == [
                big[:n] for n in (0, 1, 127, 128, 16_383, 16_384, len(big))
            ]

    run(test())


def test_who_does_not_take_holds_up_the_broker_and_gets_everything_later(mosquitto: Mosquitto, client: Client) -> None:
    async def test() -> None:
        async with connected(dialled(client, mosquitto.port)) as (made, _):
            await made.subscribe(["t"], 0)
            await asyncio.to_thread(publish, mosquitto.port, range(5_000), 0, "t", lambda n: b"%0200d" % n)
            found = await taken(made, 5_000)
            assert numbers(found) == list(range(5_000))

    run(test())


def test_receive_maximum_bounds_what_is_under_way(mosquitto: Mosquitto) -> None:
    async def test(client: Client) -> None:
        async with connected(dialled(client, mosquitto.port, receive_maximum=5)) as (made, _):
            await made.subscribe([f"rm/{client[0]}"], 1)
            await asyncio.to_thread(publish, mosquitto.port, range(20), 1, f"rm/{client[0]}")
            first = await taken(made, 5, acknowledge=False)
            assert (numbers(first), await made.take(10, 0.2)) == ([0, 1, 2, 3, 4], [])
            made.acknowledge(first)
            assert numbers(await taken(made, 15)) == list(range(5, 20))

    for which in ("own", "paho"):
        run(test((which, "5")))  # type: ignore[arg-type]


def test_a_broker_that_hangs_is_found_out(mosquitto: Mosquitto, own: Client) -> None:
    async def test(proxy: Proxy) -> None:
        async with connected(dialled(own, proxy.port, keepalive=2.0, timeout=1.0)) as (made, _):
            proxy.hang()
            assert "PINGREQ" in await asyncio.wait_for(asyncio.shield(made.lost), 60)
            with pytest.raises(NotConnected, match="PINGREQ"):
                await made.publish("t", b"")
            assert await made.take(1, 5) == []

    with Proxy(mosquitto.port) as proxy:
        run(test(proxy))


def test_nobody_there_and_a_wrong_password_are_told(tmp_path: Path, client: Client) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    broker = Mosquitto(tmp_path / "broker", f"\nallow_anonymous false\npassword_file {passwords}\n")
    broker.start()

    async def test() -> None:
        with pytest.raises(NotConnected, match=r"(?i)refused|Connect"):
            async with connected(dialled(client, free_port())):
                pass
        with pytest.raises(NotConnected, match=r"(?i)not authori[sz]ed|password") as error:
            async with connected(dialled(client, broker.port, user="a", password="geheim")):
                pass
        assert "geheim" not in str(error.value)

    try:
        run(test())
    finally:
        broker.kill()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # paho leaves the socket of a failed handshake open
def test_tls_with_client_certificates(tmp_path: Path, client: Client) -> None:
    ours, theirs = Authority(tmp_path / "pki"), Authority(tmp_path / "pki", "stranger")
    server = ours.issue("server", "localhost")
    ours.issue("gateway")
    theirs.issue("spy")
    port = free_port()
    more = f"\nlistener {port} 127.0.0.1\ncafile {ours.ca}\ncertfile {server[0]}\nkeyfile {server[1]}\nrequire_certificate true\n"
    broker = Mosquitto(tmp_path / "broker", more)
    broker.start()

    async def attempt(host: str = "localhost", ca: str = "authority", cert: str | None = "gateway") -> None:
        raw = {
            "url": f"mqtts://{host}:{port}", "client_id": "tls", "client": client[0], "protocol": client[1], "ca": f"file:pki/{ca}.pem",
            **({} if cert is None else {"cert": f"file:pki/{cert}.pem", "key": f"file:pki/{cert}.key"}),
        }  # fmt: skip
        async with connected(dial_of(strict(raw, BrokerSettings, "x"), tmp_path)) as (made, _):
            await made.subscribe(["t"], 1)
            for at in range(50):
                await made.publish("t", b"%d" % at)
            assert numbers(await taken(made, 50)) == list(range(50))

    async def test() -> None:
        await attempt()
        with pytest.raises(NotConnected, match="certificate verify failed"):
            await attempt(ca="stranger")
        with pytest.raises(NotConnected, match=r"127\.0\.0\.1"):
            await attempt(host="127.0.0.1")
        with pytest.raises(NotConnected):
            await attempt(cert=None)
        with pytest.raises(NotConnected):
            await attempt(cert="spy")
        with pytest.raises(BadConfig, match="certificate and key"):
            await attempt(cert="nothing")

    try:
        run(test())
    finally:
        broker.kill()


def test_it_also_works_with_the_broker_that_needs_no_installation(tmp_path: Path) -> None:
    broker = Broker("127.0.0.1", free_port(), tmp_path, program="")
    broker.start()

    async def test() -> None:
        async with connected(dialled(("own", "3.1.1"), broker.port)) as (made, _):
            await made.subscribe(["t"], 1)
            await asyncio.to_thread(publish, broker.port, range(100))
            assert numbers(await taken(made, 100)) == list(range(100))

    try:
        run(test())
    finally:
        broker.stop()
