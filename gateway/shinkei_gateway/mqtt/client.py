"""One connection to an MQTT broker through paho, in paho's thread; messages come into the event loop in order, acknowledged by hand.

Made fresh for every attempt; the session is the broker's. When the loop does not keep up, the thread stops reading and the broker
holds the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from shinkei_events.errors import NotConnected
from shinkei_gateway.mqtt.settings import MqttSource

MOST_WAITING = 2_000
SESSION_EXPIRY_S = 0xFFFF_FFFF
"""MQTT 5: the session never expires by itself (3.1.2.11.2)."""


class Message(NamedTuple):
    """A message as it came; ``received`` ns UTC. ``is_again``: the broker says it may have been delivered before."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    is_again: bool
    received: int


class Connection:
    """Use: `connect`, `subscribe`, `take`, `acknowledge`; ``lost`` tells the end; `close`. ``keep_session`` False: only to try."""

    def __init__(
        self, settings: MqttSource, password: str | None, clock: Callable[[], int], *, keep_session: bool = True
    ) -> None:
        self._settings, self._clock, self._keep_session = settings, clock, keep_session
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Message] = deque()
        self._some = asyncio.Event()
        self._room = threading.Event()
        self._room.set()
        self._granted: dict[int | None, asyncio.Future[None]] = {}
        self._accepted: asyncio.Future[bool] = self._loop.create_future()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        is_5 = settings.protocol == "5"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, settings.client_id, clean_session=None if is_5 else not keep_session,
            protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False, manual_ack=True,
        )  # fmt: skip
        self._client.connect_timeout = float(settings.timeout)
        if settings.user is not None:
            self._client.username_pw_set(settings.user, password)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_message, self._client.on_subscribe = self._on_message, self._on_subscribe

    async def connect(self) -> bool:
        """Whether the broker still had our session. Raises `NotConnected`."""
        parts = urlsplit(self._settings.url)
        more: dict[str, Any] = {}
        if self._settings.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S if self._keep_session else 0
            more = {"clean_start": not self._keep_session, "properties": properties}
        try:
            await asyncio.to_thread(
                self._client.connect,
                parts.hostname or "",
                parts.port or 1883,
                max(1, round(self._settings.keepalive)),
                **more,
            )
            self._client.loop_start()
            return await asyncio.wait_for(asyncio.shield(self._accepted), self._settings.timeout)
        except (OSError, TimeoutError, ValueError) as error:
            raise NotConnected(str(error) or "no answer in time") from error

    async def subscribe(self, filters: list[str]) -> None:
        """Raises `NotConnected` when the broker refuses one."""
        wanted: list[tuple[str, int]] = [(name, self._settings.qos) for name in filters]
        code, mid = self._client.subscribe(wanted)
        if code != paho.MQTT_ERR_SUCCESS:
            raise NotConnected(paho.error_string(code))
        granted = self._granted.setdefault(mid, self._loop.create_future())
        try:
            await asyncio.wait_for(granted, self._settings.timeout)
        except TimeoutError as error:
            raise NotConnected("no answer to the subscription in time") from error

    async def take(self, most: int, wait: float) -> list[Message]:
        """Up to ``most`` messages in the order received; none when ``wait`` seconds pass without."""
        if not self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), wait)
        self._some.clear()
        found = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        if self._waiting:
            self._some.set()
        if len(self._waiting) < MOST_WAITING // 2:
            self._room.set()
        return found

    def acknowledge(self, messages: list[Message]) -> None:
        """PUBACK (PUBCOMP) in the order received. Only for what is durable."""
        for message in messages:
            if message.qos:
                self._client.ack(message.mid, message.qos)

    async def close(self) -> None:
        """Disconnect; the session stays at the broker. Never raises."""
        self._fail("closed")
        self._room.set()
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    # ---- in paho's thread ------------------------------------------------------------------------------------------------
    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._call(self._refused, f"the broker refuses: {reason}")
        else:
            self._call(_settle, self._accepted, bool(flags.session_present))

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        bad = [str(reason) for reason in reasons if reason.is_failure]
        self._call(self._subscribed, mid, ", ".join(bad))

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._call(self._fail, f"the connection was closed: {reason}")

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        while not self._room.wait(1.0):
            if self.lost.done():
                return
        self._waiting.append(
            Message(
                message.topic,
                bytes(message.payload),
                message.qos,
                message.mid,
                message.dup or message.retain,
                self._clock(),
            )
        )
        if len(self._waiting) >= MOST_WAITING:
            self._room.clear()
        self._call(self._some.set)

    def _call(self, what: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(what, *args)

    # ---- in the event loop -------------------------------------------------------------------------------------------------
    def _refused(self, why: str) -> None:
        if not self._accepted.done():
            self._accepted.set_exception(NotConnected(why))
        self._fail(why)

    def _subscribed(self, mid: int, bad: str) -> None:
        granted = self._granted.setdefault(mid, self._loop.create_future())
        if granted.done():
            return
        if bad:
            granted.set_exception(NotConnected(f"the broker refuses a subscription: {bad}"))
        else:
            granted.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
        if not self._accepted.done():
            self._accepted.set_exception(NotConnected(why))
            self._accepted.exception()  # looked at, also when nobody waits for it any more


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)
