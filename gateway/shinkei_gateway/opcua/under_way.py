"""How many nodes the calls under way at one server are about, within its operation limits. Used by `session` around its services.

An S7-1500 counts its limits over all calls that are outstanding, not call by call (epics-modules/opcua#177, #201), and descriptions, backfill,
handshakes and people's questions share a session. Who comes first is let in first. Publish and Republish are about no nodes and do not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

from asyncua import ua

_KINDS: dict[type, tuple[str, str]] = {
    ua.ReadRequest: ("reads", "NodesToRead"),
    ua.BrowseRequest: ("browses", "NodesToBrowse"),
    ua.BrowseNextRequest: ("browses", "ContinuationPoints"),
    ua.CreateMonitoredItemsRequest: ("items", "ItemsToCreate"),
    ua.DeleteMonitoredItemsRequest: ("items", "MonitoredItemIds"),
}


class UnderWay:
    """``most``: nodes by kind (``reads``, ``browses``, ``items``), as the server said; of a kind it says nothing of, nothing waits."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self._nodes: Counter[str] = Counter()
        self._doors: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._left: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @contextlib.asynccontextmanager
    async def call(self, kind: str, nodes: int) -> AsyncIterator[None]:
        """Wait for room for ``nodes`` more, and hold it. A call that is larger than the limit alone is let in when it is the only one."""
        if kind not in self.most:
            yield
            return
        async with self._doors[kind]:
            while self._nodes[kind] and self._nodes[kind] + nodes > self.most[kind]:
                self._left[kind].clear()
                await self._left[kind].wait()
            self._nodes[kind] += nodes
        try:
            yield
        finally:
            self._nodes[kind] -= nodes
            self._left[kind].set()


def nodes_of(request: Any) -> tuple[str, int]:
    """What ``request`` of the library counts as: kind, and how many nodes; ``("", 0)``: nothing."""
    kind, field = _KINDS.get(type(request), ("", ""))
    return kind, len(getattr(request.Parameters, field)) if kind else 0
