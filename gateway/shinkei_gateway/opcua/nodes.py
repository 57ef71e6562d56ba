"""The watched nodes of one source through their lives: what the server refuses is tried again, what went away is given back and waited for.

Says to the translator of whom nothing is to be expected. The shell around `monitored`; called by `ladder` for a new subscription and by `source`
while one runs.
"""

from __future__ import annotations

import time

from shinkei_events.telemetry import emit
from shinkei_gateway.opcua.monitored import Monitored
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.translate import Translator
from shinkei_gateway.telemetry import NodesRefused

REFUSED_AGAIN_S = 10.0


class Nodes:
    """``items``: their places are the client handles; ``monitored``: what the server made of them."""

    def __init__(self, name: str, items: list[Item], translator: Translator) -> None:
        self._name, self._items, self._translator = name, items, translator
        self.monitored = Monitored(items)
        self._gone: list[int] = []
        self._retry_at = 0.0

    async def begin(self, session: Session, subscription: int) -> None:
        """Watch all of them in a new subscription. Raises `NotConnected`."""
        self.monitored.begin()
        await self._watch(session, subscription, list(range(len(self._items))))
        if self.monitored.refused:
            emit(NodesRefused(self._name, len(self.monitored.refused), self.monitored.some_refused()))
        await self.monitored.watch_model(session, subscription)

    def connected(self) -> None:
        """What is refused was asked for just now."""
        self._retry_at = time.monotonic() + REFUSED_AGAIN_S

    def changed(self) -> None:
        """The server says that nodes came or went."""
        self._retry_at = 0.0

    def went(self, handles: list[int]) -> None:
        """A message said that these are not there any more."""
        self._gone += handles

    def silence(self) -> None:
        """Nothing is expected of what is refused."""
        for handle in self.monitored.refused:
            self._translator.silent(handle)

    async def tend(self, session: Session, subscription: int, now: float) -> bool:
        """Do what is due at ``now`` (monotonic s); whether a node that was refused is watched. Raises `NotConnected`."""
        if self._gone:
            gone, self._gone = sorted(set(self._gone)), []
            await self.monitored.release(session, subscription, gone, "the node is not there any more")
            nodes = ", ".join(f"{self._items[h].node} (it went away)" for h in gone[:5])
            emit(NodesRefused(self._name, len(gone), nodes))
            for handle in gone:
                self._translator.silent(handle)
        if not self.monitored.refused or now < self._retry_at:
            return False
        self._retry_at = now + REFUSED_AGAIN_S
        await session.refresh_namespaces()
        return bool(await self._watch(session, subscription, list(self.monitored.refused)))

    async def _watch(self, session: Session, subscription: int, handles: list[int]) -> list[int]:
        watched = await self.monitored.watch(session, subscription, handles)
        for handle in handles:
            if handle in self.monitored.refused:
                self._translator.silent(handle)
        for handle in watched:
            self._translator.heard(handle)
        return watched
