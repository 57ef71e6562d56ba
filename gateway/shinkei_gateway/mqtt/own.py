"""One connection to an MQTT broker in the event loop itself: a `Connection` at 6–9 µs of CPU a message, where paho's thread takes 37–45.

The shell around `wire` and `pulse`: socket, timers, who waits for what. Acknowledgements of a batch leave in one write. When nobody takes,
it stops reading and the broker keeps the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from shinkei_events.errors import BadInput, NotConnected
from shinkei_gateway.mqtt import wire
from shinkei_gateway.mqtt.connection import HANDLING, Dial, Limits, Message, Retained, Settled
from shinkei_gateway.mqtt.packet_ids import MOST, PacketIds
from shinkei_gateway.mqtt.properties import REASON_STRING, SERVER_REFERENCE
from shinkei_gateway.mqtt.pulse import Pulse
from shinkei_gateway.mqtt.reasons import FAILURE, ended, reason, refused
from shinkei_gateway.mqtt.wire import Answer, Decoder

MOST_WAITING = 2_000
MOST_WAITING_BYTES = 8 * 1024 * 1024
CLOSE_S = 0.5
PROTOCOL_ERROR, MALFORMED = 0x82, 0x81


class OwnConnection(asyncio.Protocol):
    """Use as `Connection` says. ``clock``: ns UTC."""

    def __init__(self, dial: Dial, clock: Callable[[], int]) -> None:
        self._dial, self._clock = dial, clock
        self._is_5 = dial.protocol == "5"
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder(is_5=self._is_5)
        self._pulse = Pulse(dial.keepalive, dial.timeout)
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._is_reading = True
        self._wake: asyncio.Future[None] | None = None
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._mids = PacketIds()
        self._quota = asyncio.Semaphore(MOST)
        self._accepted: asyncio.Future[bool] = self._loop.create_future()
        self._limits = Limits()
        self._released: list[int] = []
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[str] = self._loop.create_future()

    # ---- Connection ------------------------------------------------------------------------------------------------------
    @property
    def limits(self) -> Limits:
        """See `Connection`."""
        return self._limits

    async def connect(self) -> bool:
        """See `Connection`."""
        dial = self._dial
        try:
            async with asyncio.timeout(dial.timeout):
                await self._loop.create_connection(
                    lambda: self, dial.host, dial.port, ssl=dial.tls, server_hostname=dial.host if dial.tls else None
                )
                self._write(wire.connect(dial))
                return await asyncio.shield(self._accepted)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise NotConnected(str(error) or f"no answer in {dial.timeout:g} s") from error

    async def subscribe(self, filters: Sequence[str], qos: int, retained: Retained = "take") -> None:
        """See `Connection`."""
        for some in wire.in_packets(filters, self._limits.largest_packet):
            await self._subscribe(some, qos, retained)

    async def _subscribe(self, filters: Sequence[str], qos: int, retained: Retained) -> None:
        mid = self._mids.take()
        packet = wire.subscribe(mid, filters, qos, HANDLING[retained], is_5=self._is_5)
        codes = (await self._ask(mid, packet, "subscribe")).codes
        if len(codes) != len(filters):
            raise NotConnected(f"the broker grants {len(codes)} of {len(filters)} subscriptions")
        for name, code in zip(filters, codes, strict=True):
            if code >= FAILURE:
                raise NotConnected(f"the broker refuses the subscription to {name}: {reason(code)}")
            if code != qos:
                raise NotConnected(
                    f"the broker grants QoS {code} for {name}, asked for was QoS {qos}: set qos = {code}"
                )

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """See `Connection`."""
        for some in wire.in_packets(filters, self._limits.largest_packet):
            mid = self._mids.take()
            await self._ask(mid, wire.unsubscribe(mid, some, is_5=self._is_5), "unsubscribe")

    async def take(self, most: int, wait: float) -> list[Message]:
        """See `Connection`."""
        waiting = self._waiting
        if not waiting and not self.lost.done() and wait > 0:
            self._wake = self._loop.create_future()
            timer = self._loop.call_later(wait, _done, self._wake)
            try:
                await self._wake
            finally:
                timer.cancel()
                self._wake = None
        if len(waiting) <= most:
            found = list(waiting)
            waiting.clear()
            self._waiting_bytes = 0
        else:
            found = [waiting.popleft() for _ in range(most)]
            self._waiting_bytes -= sum(len(message.payload) for message in found)
        if not self._is_reading and len(waiting) < MOST_WAITING // 2 and self._waiting_bytes < MOST_WAITING_BYTES // 2:
            self._is_reading = True
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """See `Connection`: one write of all PUBACKs and PUBRECs."""
        packet = wire.acknowledgements(messages)
        if packet and not self.lost.done():
            self._write(packet)
            self._pulse.acknowledged(len(packet) // 4)

    def settled(self) -> Settled:
        """See `Connection`."""
        released, self._released = self._released, []
        return Settled(self._pulse.settled(), released)

    def complete(self, mids: Sequence[int]) -> None:
        """See `Connection`."""
        if mids and not self.lost.done():
            self._write(b"".join(wire.answer(wire.PUBCOMP, mid) for mid in mids))

    async def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> None:
        """See `Connection`."""
        wire.check_publish(self._limits, topic, payload, qos, retain=retain)
        if not qos:
            self._alive()
            self._write(wire.publish(0, topic, payload, qos, retain=retain, is_5=self._is_5))
            return
        async with self._quota:  # the broker's Receive Maximum (MQTT 5, 4.9)
            await self._publish(topic, payload, qos, retain=retain)

    async def _publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        self._alive()
        mid = self._mids.take()
        packet = wire.publish(mid, topic, payload, qos, retain=retain, is_5=self._is_5)
        found = await self._ask(mid, packet, "publish")
        if found.kind == wire.PUBREC and not _is_failure(found):
            found = await self._ask(mid, wire.answer(wire.PUBREL, mid), "publish")
        if _is_failure(found):
            raise NotConnected(
                f"the broker refuses {topic}: {reason(found.codes[0], found.found.get(REASON_STRING, ''))}"
            )

    async def close(self) -> None:
        """See `Connection`."""
        transport = self._transport
        if transport is not None and not self.lost.done():
            self._ended("closed")
            self._write(wire.disconnect(is_5=self._is_5))
            if not self._is_reading:
                transport.resume_reading()
            # Wait until the broker closes: mosquitto drops acknowledgements it has not read yet when its own writing fails.
            await asyncio.wait([self._closed], timeout=CLOSE_S)
        self._fail("closed")
        if transport is not None and (await asyncio.wait([self._closed], timeout=CLOSE_S))[1]:
            transport.abort()

    # ---- asyncio.Protocol --------------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._timer = self._loop.call_later(self._pulse.every, self._tick)

    def data_received(self, data: bytes) -> None:
        """Bytes from the broker."""
        if self.lost.done():
            return
        self._pulse.is_heard = True
        messages: list[Message] = []
        answers: list[Answer] = []
        wrong = ""
        try:
            self._decoder.feed(data, self._clock(), messages, answers)
        except BadInput as error:
            wrong = str(error)
        for answer in answers:  # first: a CONNACK often comes together with what waited in the session
            self._answered(answer)
        if messages:
            self._received(messages)
        if wrong:
            self._protocol_error(MALFORMED, f"the broker sent {wrong}")

    def eof_received(self) -> None:
        """The broker ends it."""
        self._fail("the broker closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._fail(f"the connection is lost: {exc}" if exc else "the broker closed the connection")
        _done(self._closed)

    # ---- inside ------------------------------------------------------------------------------------------------------------
    def _received(self, messages: list[Message]) -> None:
        if not self._accepted.done():
            self._protocol_error(PROTOCOL_ERROR, "the broker sent a message before its CONNACK")
            return
        self._waiting.extend(messages)
        # A broker that exceeds our Receive Maximum is not cut off: mosquitto 2.0.11 does by a few, and reading stops below anyway.
        self._waiting_bytes += sum([len(message[1]) for message in messages])
        if (len(self._waiting) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES) and self._is_reading:
            self._is_reading = False
            if self._transport is not None:
                self._transport.pause_reading()
        if self._wake is not None:
            _done(self._wake)

    def _answered(self, answer: Answer) -> None:
        kind = answer.kind
        if kind == wire.CONNACK:
            self._connack(answer)
        elif kind == wire.PINGRESP:
            self._pulse.answered()
        elif kind == wire.PUBREL:
            # Its message is durable: PUBREC went out after that, and nothing but PUBREC brings a PUBREL. `complete` answers it.
            self._released.append(answer.mid)
            if self._wake is not None:
                _done(self._wake)
        elif kind == wire.DISCONNECT:
            self._fail(ended(answer.codes, answer.found.get(REASON_STRING, ""), answer.found.get(SERVER_REFERENCE, "")))
        else:
            if kind != wire.PUBREC or _is_failure(answer):
                self._mids.free(answer.mid)  # also when nobody waits any more: the broker does not use it any longer
            waiting = self._answers.pop(answer.mid, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    def _connack(self, answer: Answer) -> None:
        if self._accepted.done():
            self._protocol_error(PROTOCOL_ERROR, "the broker sent a second CONNACK")
            return
        code = answer.codes[0]
        if code:
            self._fail(f"the broker refuses: {refused(code, is_5=self._is_5)}{_said(answer)}")
            return
        self._limits = wire.limits(answer.found)
        if self._limits.keepalive:  # Server Keep Alive: ours counts no more (MQTT 5, 3.2.2.3.14)
            self._pulse = Pulse(self._limits.keepalive, self._dial.timeout)
        if self._limits.receive_maximum:
            self._quota = asyncio.Semaphore(self._limits.receive_maximum)
        self._accepted.set_result(answer.session_present)

    async def _ask(self, mid: int, packet: bytes, what: str) -> Answer:
        self._alive()
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[mid] = answer
        self._write(packet)
        try:
            either: set[asyncio.Future[Any]] = {answer, self.lost}
            await asyncio.wait(either, timeout=self._dial.timeout, return_when="FIRST_COMPLETED")
        finally:
            self._answers.pop(mid, None)
        if answer.done():
            return answer.result()
        raise NotConnected(
            self.lost.result() if self.lost.done() else f"no answer to {what} in {self._dial.timeout:g} s"
        )

    def _alive(self) -> None:
        if self.lost.done():
            raise NotConnected(self.lost.result())

    def _write(self, packet: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packet)

    def _tick(self) -> None:
        if self.lost.done():
            return
        said = self._pulse.tick(is_reading=self._is_reading)
        if said == "dead":
            self._fail(f"no answer to PINGREQ in {self._dial.timeout:g} s: the broker or the way to it hangs")
            return
        if said == "ping" and self._accepted.done():
            self._write(wire.PING)
        self._timer = self._loop.call_later(self._pulse.every, self._tick)

    def _protocol_error(self, code: int, why: str) -> None:
        if self._is_5:
            self._write(wire.disconnect(code, is_5=True))
        self._fail(why)

    def _fail(self, why: str) -> None:
        self._ended(why)
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):
                self._transport.close()

    def _ended(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
        if not self._accepted.done():
            self._accepted.set_exception(NotConnected(why))
            self._accepted.exception()  # looked at, also when nobody waits for it any more
        if self._wake is not None:
            _done(self._wake)
        if self._timer is not None:
            self._timer.cancel()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _is_failure(answer: Answer) -> bool:
    return bool(answer.codes) and answer.codes[0] >= FAILURE


def _said(answer: Answer) -> str:
    said, server = answer.found.get(REASON_STRING), answer.found.get(SERVER_REFERENCE)
    return (f": {said}" if said else "") + (f": it names {server[:200]}; if that is right, set url" if server else "")
