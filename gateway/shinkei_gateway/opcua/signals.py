"""What is known of one source's signals beside their values: definitions of their structures, and what was told of their units and ranges.

Outlives connections. `before` is awaited by a new subscription, `run` is a task beside the values of each connection; both only ask. The shell
around `definitions` and `describe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from asyncua.ua.uaerrors import UaStatusCodeError

from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.telemetry import emit
from shinkei_gateway.intake import Batch
from shinkei_gateway.opcua.asking import Asks
from shinkei_gateway.opcua.definitions import learn
from shinkei_gateway.opcua.describe import Description, Revised, Told, describe, learn_types
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.standard_types import BUILT_IN
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.opcua.why import status_name
from shinkei_gateway.taking import Taker
from shinkei_gateway.telemetry import SignalsUnread

EVERY_S = 5.0
PAUSE_S = 0.05
"""Between the parts of a long description: the server has values to send."""
ASKED_FIRST = 2_000
"""Nodes at most whose types are asked for before the first value; more would hold up all of them."""


class Wish(Protocol):
    """What the server made of a monitored item's wishes."""

    @property
    def sampling(self) -> float: ...
    @property
    def queue(self) -> int: ...


class Signals:
    """``items``: their places are the client handles. What was told is remembered in ``taker``'s resume states."""

    def __init__(
        self, name: str, settings: OpcuaSource, items: list[Item], taker: Taker, clock: Callable[[], int]
    ) -> None:
        self._name, self._settings, self._items, self._taker, self._clock = name, settings, items, taker, clock
        self._key = f"{name}@signals"
        self._told = Told(name, settings.machine, taker.resume(self._key))
        self._is_kept = True
        self._hopeless: set[str] = set()
        self._unbrowsed: set[str] = set()
        self.structures = Structures([])

    async def before(self, asks: Asks) -> None:
        """Learn the structures of nodes that may hold some, so that their first value is an object. Raises `NotConnected`."""
        nodes = [signal.node for signal in self._settings.signals if signal.data_type not in BUILT_IN]
        if nodes and len(nodes) <= ASKED_FIRST:
            try:
                await learn_types(asks, self.structures, nodes)
            except BadInput as error:
                emit(SignalsUnread(self._name, str(error)))

    async def run(self, asks: Asks, revised: Mapping[int, Wish]) -> None:
        """Until the connection fails. ``revised``: by client handle, as it is now: nodes that come later are described then."""
        described: set[int] = set()
        try:
            while True:
                due = [handle for handle in sorted(revised) if handle not in described and self._is_signal(handle)]
                described |= set(due)
                await self._describe(asks, due, revised)
                await self._learn(asks)
                await asyncio.sleep(EVERY_S)
        except BadInput as error:
            emit(SignalsUnread(self._name, str(error)))
        except NotConnected as error:
            if isinstance(error.__cause__, UaStatusCodeError):  # of a lost connection the source tells
                emit(SignalsUnread(self._name, str(error)))

    def _is_signal(self, handle: int) -> bool:
        return handle < len(self._items) and self._items[handle].role == "signal"

    async def _describe(self, asks: Asks, handles: list[int], revised: Mapping[int, Wish]) -> None:
        by_node: dict[str, list[int]] = {}
        for handle in handles:
            by_node.setdefault(self._items[handle].node, []).append(handle)
        refused: dict[str, int] = {}
        async for part in describe(asks, self.structures, list(by_node), refused):
            await self._tell([(handle, one) for one in part for handle in by_node[one.node]], revised)
            await asyncio.sleep(PAUSE_S)
        await self._keep()
        if new := sorted(refused.keys() - self._unbrowsed):
            self._unbrowsed |= set(new)
            first = f"{new[0]} ({status_name(refused[new[0]])})"
            emit(SignalsUnread(self._name, f"{len(new)} nodes cannot be browsed for them, the first: {first}"))

    async def _tell(self, part: list[tuple[int, Description]], revised: Mapping[int, Wish]) -> None:
        found = []
        for handle, description in part:
            wish = revised.get(handle)
            made = Revised(wish.sampling, wish.queue) if wish is not None else None
            found.append((self._items[handle].name, description, made))
        drafts = self._told.take(found, self._clock())
        if drafts:
            self._is_kept = False
            await self._taker.put(Batch(self._key, [*drafts]), own=len(drafts), source=self._name)

    async def _keep(self) -> None:
        """Remember what was told: once for all nodes, as it is as long as they are many. What was told and not kept is told again."""
        if not self._is_kept:
            await self._taker.put(Batch(self._key, [], self._told.state()), source=self._name)
            self._is_kept = True

    async def _learn(self, asks: Asks) -> None:
        """Definitions of structures that were met in values. One that the server does not offer is asked for once."""
        new = self.structures.unknown - self._hopeless
        if new:
            await learn(asks, self.structures, ())
            self._hopeless |= self.structures.unknown
