"""One OPC UA machine, for ever: connects, takes up the old subscription or makes one, hands every message to the spool, tells what was lost.

The supervisor of `session` and `publish_loop`, and the shell around `translate`. A fresh client for every attempt: `ladder` takes up the old
subscription on it or makes a new one, `nodes` keeps its monitored items, `outage` tells a loss once. What was durable when the process died is
known by the spool's resume state: subscription and sequence number lie in one batch with the values of the message.
"""

from __future__ import annotations

import asyncio
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
from shinkei_gateway.opcua.answer import Now
from shinkei_gateway.opcua.answering import Answering
from shinkei_gateway.opcua.decode import Message, Published, UnreadableResponse
from shinkei_gateway.opcua.history import Backfill
from shinkei_gateway.opcua.ladder import Ladder
from shinkei_gateway.opcua.nodes import Nodes
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.publish_loop import PublishLoop
from shinkei_gateway.opcua.replay import node_again
from shinkei_gateway.opcua.reread import Reread
from shinkei_gateway.opcua.security import Security, Unsecured
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.signals import Signals
from shinkei_gateway.opcua.translate import Translated, Translator
from shinkei_gateway.outage import Outage
from shinkei_gateway.quarantine import quarantined
from shinkei_gateway.taking import Taker
from shinkei_gateway.telemetry import (
    EdgesBounced,
    QueuesShort,
    SourceConnected,
    SourceCrashed,
)

TICK_S = 0.25
KEEP_S = 10.0
"""How often what only keep-alives prove is written down: by so much the gap of a quiet machine is too early after a restart."""
SUBSCRIPTION_TRANSFERRED = 0x002D_0000
"""GoodSubscriptionTransferred."""


