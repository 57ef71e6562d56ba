"""MQTT packets to and from a broker: cut anywhere, told wrong in every way; and what PINGRESPs prove."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from shinkei_events.errors import BadField, BadInput
from shinkei_gateway.mqtt import properties, wire
from shinkei_gateway.mqtt.connection import Dial, Limits, Message, Will, whole
from shinkei_gateway.mqtt.pulse import Pulse
from shinkei_gateway.mqtt.reasons import ended, reason, refused
from shinkei_gateway.mqtt.wire import Answer, Decoder

T = 1_700_000_000_000_000_000


def fed(
    data: bytes, *, is_5: bool = False, cuts: list[int] | None = None, **more: Any
) -> tuple[list[Message], list[Answer]]:
    decoder = Decoder(is_5=is_5, **more)
    messages: list[Message] = []
    answers: list[Answer] = []
    edges = [0, *(cuts or []), len(data)]
    for begin, end in itertools.pairwise(edges):
        decoder.feed(data[begin:end], T, messages, answers)
    return messages, answers


def stream(is_5: bool, rng: random.Random) -> tuple[bytes, list[Message]]:
    data, expected = b"", []
    for at in range(60):
        qos, retain = rng.randrange(3), rng.random() < 0.2
        payload = rng.randbytes(rng.choice([0, 1, 60, 121, 122, 127, 128, 300, 17_000]))
        topic = rng.choice(["a", "plant/M1/signal/度", "x" * 200])
        data += wire.publish(at + 1, topic, payload, qos, retain=retain, is_5=is_5)
        expected.append(Message(topic, payload, qos, at + 1 if qos else 0, retain, T, retain))
        if rng.random() < 0.2:
            data += bytes([wire.PINGRESP << 4, 0]) + bytes([wire.PUBREL << 4 | 2, 2, 0, 7])
    return data, expected


@pytest.mark.parametrize("is_5", [False, True])
def test_packets_are_found_wherever_the_stream_is_cut(is_5: bool, rng: random.Random) -> None:
    data, expected = stream(is_5, rng)
    whole = fed(data, is_5=is_5)
    assert whole[0] == expected
    for _ in range(60):
        cuts = sorted(rng.randrange(len(data)) for _ in range(rng.choice([1, 5, 400])))
        assert fed(data, is_5=is_5, cuts=cuts) == whole
    short = data[:3000]
    assert fed(short, is_5=is_5, cuts=list(range(1, len(short)))) == fed(short, is_5=is_5)


def test_a_topic_alias_is_neither_offered_nor_needed() -> None:
    """mochi 2.7 sent what was under way again by an alias of the connection before: nobody could say of which topic, for ever."""

    def aliased(topic: bytes, alias: int) -> bytes:
        body = len(topic).to_bytes(2, "big") + topic + b"\x03\x23" + alias.to_bytes(2, "big") + b"v"
        return bytes([0x30, len(body)]) + body

    assert bytes([properties.TOPIC_ALIAS_MAXIMUM, 0]) not in wire.connect(Dial("h", 1, "me", "5"))
    messages, _ = fed(aliased(b"a/b", 1) + aliased(b"c", 1), is_5=True)
    assert [message.topic for message in messages] == ["a/b", "c"]
    with pytest.raises(BadInput, match="alias 1"):
        fed(aliased(b"a/b", 1) + aliased(b"", 1), is_5=True)


@pytest.mark.parametrize(
    ("data", "is_5", "words"),
    [
        (b"\x36\x05\0\1a\0\1", False, "QoS 3"), (b"\x32\x05\0\1a\0\0", False, "packet identifier"), (b"\x38\x03\0\1a", False, "DUP"),
        (b"\x30\x02\0\x09", False, "within its topic"), (b"\x30\x01\0", False, "within its topic"), (b"\x30\0", False, "within its topic"),
        (b"\x30\x02\0\0", True, "properties"), (b"\x30\xff\xff\xff\xff\x01", False, "four bytes"),
        (b"\x30\xff\xff\xff\x7f", True, "at most"), (b"\x90\xff\xff\xff\x7f", False, "at most"), (b"\xf0\0", False, "type 15"), (b"\0\0", False, "type 0"), (b"\x10\0", False, "type 1"),
        (b"\x60\2\0\1", False, "flags"), (b"\x62\1\0", False, "1 bytes"), (b"\x20\2\2\0", False, "flags"), (b"\x90\2\0\1", False, "2 bytes"),
        (b"\x20\x05\0\0\2\x99\0", True, "unknown property"), (b"\x20\x09\0\0\6\x21\0\1\x21\0\1", True, "twice"),
        (b"\x20\x04\0\0\5\x21", True, "longer"), (b"\x20\x05\0\0\2\x21\0", True, "within a property"),
    ],
)  # fmt: skip
def test_what_no_broker_may_send_is_named(data: bytes, is_5: bool, words: str) -> None:
    good = wire.publish(1, "t", b"1", 1, retain=False, is_5=is_5)
    messages: list[Message] = []
    with pytest.raises(BadInput, match=words):
        Decoder(is_5=is_5).feed(good + data, T, messages, [])
    assert [message.payload for message in messages] == [b"1"]  # its neighbour before it was whole


def test_ten_thousand_broken_streams_are_taken_or_refused(rng: random.Random) -> None:
    whole = {is_5: stream(is_5, rng)[0][:4000] for is_5 in (False, True)}
    for _ in range(10_000):
        is_5 = rng.random() < 0.5
        at = rng.randrange(3000)
        data = bytearray(whole[is_5][at : at + rng.randrange(1, 600)] if rng.random() < 0.6 else whole[is_5][:600])
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            messages, _ = fed(bytes(data), is_5=is_5, cuts=[rng.randrange(len(data) + 1)])
        except BadInput:
            continue
        assert all(isinstance(message.topic, str) for message in messages)


def test_connect_says_who_and_how() -> None:
    plain = wire.connect(Dial("h", 1, "me", keepalive=15))
    assert plain == b"\x10\x0e\0\4MQTT\4\0\0\x0f\0\2me"
    full = wire.connect(Dial("h", 1, "me", user="u", password="p", keep_session=False, will=Will("w", b"x", 1, True)))
    assert full == b"\x10\x1a\0\4MQTT\4\xee\0\x0f\0\2me\0\1w\0\1x\0\1u\0\1p"
    five = wire.connect(Dial("h", 1, "me", "5", receive_maximum=500))
    assert five[9] == 0  # the session is kept …
    assert b"\x11\xff\xff\xff\xff\x21\x01\xf4" in five  # … for ever, and so many messages may be under way


def test_subscriptions_and_answers() -> None:
    assert wire.subscribe(7, ["a", "b"], 1, 2, is_5=False) == b"\x82\x0a\0\7\0\1a\1\0\1b\1"
    assert wire.subscribe(7, ["a"], 1, 2, is_5=True) == b"\x82\x07\0\7\0\0\1a\x21"
    assert wire.unsubscribe(7, ["a"], is_5=True) == b"\xa2\x06\0\7\0\0\1a"
    assert wire.acknowledgements([Message("t", b"", q, m, False, T) for q, m in ((1, 5), (0, 0), (2, 6), (1, 65_535))]) == (
        b"\x40\2\0\5\x50\2\0\6\x40\2\xff\xff"
    )  # fmt: skip
    assert fed(b"\x90\x04\0\7\1\x80")[1] == [Answer(wire.SUBACK, 7, b"\1\x80")]
    assert fed(b"\x20\2\1\0")[1] == [Answer(wire.CONNACK, 0, b"\0", True)]
    (connack,) = fed(b"\x20\x0d\0\0\x0a\x21\0\x14\x24\1\x25\0\x13\0\x0a", is_5=True)[1]
    assert wire.limits(connack.found) == Limits(None, 20, 1, False, None, 10)
    assert fed(b"\x40\3\0\7\x97", is_5=True)[1] == [Answer(wire.PUBACK, 7, b"\x97")]
    (end,) = fed(b"\xe0\x07\x8b\5\x1f\0\2hi", is_5=True)[1]
    assert (reason(end.codes[0], end.found[properties.REASON_STRING])) == "server shutting down (0x8B): hi"


def test_reasons_are_words() -> None:
    assert refused(4, is_5=False) == "user name or password is wrong"
    assert "not authorized" in refused(0x87, is_5=True)
    assert refused(1, is_5=True) == 'unacceptable protocol version: set protocol = "3.1.1"', (
        "of a broker that knows no MQTT 5"
    )
    assert refused(5, is_5=True) == "not authorized"
    assert reason(0xEE) == "unknown reason (0xEE)"
    assert (ended(b""), ended(b"\0")) == ("the broker closed the connection", "the broker closed the connection")
    assert ended(b"\x9d", "", "h:1") == (
        "the broker closed the connection: server moved (0x9D): it names h:1; if that is right, set url"
    )


@pytest.mark.parametrize("raw", [b"a\0b", b"a/\xff", b"\xed\xa0\x80", b"a+", b"#", b""])
def test_a_topic_that_is_none_is_told_with_its_message_and_stops_nobody(raw: bytes) -> None:
    """Brokers pass such on (Aedes 1.2: U+0000); a connection ended for it would end for ever, as it comes again."""
    body = len(raw).to_bytes(2, "big") + raw + b"\0\7v"
    good = wire.publish(8, "t", b"1", 1, retain=False, is_5=False)
    messages, _ = fed(good + 2 * (bytes([0x32, len(body)]) + body) + good)
    assert [(m.mid, m.payload, m.bad is None) for m in messages] == [
        (8, b"1", True), (7, b"v", False), (7, b"v", False), (8, b"1", True),
    ]  # fmt: skip
    assert "\0" not in messages[1].topic
    with pytest.raises(BadField, match="topic"):
        whole(messages[1])


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_larger_than_allowed_is_told_without_its_bytes_and_its_neighbours_go_on(
    qos: int, rng: random.Random
) -> None:
    """A broker of 3.1.1 cannot be told a limit: refused with the connection, the message came again for ever."""
    large = wire.publish(7, "plant/度", b"x" * 5_000, qos, retain=False, is_5=False)
    good = wire.publish(8, "t", b"1", 1, retain=False, is_5=False)
    data = good + large + large + good
    for cuts in ([], list(range(1, len(data))), sorted(rng.randrange(len(data)) for _ in range(5))):
        messages, _ = fed(data, cuts=cuts, largest=1000)
        assert [(m.topic, m.mid, m.bad is not None) for m in messages] == [
            ("t", 8, False), *[("plant/度", 7 if qos else 0, True)] * 2, ("t", 8, False),
        ]  # fmt: skip
        assert all(b"x" * len(m.payload) == m.payload and len(m.payload) <= wire.HEAD_BYTES for m in messages[1:3])
    with pytest.raises(BadField, match=r"50\d\d bytes.*at most"):
        whole(messages[1])
    with pytest.raises(BadInput, match="at most 1000"):
        fed(large, largest=1000, is_5=True)  # MQTT 5 was told the limit


def test_a_pulse_asks_when_it_is_quiet_or_something_is_unproven() -> None:
    pulse = Pulse(keepalive=40, timeout=4)
    assert pulse.every == 1.0
    assert [pulse.tick(is_reading=True) for _ in range(20)] == [""] * 19 + ["ping"]
    pulse.answered()
    pulse.acknowledged(5)
    assert pulse.tick(is_reading=True) == "ping"
    pulse.acknowledged(3)
    assert pulse.settled() == 0
    pulse.answered()
    assert (pulse.settled(), pulse.settled()) == (5, 0)
    assert pulse.tick(is_reading=True) == "ping"
    pulse.answered()
    assert pulse.settled() == 3


def test_a_pulse_finds_a_dead_broker_and_accuses_no_busy_one() -> None:
    pulse = Pulse(keepalive=4, timeout=4)
    pulse.acknowledged(1)
    assert pulse.tick(is_reading=True) == "ping"
    for _ in range(20):
        pulse.is_heard = True  # messages come, the PINGRESP waits behind them
        assert pulse.tick(is_reading=True) == ""
    # We do not read ourselves; but a broker that hears nothing from us for 1.5 times the keep-alive ends the connection.
    assert [pulse.tick(is_reading=False) for _ in range(6)].count("ping") == 3
    pulse.answered()
    assert pulse.settled() == 0  # the first PINGRESP of four
    assert [pulse.tick(is_reading=True) for _ in range(4)] == ["", "", "", "dead"]
