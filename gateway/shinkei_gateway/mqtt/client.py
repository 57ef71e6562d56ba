"""One connection to an MQTT broker through paho, in paho's thread; messages come into the event loop in order, acknowledged by hand.

A `Connection`. Made fresh for every attempt; the session is the broker's. When the loop does not keep up, the thread stops reading and
the broker holds the rest. paho confirms a QoS 2 message to the broker before it hands it over, so a crash in between loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from shinkei_events.errors import NotConnected
from shinkei_gateway.mqtt.connection import (
    HANDLING,
    LARGEST_PACKET,
    SESSION_EXPIRY_S,
    Dial,
    Limits,
    Message,
    Retained,
    Settled,
)

MOST_WAITING = 2_000


class PahoConnection:
    """Use as `Connection` says."""

    def __init__(self, dial: Dial, clock: Callable[[], int]) -> None:
        self._dial, self._clock = dial, clock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Message] = deque()
        self._some = asyncio.Event()
        self._room = threading.Event()
        self._room.set()
        self._answers: dict[tuple[str, int | None], asyncio.Future[None]] = {}
        self._accepted: asyncio.Future[bool] = self._loop.create_future()
        self._limits = Limits()
        self._wanted_qos = 0
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._client = self._made(dial)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_message, self._client.on_subscribe = self._on_message, self._on_subscribe
        self._client.on_publish, self._client.on_unsubscribe = self._on_publish, self._on_unsubscribe

    @staticmethod
    def _made(dial: Dial) -> paho.Client:
        is_5 = dial.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2, dial.client_id, clean_session=None if is_5 else not dial.keep_session,
            protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False, manual_ack=True,
        )  # fmt: skip
        client.connect_timeout = dial.timeout
        if dial.user is not None:
            client.username_pw_set(dial.user, dial.password)
        if dial.tls is not None:
            client.tls_set_context(dial.tls)
        if dial.will is not None:
            client.will_set(dial.will.topic, dial.will.payload, dial.will.qos, dial.will.retain)
        return client

    @property
    def limits(self) -> Limits:
        """See `Connection`."""
        return self._limits

    async def connect(self) -> bool:
        """See `Connection`."""
        dial = self._dial
        more: dict[str, Any] = {}
        if dial.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S if dial.keep_session else 0
            properties.ReceiveMaximum = dial.receive_maximum
            properties.MaximumPacketSize = LARGEST_PACKET
            more = {"clean_start": not dial.keep_session, "properties": properties}
        try:
            await asyncio.to_thread(self._client.connect, dial.host, dial.port, max(1, round(dial.keepalive)), **more)
            self._client.loop_start()
            return await asyncio.wait_for(asyncio.shield(self._accepted), dial.timeout)
        except (OSError, TimeoutError, ValueError) as error:
            raise NotConnected(str(error) or "no answer in time") from error

    async def subscribe(self, filters: Sequence[str], qos: int, retained: Retained = "take") -> None:
        """See `Connection`."""
        self._wanted_qos = qos
        if self._dial.protocol == "5":
            options = SubscribeOptions(qos, retainHandling=HANDLING[retained])
            code, mid = self._client.subscribe([(name, options) for name in filters])
        else:
            code, mid = self._client.subscribe([(name, qos) for name in filters])
        await self._answered("subscribe", code, mid)

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """See `Connection`."""
        if filters:
            await self._answered("unsubscribe", *self._client.unsubscribe(list(filters)))

    async def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> None:
        """See `Connection`."""
        try:
            info = self._client.publish(topic, payload, qos, retain)
        except ValueError as error:  # too large for this client, a wildcard in the topic
            raise NotConnected(f"{topic} cannot be published: {error}") from error
        await self._answered("publish", info.rc, info.mid)

    async def _answered(self, what: str, code: MQTTErrorCode, mid: int | None) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotConnected(paho.error_string(code))
        answer = self._answers[what, mid] = self._loop.create_future()
        try:
            done, _ = await asyncio.wait({answer, self.lost}, timeout=self._dial.timeout, return_when="FIRST_COMPLETED")
        finally:
            self._answers.pop((what, mid), None)
        if answer in done:
            answer.result()
            return
        raise NotConnected(
            self.lost.result() if self.lost.done() else f"no answer to {what} in {self._dial.timeout:g} s"
        )

    async def take(self, most: int, wait: float) -> list[Message]:
        """See `Connection`."""
        if not self._waiting and not self.lost.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), wait)
        self._some.clear()
        found = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        if self._waiting:
            self._some.set()
        if len(self._waiting) < MOST_WAITING // 2:
            self._room.set()
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """See `Connection`: PUBACK."""
        for message in messages:
            if message.qos:
                self._client.ack(message.mid, message.qos)

    def settled(self) -> Settled:
        """See `Connection`: paho tells nothing of it."""
        return Settled()

    def complete(self, mids: Sequence[int]) -> None:
        """See `Connection`: paho has done it already."""

    async def close(self) -> None:
        """See `Connection`."""
        self._fail("closed")
        self._room.set()
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    # ---- in paho's thread ------------------------------------------------------------------------------------------------
    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._call(self._refused, f"the broker refuses: {reason}")
        else:
            self._limits = _limits(properties)
            self._call(_settle, self._accepted, bool(flags.session_present))

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        bad = [str(reason) for reason in reasons if reason.value != self._wanted_qos]
        self._call(self._answer, "subscribe", mid, ", ".join(bad))

    def _on_unsubscribe(self, _client: Any, _data: Any, mid: int, _reasons: Any, _properties: Any) -> None:
        self._call(self._answer, "unsubscribe", mid, "")

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._call(self._answer, "publish", mid, str(reason) if reason.is_failure else "")

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
                message.retain,
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

    def _answer(self, what: str, mid: int, bad: str) -> None:
        answer = self._answers.get((what, mid))
        if answer is None or answer.done():
            return
        if bad:
            answer.set_exception(NotConnected(f"the broker refuses to {what}: {bad}"))
        else:
            answer.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
            self._some.set()
        if not self._accepted.done():
            self._accepted.set_exception(NotConnected(why))
            self._accepted.exception()  # looked at, also when nobody waits for it any more


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)


def _limits(properties: Any) -> Limits:
    found = {} if properties is None else properties.json()
    retain, wildcards = found.get("RetainAvailable"), found.get("WildcardSubscriptionAvailable")
    return Limits(
        found.get("SessionExpiryInterval"), found.get("ReceiveMaximum"), found.get("MaximumQoS"), None if retain is None else bool(retain),
        found.get("MaximumPacketSize"), found.get("ServerKeepAlive"), None if wildcards is None else bool(wildcards),
    )  # fmt: skip
