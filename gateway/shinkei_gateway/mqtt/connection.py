"""What one connection to an MQTT broker is, whichever client makes it: the contract that `client`, `own` and every source keep to.

Knows no socket and no settings file. Made by `shinkei_gateway.mqtt.dial`; used by the MQTT source, the Sparkplug host and ``check``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from shinkei_events.errors import BadField

SESSION_EXPIRY_S = 0xFFFF_FFFF
"""MQTT 5: the session never expires by itself (3.1.2.11.2)."""
RECEIVE_MAXIMUM = 1_000
"""QoS 1 and 2 messages that may be under way unacknowledged (MQTT 5, 3.1.2.11.3): two batches of a source."""
LARGEST_PACKET = 16 * 1024 * 1024
"""Bytes of one packet (MQTT 5 tells the broker so, 3.1.2.11.4). Of a larger message only the beginning is kept, as evidence."""


class Will(NamedTuple):
    """What the broker says for us when the connection ends without a DISCONNECT (MQTT 5, 3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class Dial(NamedTuple):
    """Whom to call, and as whom. Times in s. ``tls`` None: in the clear. ``keep_session`` False: the session ends with the connection."""

    host: str
    port: int
    client_id: str
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive: float = 15.0
    timeout: float = 4.0
    keep_session: bool = True
    will: Will | None = None
    receive_maximum: int = RECEIVE_MAXIMUM
    client: Literal["own", "paho"] = "own"


class Message(NamedTuple):
    """A message as it came; ``received`` ns UTC. ``is_again``: the broker says it may have been delivered before, or had it retained."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    is_again: bool
    received: int
    is_retained: bool = False
    bad: BadField | None = None
    """Why it cannot be taken, if so: its topic is none (shown escaped), or its payload too large (then ``payload`` is its beginning)."""


def whole(message: Message) -> None:
    """Raises `BadField` for a message that cannot be taken: refusing the connection instead would only bring it again, for ever."""
    if message.bad is not None:
        raise message.bad


class Limits(NamedTuple):
    """What the broker said of itself when it accepted (MQTT 5, 3.2.2.3; None: it said nothing, as 3.1.1 never does)."""

    session_expiry: int | None = None
    receive_maximum: int | None = None
    maximum_qos: int | None = None
    retain: bool | None = None
    largest_packet: int | None = None
    keepalive: int | None = None
    wildcards: bool | None = None


Retained = Literal["take", "new", "leave"]
"""Retained messages at a subscription: all, those of filters that are new, none (MQTT 5 retain handling 0 1 2; 3.1.1 always sends all)."""

HANDLING: dict[Retained, int] = {"take": 0, "new": 1, "leave": 2}


class Settled(NamedTuple):
    """Which acknowledged messages can never come again: the ``oldest`` so many, and those with a packet identifier in ``released``."""

    oldest: int = 0
    released: Sequence[int] = ()


class Connection(Protocol):
    """One connection, made fresh for every attempt and never used again after `close`; called from one event loop only.

    `connect` comes first and once. Then `subscribe`, `take`, `acknowledge` and `publish` in any order, until ``lost`` is done; whoever
    waits in one of them then gets `NotConnected`, and `take` gives what came before the end, then nothing. `close` comes last, also
    after a failed `connect`. Messages come in the order the broker sent them, each at least once in the life of a session: what was
    taken and not acknowledged comes again, in order and with ``is_again``, on the next connection that finds the session. A QoS 2 message is
    confirmed (PUBREC) by that same acknowledgement and never before, so it also comes again until the broker has it.
    When `take` is not called the connection stops reading, and the broker keeps the rest.
    """

    lost: asyncio.Future[str]
    """Done, with the reason in words, when the connection has ended for whatever cause. Never an exception."""

    async def connect(self) -> bool:
        """Whether the broker still had our session. Raises `NotConnected` (unreachable, refused, no answer in ``timeout``)."""

    @property
    def limits(self) -> Limits:
        """What the broker said of itself; all None before `connect`."""

    async def subscribe(self, filters: Sequence[str], qos: int, retained: Retained = "take") -> None:
        """Done when granted. Raises `NotConnected` when the broker refuses one, or grants less than ``qos``. ``retained``: see `Retained`."""

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Done when the broker says so; messages under way may still come. Raises `NotConnected`."""

    async def take(self, most: int, wait: float) -> list[Message]:
        """Up to ``most`` messages in the order received; none when ``wait`` seconds pass without, something is `settled`, or it is lost."""

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Only for what is durable, in the order received, all messages that were taken. Never blocks, never raises."""

    def settled(self) -> Settled:
        """What the broker has confirmed since the last call, of what was acknowledged on this connection and counted in its order.

        A PINGRESP proves every acknowledgement before its PINGREQ (one byte stream, one order), a PUBREL that of its message.
        """

    def complete(self, mids: Sequence[int]) -> None:
        """These `released` packet identifiers are forgotten, and that is durable: the broker may use them again (PUBCOMP). Never blocks.

        Sent before, a crash would find them still known, and take another message with the same bytes for the one before.
        """

    async def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> None:
        """Done when the broker has it (QoS 1, 2) or when it is written (QoS 0). Raises `NotConnected`; it may then have arrived or not."""

    async def close(self) -> None:
        """Say goodbye (the broker then drops the will); the session stays when it is kept. Bounded in time, never raises."""
