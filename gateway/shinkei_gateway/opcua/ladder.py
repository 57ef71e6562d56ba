"""How one source's subscription goes on over connections and processes: the ladder of Part 4 §6.7 from the old session down to a new subscription.

Knows the file that outlives the process and the publish state; not what values mean, nor when to connect. Called by `source` with every session
that is connected.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from shinkei_events.errors import NotConnected
from shinkei_gateway.opcua.nodes import Nodes
from shinkei_gateway.opcua.old_session import is_guessable
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.publish_loop import Listener, Publishing, PublishLoop, before
from shinkei_gateway.opcua.remembered import Remembered, fingerprint, forget, load, save
from shinkei_gateway.opcua.session import Session, SubscriptionGone
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.signals import Signals
from shinkei_gateway.opcua.translate import Translator

SAME_START_S = 1.0
"""A server that works out its start from its uptime tells the same one a little different each time."""


class Ladder:
    """``memory``: the file that lets the next process take up the session (None: it ends with this one); ``known``: the durable resume state.

    ``state``: of the subscription that is ours now; ``connections``, ``resumptions``: how many there were.
    """

    def __init__(self, settings: OpcuaSource, items: list[Item], memory: Path | None, nodes: Nodes, translator: Translator,
                 signals: Signals, known: dict[str, Any]) -> None:  # fmt: skip
        self._settings, self._items, self._memory = settings, items, memory
        self._nodes, self._translator, self._signals = nodes, translator, signals
        made_for = fingerprint([float(settings.publish), float(settings.keepalive), items])
        self.remembered = load(memory, settings.url, made_for) or Remembered(url=settings.url, plan=made_for)
        self.state = self._restored(known)
        self.connections = self.resumptions = 0

    def _restored(self, known: dict[str, Any]) -> Publishing | None:
        """Where the last process was with the subscription that the file tells of."""
        subscription = self.remembered.subscription
        if not subscription:
            return None
        is_known = known.get("subscription") == subscription
        return Publishing(subscription, known["sequence"] if is_known else before(1))

    @property
    def outlives_process(self) -> bool:
        """Whether the next process can take up the session."""
        return self._memory is not None

    @property
    def requests(self) -> int:
        """Publish requests that are kept at the server."""
        return self.state.limit if self.state is not None else 0

    async def climb(self, session: Session, listener: Listener) -> tuple[PublishLoop, bool]:
        """The loop of the subscription on a connected ``session``, and whether it is the old one. Raises `NotConnected`."""
        is_restarted = _is_later(session.started, self.remembered.started)
        if is_restarted and session.is_old and is_guessable(self.remembered.token):
            self.remembered.token = b""
            raise NotConnected(
                "the server was started anew and counts its sessions: the old one may be another client's"
            )
        session.remember(self.remembered)
        loop = await self._resume(session, listener, is_restarted)
        is_resumed = loop is not None
        if loop is None:
            loop = await self._begin(session, listener)
        self.connections += 1
        self.resumptions += is_resumed
        return loop, is_resumed

    async def _resume(self, session: Session, listener: Listener, is_restarted: bool) -> PublishLoop | None:
        """The old subscription when it is ours again; then every message is taken that the server still has.

        Never of a server that was started since: many count their subscriptions from 1, and the one with our number is another client's.
        """
        if self.state is None or (is_restarted and not session.is_old):
            return None
        if session.is_old and ((loop := await self._go_on(session, listener, None)) is not None or is_restarted):
            return loop
        # Of an old session too: the answer to its transfer may have been lost, and the subscription is with the one before.
        available = await session.transfer(self.state.subscription)
        return None if available is None else await self._go_on(session, listener, available)

    async def _go_on(self, session: Session, listener: Listener, available: list[int] | None) -> PublishLoop | None:
        """The subscription of ``session``, from where we were; ``available``: what the server still has of one that was transferred, else None."""
        assert self.state is not None
        self.state.reconnected()
        if available is not None:
            self.state.handed_over(available)
        loop = PublishLoop(session, self.state, listener)
        self._nodes.monitored.take_up(self.remembered)
        self._translator.continued(time.monotonic_ns())
        self._pace()
        self._nodes.silence()
        self.save()
        try:
            await loop.recover(available)
        except SubscriptionGone:
            return None
        return loop

    async def _begin(self, session: Session, listener: Listener) -> PublishLoop:
        """A new subscription: its first values prove that nothing is missing, or a gap record says what is."""
        old, remembered = self.remembered.subscription, self.remembered
        self.drop()
        if old and session.is_old:
            await session.forget(old)
        await self._signals.before(session)
        subscription, publishing, keepalive = await session.subscribe(self._settings.publish, self._settings.keepalive)
        remembered.publishing, remembered.keepalive = publishing, keepalive
        await self._nodes.begin(session, subscription)
        remembered.subscription = subscription
        self._pace()
        self.state = Publishing(subscription)
        loop = PublishLoop(session, self.state, listener)
        self.save()
        return loop

    def _pace(self) -> None:
        slowest = {True: 0.0, False: 0.0}
        for handle, one in self._nodes.monitored.revised.items():
            is_signal = self._items[handle].role == "signal"
            slowest[is_signal] = max(slowest[is_signal], one.sampling)
        self._translator.paced(slowest[False], self.remembered.publishing, slowest[True])

    def save(self) -> None:
        """Write down what the next process needs."""
        monitored = self._nodes.monitored
        self.remembered.items, self.remembered.refused = monitored.revised, monitored.refused
        # A full disk is told by the spool; without the file the next process makes a new subscription.
        with contextlib.suppress(OSError):
            save(self._memory, self.remembered)

    def drop(self) -> None:
        """Messages of the old subscription will not come any more."""
        if self.remembered.subscription or self.connections:
            self._translator.interrupted("session_lost" if self.connections else "gateway_down")
        self.state, self.remembered.subscription = None, 0
        with contextlib.suppress(OSError):
            forget(self._memory)


def _is_later(started: float | None, known: float | None) -> bool:
    return started is not None and known is not None and started > known + SAME_START_S
