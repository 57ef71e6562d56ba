"""An OPC UA machine whose tags count 1, 2, 3 …: what is missing, doubled or out of order shows at once.

asyncua's server, made honest for tests (`honest_server`).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import Server, ua
from asyncua.server.internal_subscription import InternalSubscription

from shinkei_plant.address_space import SharedSpaceServer
from tests.support.honest_server import make_honest

URI = "urn:shinkei:test:counting"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micro(time_ns: int) -> int:
    """A time as the library carries it."""
    return time_ns // 1000 * 1000


class CountingMachine:
    """``tags`` Int64 nodes ``t0 …`` plus State and a handshake (Done, Op, Leak). Runs in the test's event loop.

    ``paces``: the first tags are written at every so many steps only, each at a moment of its own.
    """

    def __init__(self, port: int, tags: int = 4, padding: int = 0, paces: Sequence[int] = ()) -> None:
        make_honest()
        self.port, self.tags, self._padding = port, tags, padding
        self._paces = dict(zip((f"t{at}" for at in range(tags)), paces, strict=False))
        self.count = 0
        self.cycles = 0
        self.clock_off = 0
        """ns by which the machine's clock is ahead of ours."""
        self.stamped_late = 0
        """ns by which what belongs to a cycle is told, and stamped, after its edge."""
        self.clock: Callable[[], int] = time.time_ns
        self.written: dict[str, list[tuple[int, int]]] = {f"t{at}": [] for at in range(tags)}
        self.operations: list[tuple[int, int]] = []
        self._nodes: dict[str, ua.NodeId] = {}
        self._server = Server(iserver=SharedSpaceServer())

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        server = self._server = Server(iserver=SharedSpaceServer())
        await server.init()
        server.set_endpoint(self.url)
        await self.offer(server)
        for at in range(self._padding):  # the namespace index is another one after a restart
            await server.register_namespace(f"urn:padding:{at}")
        index = await server.register_namespace(URI)
        for name in self.written:
            await self._node(name, index, self.count, ua.VariantType.Int64)
        for name, kind in (
            ("State", ua.VariantType.String),
            ("Op", ua.VariantType.String),
            ("Leak", ua.VariantType.Double),
        ):
            await self._node(name, index, None if kind is ua.VariantType.String else 0.0, kind)
        await self._node("Done", index, self.cycles, ua.VariantType.UInt32)
        await server.start()

    async def offer(self, server: Server) -> None:
        """Which endpoints there are."""
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])

    async def _node(
        self, name: str, index: int, value: Any, kind: ua.VariantType, data_type: ua.NodeId | None = None
    ) -> None:
        node = await self._server.nodes.objects.add_variable(ua.NodeId(name, index), name, value, kind, data_type)
        self._nodes[name] = node.nodeid

    async def stop(self) -> None:
        await self._server.stop()

    async def write(self, name: str, value: Any, kind: ua.VariantType, at: int, status: int = 0) -> None:
        stamp = _EPOCH + timedelta(microseconds=at // 1000)
        await self._server.write_attribute_value(
            self._nodes[name], ua.DataValue(ua.Variant(value, kind), ua.StatusCode(status), stamp)
        )

    def said(self) -> int:
        """The time by the machine's clock, as the library carries it (ns UTC)."""
        return micro(self.clock() + self.clock_off)

    async def step(self) -> None:
        """Every tag whose turn it is counts on."""
        self.count += 1
        at = self.said()
        for name, written in self.written.items():
            if self._paces:
                if self.count % self._paces.get(name, 1):
                    continue
                at = max(at + 1000, self.said())
            await self.write(name, self.count, ua.VariantType.Int64, at)
            written.append((at, self.count))

    async def cycle(self, *, values: bool = True) -> int:
        """A cycle is done; returns the edge's time."""
        self.cycles += 1
        at = self.said()
        late = self.stamped_late
        if late:
            await self.write("Done", self.cycles, ua.VariantType.UInt32, at)
        if values:
            said = {
                "kind": "process",
                "station": "M1",
                "started": at - 10**9,
                "ended": at,
                "counter": self.cycles,
                "result": "pass",
            }
            await self.write("Op", json.dumps(said), ua.VariantType.String, at + late)
            await self.write("Leak", self.cycles / 10, ua.VariantType.Double, at + late)
        if not late:
            await self.write("Done", self.cycles, ua.VariantType.UInt32, at)
        self.operations.append((at, self.cycles))
        return at

    async def run(self, every: float, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.step()
            await asyncio.sleep(every)

    def subscriptions(self) -> dict[int, InternalSubscription]:
        found: dict[int, InternalSubscription] = self._server.iserver.subscription_service.subscriptions
        return found


def settings(url: str, tags: int = 4, **more: Any) -> dict[str, Any]:
    """A source for it. Its time-out is long, as a shared machine stands still for seconds; what tests a hang sets a short one."""

    def node(name: str) -> str:
        return f"nsu={URI};s={name}"

    return {
        "type": "opcua", "url": url, "machine": "M1", "security": "none", "publish": "50ms", "sampling": "0ms", "queue": 1000,
        "keepalive": "500ms", "timeout": "20s", "retry": "300ms", "lost_after": "1s",
        "signals": [{"node": node(f"t{at}"), "name": f"t{at}"} for at in range(tags)],
        "state": {"node": node("State")},
        "handshakes": [{"name": "cycle", "trigger": node("Done"), "operation": node("Op"), "readings": {"leak": node("Leak")}, "timeout": "1s"}],
    } | more  # fmt: skip


class MachineThread:
    """A `CountingMachine` in a thread with a loop of its own, so that a test may block. A context manager."""

    def __init__(self, machine: CountingMachine, every: float = 0.02, cycle_every: float = 0.25) -> None:
        self.machine, self._every, self.cycle_every = machine, every, cycle_every
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="machine", daemon=True)
        self._up, self._writing, self._resting, self._end = (threading.Event() for _ in range(4))

    def __enter__(self) -> MachineThread:
        self._thread.start()
        assert self._up.wait(120), "the OPC UA server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)

    def write(self) -> None:
        """Count on and make cycles from now on."""
        self._writing.set()

    def rest(self) -> None:
        """Write no more; what is just being written is done when this returns."""
        self._writing.clear()
        self._resting.clear()
        assert self._resting.wait(120), "the machine did not come to rest"

    async def _live(self) -> None:
        await self.machine.start()
        self._up.set()
        cycle_at = time.monotonic()
        while not self._end.is_set():
            if self._writing.is_set():
                await self.machine.step()
                if time.monotonic() >= cycle_at:
                    cycle_at = time.monotonic() + self.cycle_every
                    await self.machine.cycle()
            else:
                self._resting.set()
            await asyncio.sleep(self._every)
        await self.machine.stop()
