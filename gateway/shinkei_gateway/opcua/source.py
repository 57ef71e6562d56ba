"""One OPC UA machine, for ever: connects, subscribes, hands every message to the spool before it is acknowledged, tells what was lost.

The supervisor of `session` and the shell around `translate`. One outage is told once, with a gap record where nothing proves that
all is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

from asyncua import ua

from shinkei_events.errors import NotConnected
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.opcua.plan import Item, plan
from shinkei_gateway.opcua.replay import node_again
from shinkei_gateway.opcua.sample import Sample, nanoseconds, sample_of
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.translate import Translated, Translator
from shinkei_gateway.taking import Taker
from shinkei_gateway.telemetry import NodesRefused, SourceConnected, SourceCrashed, SourceLost

TICK_S = 0.25
REFUSED_AGAIN_S = 10.0


class OpcuaMachine:
    """``clock``: ns UTC; ``uniform``: a random source for the pauses between attempts."""

    history = False

    def __init__(self, name: str, settings: OpcuaSource, taker: Taker, *, clock: Callable[[], int] = time.time_ns,
                 uniform: Callable[[float, float], float] = random.uniform) -> None:  # fmt: skip
        self.name, self._settings, self._taker, self._clock = name, settings, taker, clock
        self._items = plan(settings)
        self._translator = Translator(name, settings, self._items, taker.resume(name), time.monotonic_ns(),
                                      taker.skew(name, settings.machine))  # fmt: skip
        self._backoff = Backoff(settings.retry, uniform)
        self._session: Session | None = None
        self._refused: dict[int, str] = {}
        self._sequence: int | None = None
        self._heard = 0.0
        self._is_putting = False
        self._away_since: float | None = time.monotonic()
        self._is_away_told = False
        self._is_loss_told = False
        self._connections = 0
        self._values = 0
        self._error = ""
        self._revised = (0.0, 0)

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """See `Replayable`."""
        return node_again(self._settings, self._items, record, raw)

    def machines(self) -> list[str]:
        """The machine."""
        return [self._settings.machine]

    def health(self) -> dict[str, Any]:
        """For /health; plain values."""
        newest = self._translator.newest
        return {
            "type": "opcua", "url": self._settings.url, "machines": self.machines(), "connected": self._away_since is None,
            "error": self._error, "values": self._values, "newest": newest, "connections": self._connections,
            "skew_s": self._translator.skew / 1e9, "sampling_s": self._revised[0], "queue": self._revised[1],
            "refused": {self._items[handle].node: reason for handle, reason in dict(self._refused).items()},
        }  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Errors of the connection never leave it."""
        while not stop.is_set():
            session = Session(self._settings.url, f"shinkei gateway {self.name}", self._settings.timeout)
            try:
                await self._connect(session)
                reason = await self._live(session, stop)
            except NotConnected as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001  outermost: one machine's surprise must not end the others
                reason = f"{type(error).__name__}: {error}"
                emit(SourceCrashed(self.name, reason))
            finally:
                self._session = None
                await session.close()
            if stop.is_set():
                return
            self._lost(reason)
            await self._pause(stop)

    # ---- one connection ------------------------------------------------------------------------------------------------
    async def _connect(self, session: Session) -> None:
        began = time.monotonic()
        await session.connect()
        self._session, self._sequence = session, None
        await session.subscribe(self._settings.publish, self._settings.keepalive, self._on_message)
        self._refused = {}
        await self._watch(session, range(len(self._items)))
        if self._refused:
            nodes = ", ".join(f"{self._items[h].node} ({why})" for h, why in sorted(self._refused.items())[:5])
            emit(NodesRefused(self.name, len(self._refused), nodes))
        self._heard = time.monotonic()
        self._away_since, self._error = None, ""
        self._connections += 1
        await session.publish()
        self._backoff.reset()
        self._is_away_told = self._is_loss_told = False
        detail = f"{len(self._items) - len(self._refused)} of {len(self._items)} nodes"
        emit(SourceConnected(self.name, self._settings.url, time.monotonic() - began, detail))

    async def _watch(self, session: Session, handles: Any) -> None:
        wanted = []
        for handle in handles:
            item = self._items[handle]
            try:
                wanted.append((handle, session.resolve(item.node), item.sampling, item.queue))
            except KeyError:
                self._refused[handle] = "the server has no such namespace"
        watched, refused = await session.watch(wanted)
        for found in watched:
            self._refused.pop(found.handle, None)
        self._refused |= refused
        if watched:
            self._revised = (max(w.sampling for w in watched), min(w.queue for w in watched))

    async def _live(self, session: Session, stop: asyncio.Event) -> str:
        """Until the connection is lost (why) or ``stop``."""
        retry_at = time.monotonic() + REFUSED_AGAIN_S
        ended = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {session.lost, ended}
        try:
            while not session.lost.done() and not stop.is_set():
                await asyncio.wait(ends, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                await self._handshakes(session)
                await self._listen(session)
                if self._refused and time.monotonic() >= retry_at:
                    retry_at = time.monotonic() + REFUSED_AGAIN_S
                    await session.refresh_namespaces()
                    await self._watch(session, list(self._refused))
        finally:
            ended.cancel()
        return session.lost.result() if session.lost.done() else "ended"

    async def _listen(self, session: Session) -> None:
        """A server that says nothing for two keep-alives and a bit is asked; one that answers but does not publish is left."""
        silent = time.monotonic() - self._heard
        if self._is_putting or session.lost.done() or silent < 2 * session.keepalive + 1.0:
            return
        if not await session.is_alive():
            session.fail(f"no answer, silent for {silent:.1f} s")
        elif silent > 3 * session.keepalive + self._settings.timeout:
            session.fail(f"the server answers but sent nothing for {silent:.1f} s: its subscription is gone")

    async def _handshakes(self, session: Session) -> None:
        items = self._translator.to_read(time.monotonic_ns())
        if items and not session.lost.done():
            values = await session.read([session.resolve(item.node) for item in items])
            for item, value in zip(items, values, strict=True):
                self._translator.answer(item, sample_of(value))
        if not self._is_putting and (found := self._translator.idle(self._clock(), time.monotonic_ns())) is not None:
            await self._put(found)

    # ---- messages --------------------------------------------------------------------------------------------------------
    async def _on_message(self, result: ua.PublishResult) -> None:
        """Returns when the message is durable. Whatever goes wrong, it does not return: then nothing is acknowledged."""
        session, self._is_putting = self._session, True
        try:
            if session is not None and not session.lost.done():
                await self._message(session, result)
                return
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001
            # The library would log it and acknowledge. The connection is given up instead; what follows tells the gap.
            if session is not None:
                session.fail(f"{type(error).__name__}: {error}")
        finally:
            self._is_putting = False
            self._heard = time.monotonic()
        await asyncio.get_running_loop().create_future()

    async def _message(self, session: Session, result: ua.PublishResult) -> None:
        message, received = result.NotificationMessage, self._clock()
        self._heard = time.monotonic()
        if not message.NotificationData:
            published = nanoseconds(message.PublishTime)
            if published is not None and self._translator.newest is not None:
                self._taker.alive(self._settings.machine, published - int(session.publishing * 1e9))
            return
        await self._fill(session, message.SequenceNumber, received)
        await self._notifications(session, message, received)
        self._sequence = message.SequenceNumber

    async def _fill(self, session: Session, sequence: int, received: int) -> None:
        """Messages between the last one and ``sequence``: asked for again, else a gap."""
        if self._sequence is None:
            return
        for missing in range(_after(self._sequence), sequence if sequence > self._sequence else _after(self._sequence)):
            again = await session.republish(missing)
            if again is not None:
                await self._notifications(session, again, received)
            else:
                detail = f"message {missing} of the subscription is not to be had"
                gaps: list[Any] = [*self._translator.hole("republish_failed", received, detail)]
                await self._taker.put(Batch(self.name, gaps), own=len(gaps))

    async def _notifications(self, session: Session, message: ua.NotificationMessage, received: int) -> None:
        samples: list[tuple[Item, Sample]] = []
        for notification in message.NotificationData:
            if isinstance(notification, ua.DataChangeNotification):
                samples += [(self._items[n.ClientHandle], sample_of(n.Value)) for n in notification.MonitoredItems]
            elif isinstance(notification, ua.StatusChangeNotification):
                session.fail(f"the server ended the subscription: {notification.Status.name}")
        if samples:
            await self._put(self._translator.take(samples, received, time.monotonic_ns()))

    async def _put(self, found: Translated) -> None:
        self._values += len(found.items)
        if found.gaps:
            gaps: list[Any] = [*found.gaps]
            self._taker.put(Batch(self.name, gaps), own=len(gaps))
        batch = Batch(self.name, found.items, found.resume)
        await self._taker.put(batch, own=found.own - len(found.gaps), duplicate=found.repeats)

    # ---- away ------------------------------------------------------------------------------------------------------------
    def _lost(self, reason: str) -> None:
        self._error = reason
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._translator.interrupted("session_lost")
        if not self._is_loss_told:
            self._is_loss_told = True
            emit(SourceLost(self.name, self._settings.url, reason))

    async def _pause(self, stop: asyncio.Event) -> None:
        until = time.monotonic() + self._backoff.pause()
        while not stop.is_set() and (rest := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(rest, TICK_S))
            self._tell_away()
        self._tell_away()

    def _tell_away(self) -> None:
        if (
            self._is_away_told
            or self._away_since is None
            or time.monotonic() - self._away_since < self._settings.lost_after
        ):
            return
        self._is_away_told = True
        draft: Draft | None = self._translator.away(self._clock())
        if draft is not None:
            self._taker.put(Batch(self.name, [draft], self._translator.resume()), own=1)


def _after(sequence: int) -> int:
    """Sequence numbers of messages wrap from 2^32 - 1 to 1 (Part 4 §7.26)."""
    return 1 if sequence >= 0xFFFF_FFFF else sequence + 1
