"""One OPC UA machine, for ever: connects, takes up the old subscription or makes one, hands every message to the spool, tells what was lost.

The supervisor of `session` and `publish_loop`, and the shell around `translate`. A fresh client for every attempt. One outage is told once,
with a gap record where nothing proves that all is there. What was durable when the process died is known by the spool's resume state:
subscription and sequence number lie in one batch with the values of the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shinkei_events.errors import BadInput, NotConnected, RetryAfter
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.opcua.decode import Message, Published
from shinkei_gateway.opcua.history import Backfill
from shinkei_gateway.opcua.monitored import Monitored
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.publish_loop import Publishing, PublishLoop, before
from shinkei_gateway.opcua.remembered import Remembered, fingerprint, forget, load, save
from shinkei_gateway.opcua.replay import node_again
from shinkei_gateway.opcua.reread import Reread
from shinkei_gateway.opcua.security import Security, Unsecured
from shinkei_gateway.opcua.session import Session, SubscriptionGone
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.signals import Signals
from shinkei_gateway.opcua.translate import Translated, Translator
from shinkei_gateway.quarantine import quarantined
from shinkei_gateway.taking import Taker
from shinkei_gateway.telemetry import (
    EdgesBounced,
    NodesRefused,
    QueuesShort,
    SourceConnected,
    SourceCrashed,
    SourceLost,
)

TICK_S = 0.25
REFUSED_AGAIN_S = 10.0


class OpcuaMachine:
    """``clock``: ns UTC; ``uniform``: a random source for the pauses between attempts; ``security``: of its connections (None: as security "none").

    ``memory``: the file that lets the next process take up the session; without it the subscription ends with this one.
    """

    history = False

    def __init__(self, name: str, settings: OpcuaSource, taker: Taker, *, clock: Callable[[], int] = time.time_ns,
                 uniform: Callable[[float, float], float] = random.uniform, memory: Path | None = None,
                 security: Security | None = None) -> None:  # fmt: skip
        self.name, self._settings, self._taker, self._clock = name, settings, taker, clock
        self._memory, self.security = memory, security or Unsecured()
        self._items = plan(settings)
        self._plan = fingerprint([float(settings.publish), float(settings.keepalive), self._items])
        known = taker.resume(name) or {}
        skew = taker.skew(name, settings.machine)
        self._translator = Translator(name, settings, self._items, known or None, time.monotonic_ns(), skew)
        self._remembered = load(memory, settings.url, self._plan) or Remembered(url=settings.url, plan=self._plan)
        self._state = self._restored(known)
        self._monitored = Monitored(self._items)
        self._signals = Signals(name, settings, self._items, taker, clock)
        self._signals.structures.values = memory.with_name(f"{memory.name}.values") if memory is not None else None
        self._backoff = Backoff(settings.retry, uniform)
        self._session: Session | None = None
        self._loop: PublishLoop | None = None
        self._reread: Reread | None = None
        self._gone: list[int] = []
        self._retry_at = self._heard = 0.0
        self._away_since: float | None = time.monotonic()
        self._is_away_told = self._is_loss_told = self._is_short_told = False
        self._connections = self._resumptions = 0
        self._bounced: dict[str, int] = {}
        self._values, self._error = 0, ""
        self._backfill = Backfill(name, settings, self._items, taker, clock)

    def _restored(self, known: dict[str, Any]) -> Publishing | None:
        """Where the last process was with the subscription that the file tells of."""
        subscription = self._remembered.subscription
        if not subscription:
            return None
        is_known = known.get("subscription") == subscription
        return Publishing(subscription, known["sequence"] if is_known else before(1))

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """See `Replayable`."""
        scope = self._session.scope if self._session is not None else None
        return node_again(self._settings, self._items, record, raw, scope)

    @property
    def session(self) -> Session | None:
        """The connection it has now, for reading beside the subscription."""
        return self._session

    def machines(self) -> list[str]:
        """The machine."""
        return [self._settings.machine]

    def health(self) -> dict[str, Any]:
        """For /health; plain values."""
        return {
            "type": "opcua", "url": self._settings.url, "machines": self.machines(), "connected": self._away_since is None,
            "error": self._error, "values": self._values, "newest": self._translator.newest, "connections": self._connections,
            "resumed": self._resumptions, "skew_s": self._translator.skew / 1e9,
            "bounced": dict(self._bounced), "publish_requests": self._state.limit if self._state is not None else 0, "security": self.security.health(),
            **self._backfill.health(), **self._monitored.health(self._settings.outage),
        }  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Errors of the connection never leave it."""
        while not stop.is_set():
            name, least = f"shinkei gateway {self.name}", 0.0
            session = Session(self._settings.url, name, self._settings.timeout, self.security.secure)
            try:
                await self._connect(session)
                reason = await self._live(session, stop)
            except NotConnected as error:
                why = self.security.explain(error)
                reason, least = str(why), why.seconds if isinstance(why, RetryAfter) else 0.0
            except Exception as error:  # noqa: BLE001  outermost: one machine's surprise must not end the others
                reason = f"{type(error).__name__}: {error}"
                emit(SourceCrashed(self.name, reason))
            finally:
                self._session = self._loop = None
                # The subscription outlives the connection: what it gathers meanwhile is the outage without a gap.
                await session.close(keep=not stop.is_set() or self._memory is not None)
            if session.is_gone:
                self._drop_subscription()
            if stop.is_set():
                return
            self._lost(reason)
            await self._pause(stop, least)

    # ---- one connection ------------------------------------------------------------------------------------------------
    async def _connect(self, session: Session) -> None:
        began = time.monotonic()
        session.structures = self._signals.structures
        await session.connect(self._remembered)
        self.security.succeeded()
        self._session = session
        session.remember(self._remembered)
        is_resumed = await self._resume(session)
        if not is_resumed:
            await self._begin(session)
        self._heard = time.monotonic()
        self._retry_at = self._heard + REFUSED_AGAIN_S
        self._away_since, self._error = None, ""
        self._connections += 1
        self._resumptions += is_resumed
        self._backoff.reset()
        self._is_away_told = self._is_loss_told = False
        found = f"{len(self._monitored.revised)} of {len(self._items)} nodes"
        detail = f"{found}, the old subscription" if is_resumed else found
        emit(SourceConnected(self.name, self._settings.url, time.monotonic() - began, detail))
        self._tell_short()

    async def _resume(self, session: Session) -> bool:
        """Whether the old subscription is ours again; then every message is taken that the server still has."""
        if self._state is None:
            return False
        available = None if session.is_old else await session.transfer(self._state.subscription)
        if available is None and not session.is_old:
            return False
        self._state.reconnected()
        self._loop = loop = PublishLoop(session, self._state, self)
        self._monitored.take_up(self._remembered)
        self._translator.continued(time.monotonic_ns())
        for handle in self._monitored.refused:
            self._translator.silent(handle)
        self._remember()
        try:
            await loop.recover(available)
        except SubscriptionGone:
            self._loop = None
            return False
        return True

    async def _begin(self, session: Session) -> None:
        """A new subscription: its first values prove that nothing is missing, or a gap record says what is."""
        old, remembered = self._remembered.subscription, self._remembered
        self._drop_subscription()
        if old and session.is_old:
            await session.forget(old)
        await self._signals.before(session)
        subscription, publishing, keepalive = await session.subscribe(self._settings.publish, self._settings.keepalive)
        remembered.publishing, remembered.keepalive = publishing, keepalive
        self._monitored.begin()
        await self._watch(session, subscription, list(range(len(self._items))))
        if self._monitored.refused:
            nodes = self._monitored.some_refused()
            emit(NodesRefused(self.name, len(self._monitored.refused), nodes))
        await self._monitored.watch_model(session, subscription)
        remembered.subscription = subscription
        self._state = Publishing(subscription)
        self._loop = PublishLoop(session, self._state, self)
        self._remember()
        await session.publish(subscription)

    async def _watch(self, session: Session, subscription: int, handles: list[int]) -> list[int]:
        watched = await self._monitored.watch(session, subscription, handles)
        for handle in handles:
            if handle in self._monitored.refused:
                self._translator.silent(handle)
        for handle in watched:
            self._translator.heard(handle)
        return watched

    def _remember(self) -> None:
        self._remembered.items, self._remembered.refused = self._monitored.revised, self._monitored.refused
        with contextlib.suppress(
            OSError
        ):  # a full disk is told by the spool; without the file the next process makes a new subscription
            save(self._memory, self._remembered)

    def _drop_subscription(self) -> None:
        """Messages of the old subscription will not come any more."""
        if self._remembered.subscription or self._connections:
            self._translator.interrupted("session_lost" if self._connections else "gateway_down")
        self._state, self._remembered.subscription = None, 0
        with contextlib.suppress(OSError):
            forget(self._memory)

    async def _live(self, session: Session, stop: asyncio.Event) -> str:
        """Until the connection is lost (why) or ``stop``."""
        loop = self._loop
        assert loop is not None
        publishing = asyncio.create_task(loop.run(), name=f"{self.name} publish")
        beside = [
            asyncio.create_task(self._signals.run(session, self._monitored.revised), name=f"{self.name} signals"),
            asyncio.create_task(self._backfill.run(session), name=f"{self.name} backfill"),
        ]
        ended = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {session.lost, ended, publishing}
        try:
            while not session.lost.done() and not stop.is_set() and not publishing.done():
                await asyncio.wait(ends, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                loop.pump()
                await self._handshakes(session)
                await self._listen(session)
                await self._nodes(session)
        finally:
            for task in (ended, publishing, *beside):
                task.cancel()
            await asyncio.wait([publishing, *beside])
        if not publishing.cancelled() and (error := publishing.exception()) is not None:
            raise error
        return session.lost.result() if session.lost.done() else "ended"

    async def _listen(self, session: Session) -> None:
        """A server that says nothing for longer than a keep-alive is asked; one that answers but does not publish is left."""
        state, silent = self._state, time.monotonic() - self._heard
        keepalive = self._remembered.keepalive
        if session.lost.done() or state is None or silent < keepalive + 2 * self._remembered.publishing + 1.0:
            return
        if not await session.is_alive():
            session.fail(f"no answer, silent for {silent:.1f} s")
        elif not state.outstanding:
            self._heard = time.monotonic()  # it was not asked for anything: there is no room
        elif silent > 3 * keepalive + self._settings.timeout:
            session.fail(f"the server answers but sent nothing for {silent:.1f} s: its subscription is gone", gone=True)

    async def _nodes(self, session: Session) -> None:
        """Nodes that went away, nodes that are refused, values that were asked for: what is due now."""
        if session.lost.done() or self._state is None:
            return
        subscription, now = self._state.subscription, time.monotonic()
        if self._gone:
            gone, self._gone = sorted(set(self._gone)), []
            await self._monitored.release(session, subscription, gone, "the node is not there any more")
            nodes = ", ".join(f"{self._items[h].node} (it went away)" for h in gone[:5])
            emit(NodesRefused(self.name, len(gone), nodes))
            for handle in gone:
                self._translator.silent(handle)
        if self._monitored.refused and now >= self._retry_at:
            self._retry_at = now + REFUSED_AGAIN_S
            await session.refresh_namespaces()
            if await self._watch(session, subscription, list(self._monitored.refused)):
                self._remember()
        if self._reread is not None:
            await self._reread.go_on(session)
            if (found := self._reread.due(self._translator.unproven(), now)) is not None:
                self._reread = None
                self._put(self._translator.take(found, [], self._clock(), time.monotonic_ns()))

    async def _handshakes(self, session: Session) -> None:
        items = self._translator.to_read(time.monotonic_ns())
        if items and not session.lost.done():
            values = await session.samples([session.resolve(item.node) for item in items])
            for item, value in zip(items, values, strict=True):
                self._translator.answer(item, value)
        if (found := self._translator.idle(self._clock(), time.monotonic_ns())) is not None:
            self._put(found)
        for name, count in self._translator.bounced.items() - self._bounced.items():
            self._bounced[name] = count
            emit(EdgesBounced(self.name, name, count))

    # ---- what the publish loop tells -------------------------------------------------------------------------------------
    def take(self, message: Message) -> asyncio.Future[None] | None:
        """See `publish_loop.Listener`."""
        self._heard = time.monotonic()
        session = self._session
        if message.status_change is not None and session is not None:
            session.fail(f"the server ended the subscription: status 0x{message.status_change:08X}", gone=True)
        if message.events:
            self._retry_at = 0.0  # nodes came or went
        if not message.values and not message.bad:
            return None
        found = self._translator.take(message.values, message.bad, self._clock(), time.monotonic_ns())
        self._gone += found.gone
        return self._put(found)

    def alive(self, published: Published) -> None:
        """See `publish_loop.Listener`."""
        self._heard = time.monotonic()
        if (back := self._translator.returned(self._clock())) is not None:
            self._taker.put(Batch(self.name, [back], self._resume_state()), own=1)
        if published.publish_time is not None and self._translator.newest is not None:
            self._taker.alive(self._settings.machine, published.publish_time - int(self._remembered.publishing * 1e9))

    async def lost(self, sequences: list[int]) -> None:
        """See `publish_loop.Listener`."""
        self._translator.interrupted("republish_failed")
        for handle in self._monitored.refused:
            self._translator.silent(handle)
        first, last = sequences[0], sequences[-1]
        detail = f"messages {first} to {last} of the subscription are not to be had"
        self._taker.put(Batch(self.name, [self._translator.hole("republish_failed", self._clock(), detail)]), own=1)
        self._reread = Reread(
            [(handle, self._items[handle].node) for handle in self._monitored.revised], self._remembered.publishing
        )

    def unreadable(self, error: BadInput) -> None:
        """See `publish_loop.Listener`."""
        where, kind = "publish response", "application/octet-stream"
        draft = quarantined(self.name, self._settings.machine, where, b"", str(error), self._clock(), content_type=kind)
        self._taker.put(Batch(self.name, [draft]), own=1)

    def has_room(self) -> bool:
        """See `publish_loop.Listener`."""
        return self._taker.has_room()

    def _put(self, found: Translated) -> asyncio.Future[None]:
        self._values += len(found.items)
        if found.gaps:
            self._taker.put(Batch(self.name, [*found.gaps]), own=len(found.gaps))
        self._backfill.add(found.missing)
        batch = Batch(self.name, found.items, self._resume_state(found.resume))
        return self._taker.put(batch, own=found.own - len(found.gaps), duplicate=found.repeats)

    def _resume_state(self, of_values: dict[str, Any] | None = None) -> dict[str, Any]:
        """With the last message taken: it comes before this in the spool, or in the same batch."""
        resume = self._translator.resume() if of_values is None else of_values
        state = self._state
        if state is not None and state.last is not None:
            resume |= {"subscription": state.subscription, "sequence": state.last}
        return resume

    # ---- away ------------------------------------------------------------------------------------------------------------
    def _lost(self, reason: str) -> None:
        self._error = reason
        if self._away_since is None:
            self._away_since = time.monotonic()
        if not self._is_loss_told:
            self._is_loss_told = True
            emit(SourceLost(self.name, self._settings.url, reason))

    async def _pause(self, stop: asyncio.Event, least: float) -> None:
        """``least`` seconds at least, unless a person has changed what the connection was refused for."""
        until = time.monotonic() + max(self._backoff.pause(), least)
        while not stop.is_set() and not self.security.is_changed() and (rest := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(rest, TICK_S))
            self._tell_away()
        self._tell_away()

    def _tell_away(self) -> None:
        away = None if self._away_since is None else time.monotonic() - self._away_since
        if self._is_away_told or away is None or away < self._settings.lost_after:
            return
        self._is_away_told = True
        draft: Draft | None = self._translator.away(self._clock())
        if draft is not None:
            self._taker.put(Batch(self.name, [draft], self._resume_state()), own=1)

    def _tell_short(self) -> None:
        short = self._monitored.short_of(self._settings.outage)
        if short and not self._is_short_told:
            self._is_short_told = True
            node, covers = min(short.items(), key=lambda one: one[1])
            emit(QueuesShort(self.name, len(short), float(self._settings.outage), node, covers))
