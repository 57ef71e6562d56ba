"""Reading all nodes again after messages were lost for good: what did not change since lost nothing, the rest is told.

A value that was read may also be on its way by the subscription, where it belongs in order. So it is kept back for a few publishing
intervals, and used only for nodes that have not been heard of by then. Called by `source`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from asyncua import ua

from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.translate import Told
from shinkei_gateway.quality import BAD_DECODING

WAIT_PUBLISHING = 5
WAIT_S = 1.0


class Reread:
    """``nodes``: client handles and nodes; ``publishing``: s. `go_on` until `due` gives what is to be told."""

    def __init__(
        self, nodes: list[tuple[int, str]], publishing: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._nodes, self._publishing, self._now = nodes, publishing, now
        self._read: dict[int, Told] | None = None
        self._until = 0.0

    async def go_on(self, session: Session) -> None:
        """Read, once. Raises `NotConnected`: then the next connection begins anew, or goes on with this."""
        if self._read is not None:
            return
        known: list[tuple[int, ua.NodeId]] = []
        for handle, node in self._nodes:
            try:
                known.append((handle, session.resolve(node)))
            except KeyError:
                continue
        values = await session.samples([node for _, node in known]) if known else []
        self._read = {}
        for (handle, _), said in zip(known, values, strict=True):
            status = said.status if said.error is None else BAD_DECODING
            self._read[handle] = (
                handle,
                None if said.error else said.value,
                status,
                said.source_time,
                said.server_time,
            )
        self._until = self._now() + WAIT_PUBLISHING * self._publishing + WAIT_S

    def due(self, unproven: list[int], now: float) -> list[Told] | None:
        """What was read of the nodes that are still ``unproven``, once the others have had their time; None before."""
        if self._read is None or now < self._until:
            return None
        return [self._read[handle] for handle in unproven if handle in self._read]