class OpcuaMachine:
    """``clock``: ns UTC; ``uniform``: a random source for the pauses between attempts; ``security``: of its connections (None: as security "none").

    ``memory``: the file that lets the next process take up the session; without it the subscription ends with this one.
    """

    history = False

    def __init__(self, name: str, settings: OpcuaSource, taker: Taker, *, clock: Callable[[], int] = time.time_ns,
                 uniform: Callable[[float, float], float] = random.uniform, memory: Path | None = None,
                 security: Security | None = None) -> None:  # fmt: skip
        self.name, self._settings, self._taker, self._clock = name, settings, taker, clock
        self.security = security or Unsecured()
        self._items = plan(settings)
        known = taker.resume(name) or {}
        skew = taker.skew(name, settings.machine)
        self._translator = Translator(name, settings, self._items, known or None, time.monotonic_ns(), skew, clock())
        self._nodes = Nodes(name, self._items, self._translator)
        self._signals = Signals(name, settings, self._items, taker, clock)
        self._signals.structures.values = memory.with_name(f"{memory.name}.values") if memory is not None else None
        self._ladder = Ladder(settings, self._items, memory, self._nodes, self._translator, self._signals, known)
        self._outage = Outage(
            name, settings.url, settings.lost_after, Backoff(settings.retry, uniform), self._tell_away
        )
        self._stopped = taker.stopped(settings.lost_after)
        self._session: Session | None = None
        self._reread: Reread | None = None
        self._has_more = False
        self._heard = self._asked = self._kept = 0.0
        self._is_short_told = False
        self._bounced: dict[str, int] = {}
        self._values = 0
        self._answers = Answering(
            name, settings, taker, known.get("answers"), now=self._now, resume=self._resume_state, as_user=self.security.as_user,
        )  # fmt: skip
        self._backfill = Backfill(name, settings, self._items, taker, clock)

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
            "type": "opcua", "url": self._settings.url, "machines": self.machines(), "connected": not self._outage.is_away,
            "error": self._outage.error, "values": self._values, "newest": self._translator.newest, "connections": self._ladder.connections,
            "resumed": self._ladder.resumptions, "skew_s": self._translator.skew / 1e9,
            "bounced": dict(self._bounced), "publish_requests": self._ladder.requests, "security": self.security.health(),
            **self._backfill.health(), **self._answers.health(), **self._nodes.monitored.health(self._settings.outage),
        }  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Errors of the connection never leave it."""
        while not stop.is_set():
            name, least = f"shinkei gateway {self.name}", 0.0
            session = Session(self._settings.url, name, self._settings.timeout, self.security.secure)
            try:
                loop = await self._connect(session)
                reason = await self._live(session, loop, stop)
            except NotConnected as error:
                why = self.security.explain(error)
                reason, least = str(why), why.seconds if isinstance(why, RetryAfter) else 0.0
            except Exception as error:  # noqa: BLE001  outermost: one machine's surprise must not end the others
                reason = f"{type(error).__name__}: {error}"
                emit(SourceCrashed(self.name, reason))
            finally:
                self._session = None
                # The subscription outlives the connection: what it gathers meanwhile is the outage without a gap.
                await session.close(keep=not stop.is_set() or self._ladder.outlives_process)
            if session.is_gone:
                self._ladder.drop()
            if stop.is_set():
                return
            self._outage.lost(reason)
            await self._outage.pause(stop, least, self.security.is_changed)

    # ---- one connection ------------------------------------------------------------------------------------------------
    async def _connect(self, session: Session) -> PublishLoop:
        began = time.monotonic()
        session.structures = self._signals.structures
        await session.connect(self._ladder.remembered)
        self.security.succeeded()
        self._session = session
        loop, is_resumed = await self._ladder.climb(session, self)
        if (
            self._stopped is not None and not is_resumed
        ):  # an old subscription proves what was while the gateway was down
            self._tell_away(self._stopped)
        self._stopped = None
        self._heard = time.monotonic()
        self._has_more = False
        self._nodes.connected()
        self._outage.over()
        found = f"{len(self._nodes.monitored.revised)} of {len(self._items)} nodes"
        detail = f"{found}, the old subscription" if is_resumed else found
        emit(SourceConnected(self.name, self._settings.url, time.monotonic() - began, detail))
        self._tell_short()
        return loop

    async def _live(self, session: Session, loop: PublishLoop, stop: asyncio.Event) -> str:
        """Until the connection is lost (why) or ``stop``."""
        publishing = asyncio.create_task(loop.run(), name=f"{self.name} publish")
        beside = [
            asyncio.create_task(self._signals.run(session, self._nodes.monitored.revised), name=f"{self.name} signals"),
            asyncio.create_task(self._backfill.run(session), name=f"{self.name} backfill"),
            asyncio.create_task(self._answers.run(session.lost), name=f"{self.name} answers"),
        ]
        ended = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {session.lost, ended, publishing}
        try:
            while not session.lost.done() and not stop.is_set() and not publishing.done():
                began = time.monotonic()
                await asyncio.wait(ends, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                self._stood_still(time.monotonic() - began - TICK_S)
                loop.pump()
                await self._handshakes(session)
                await self._listen(session)
                await self._tend(session)
        finally:
            for task in (ended, publishing, *beside):
                task.cancel()
            await asyncio.wait([publishing, *beside])
        if not publishing.cancelled() and (error := publishing.exception()) is not None:
            raise error
        return session.lost.result() if session.lost.done() else "ended"

    def _stood_still(self, seconds: float) -> None:
        """It was us who did not listen for so long (a virtual machine that was moved or saved): no silence of the server's."""
        if seconds > TICK_S:
            self._heard = min(self._heard + seconds, time.monotonic())

    async def _listen(self, session: Session) -> None:
        """A server that says nothing for longer than a keep-alive is asked; one that answers but does not publish is left.

        So is one that would close the session before: it counts from our last request, and those that wait at the server send none.
        """
        state, now = self._ladder.state, time.monotonic()
        keepalive, publishing = self._ladder.remembered.keepalive, self._ladder.remembered.publishing
        silent = now - self._heard
        is_late = silent >= keepalive + 2 * publishing + 1.0
        if session.lost.done() or state is None:
            return
        if not is_late and now - max(self._heard, self._asked) < session.timeout / 2:
            return
        self._asked = now
        if not await session.is_alive():
            session.fail(f"no answer, silent for {silent:.1f} s")
        elif not is_late:
            return
        elif not state.outstanding:
            self._heard = time.monotonic()  # it was not asked for anything: there is no room
        elif silent > 3 * keepalive + self._settings.timeout:
            session.fail(f"the server answers but sent nothing for {silent:.1f} s: its subscription is gone", gone=True)

    async def _tend(self, session: Session) -> None:
        """Nodes that went away, nodes that are refused, values that were asked for: what is due now."""
        state, now = self._ladder.state, time.monotonic()
        if session.lost.done() or state is None:
            return
        if await self._nodes.tend(session, state.subscription, now):
            self._ladder.save()
        if self._reread is not None:
            await self._reread.go_on(session)
            # While the server has more to say, what it gathered before it was read still comes: that is told first.
            found = None if self._has_more else self._reread.due(self._translator.unproven(), now)
            if found is not None:
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
        self._heard, self._has_more = time.monotonic(), message.more
        session = self._session
        if message.status_change is not None and session is not None:
            self._status(session, message.status_change)
        if message.events:
            self._nodes.changed()
        if not message.values and not message.bad:
            if not message.more:
                self._translator.proved(message.publish_time)
            return None
        found = self._translator.take(
            message.values,
            message.bad,
            self._clock(),
            time.monotonic_ns(),
            message.publish_time,
            is_all=not message.more,
        )
        self._nodes.went(found.gone)
        return self._put(found)

    @staticmethod
    def _status(session: Session, status: int) -> None:
        """A StatusChangeNotification. That it was transferred is for the session before (Part 4 §5.14.7); node-opcua tells the new one."""
        if status & 0xFFFF_0000 == SUBSCRIPTION_TRANSFERRED and session.has_taken_over:
            session.has_taken_over = False
            return
        session.fail(f"the server ended the subscription: status 0x{status:08X}", gone=True)

    def alive(self, published: Published, proves: bool) -> None:
        """See `publish_loop.Listener`."""
        self._heard, self._has_more = time.monotonic(), published.more
        if proves:
            self._translator.proved(published.publish_time)
            if self._heard - self._kept >= KEEP_S and self._translator.newest is not None:
                self._kept = self._heard
                self._taker.put(Batch(self.name, [], self._resume_state()))
        if (back := self._translator.returned(self._clock())) is not None:
            self._taker.put(Batch(self.name, [back], self._resume_state()), own=1)
        if published.publish_time is not None and self._translator.newest is not None:
            self._taker.alive(
                self._settings.machine, published.publish_time - int(self._ladder.remembered.publishing * 1e9)
            )

    async def lost(self, sequences: list[int]) -> None:
        """See `publish_loop.Listener`."""
        self._translator.interrupted("republish_failed")
        self._nodes.silence()
        first, last = sequences[0], sequences[-1]
        detail = f"messages {first} to {last} of the subscription are not to be had"
        told = self._translator.hole("republish_failed", self._clock(), detail)
        self._taker.put(Batch(self.name, [*told]), own=len(told))
        self._reread = Reread(
            [(handle, self._items[handle].node) for handle in self._nodes.monitored.revised],
            self._ladder.remembered.publishing,
        )

    def unreadable(self, error: BadInput) -> None:
        """See `publish_loop.Listener`."""
        where, kind = "publish response", "application/octet-stream"
        raw = error.raw if isinstance(error, UnreadableResponse) else b""
        draft = quarantined(self.name, self._settings.machine, where, raw, str(error), self._clock(), content_type=kind)
        self._taker.put(Batch(self.name, [draft]), own=1)

    def has_room(self) -> bool:
        """See `publish_loop.Listener`."""
        return self._taker.has_room()

    def _put(self, found: Translated) -> asyncio.Future[None]:
        self._values += len(found.items)
        if found.gaps:
            self._taker.put(Batch(self.name, [*found.gaps]), own=len(found.gaps))
        self._backfill.add(found.missing)
        due = self._answers.add(self._translator.cycles.take_due())
        batch = Batch(self.name, found.items, self._resume_state(found.resume))
        self._kept = time.monotonic()
        durable = self._taker.put(batch, own=found.own - len(found.gaps), duplicate=found.repeats)
        self._answers.given(due, durable)
        return durable

    def _now(self) -> Now:
        return Now(self._clock(), self._translator.skew, self._translator.cycles.newest)

    def _resume_state(self, of_values: dict[str, Any] | None = None) -> dict[str, Any]:
        """With the last message taken: it comes before this in the spool, or in the same batch."""
        resume = self._translator.resume() if of_values is None else of_values
        state = self._ladder.state
        if state is not None and state.last is not None:
            resume |= {"subscription": state.subscription, "sequence": state.last}
        if answers := self._answers.state():
            resume |= {"answers": answers}
        return resume

    def _tell_away(self, since: int = 0) -> None:
        draft = self._translator.away(self._clock(), since)
        if draft is not None:
            self._taker.put(Batch(self.name, [draft], self._resume_state()), own=1)

    def _tell_short(self) -> None:
        short = self._nodes.monitored.short_of(self._settings.outage)
        if short and not self._is_short_told:
            self._is_short_told = True
            node, covers = min(short.items(), key=lambda one: one[1])
            emit(QueuesShort(self.name, len(short), float(self._settings.outage), node, covers))
