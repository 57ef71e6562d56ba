"""Cuts of the network to an OPC UA machine, by every step of the ladder that a server may offer: counted, nothing is lost without a record."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from asyncua import ua

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.operation import Operation
from shinkei_events.settings import strict
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support import honest_server
from tests.support.completeness import compare, too_wide
from tests.support.counting_machine import CountingMachine, micro, settings
from tests.support.fake_intake import FakeIntake
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sizes import Sizes
from tests.support.waiting import eventually_async, patient

EVERY_S = 0.02
PACES = (1, 3, 40)
"""Steps between two values of the first tags: what is told of all together claims too much of each."""
STOOD_NS = 7_000_000_000


class Line:
    """A machine that counts, a proxy before it, and a gateway's source behind it."""

    def __init__(self, paces: Sequence[int] = PACES, **more: Any) -> None:
        self.machine, self.intake, self._more = CountingMachine(free_port(), paces=paces), FakeIntake(), more
        self.source: OpcuaMachine | None = None

    def health(self) -> dict[str, Any]:
        assert self.source is not None
        return self.source.health()

    async def heard(self) -> None:
        """The newest value of every tag that there was when asking has come: a message may hold the last of one tag and not of the next."""
        wanted = {name: written[-1][1] if written else 0 for name, written in self.machine.written.items()}
        await eventually_async(lambda: all(self._has(name, count) for name, count in wanted.items()), 60)

    def _has(self, name: str, count: int) -> bool:
        found = self.intake.readings(name)
        return bool(found) and found[-1].value >= count

    async def run(self, test: Callable[[Line, Proxy], Awaitable[None]]) -> None:
        await self.machine.start()
        with Proxy(self.machine.port) as proxy:
            made = strict(settings(f"opc.tcp://{proxy.address}/", **self._more), OpcuaSource, "x")
            self.source = OpcuaMachine("src", made, self.intake)
            stop, still = asyncio.Event(), asyncio.Event()
            writing = asyncio.create_task(self.machine.run(EVERY_S, still))
            running = asyncio.create_task(self.source.run(stop))
            try:
                await self.heard()
                await test(self, proxy)
                still.set()
                await writing
                await self.heard()
            finally:
                still.set()
                stop.set()
                await asyncio.wait_for(running, 60)
                await self.machine.stop()

    def verdict(self) -> tuple[Any, list[dict[str, Any]], list[Any]]:
        arrived = {name: [(r.time, r.value) for r in self.intake.readings(name)] for name in self.machine.written}
        gaps = self.intake.gaps()
        return compare(self.machine.written, arrived, gaps), gaps, too_wide(arrived, gaps)


def cuts(lengths: list[float], how: Callable[[Proxy], None] = Proxy.cut) -> Callable[[Line, Proxy], Awaitable[None]]:
    async def test(line: Line, proxy: Proxy) -> None:
        for length in lengths:
            how(proxy)
            until = line.machine.count + max(1, round(length / EVERY_S))
            await eventually_async(lambda until=until: line.machine.count >= until, 60 + 5 * length)
            proxy.restore()
            await line.heard()
            # What was gathered comes while the connection is still being taken up: only then is it cut again.
            await eventually_async(lambda: line.health()["connected"], 60)

    return test


def test_cuts_within_the_queues_lose_nothing(rng: random.Random, sizes: Sizes) -> None:
    """Several machines at once, as each cut takes its time."""
    many = sizes.of("cuts of an OPC UA machine", sample=6, full=100)
    longest, lines = (2.0 if many < 100 else 20.0), [Line(queue=5000) for _ in range(2 if many < 100 else 5)]
    lengths = [[rng.uniform(0.2, longest) for _ in range(many // len(lines))] for _ in lines]

    async def whole() -> None:
        await asyncio.gather(*(line.run(cuts(own)) for line, own in zip(lines, lengths, strict=True)))

    asyncio.run(whole())
    for line, own in zip(lines, lengths, strict=True):
        found, gaps, _ = line.verdict()
        assert (found.missing, found.doubled, found.unexplained, gaps) == (0, 0, [], [])
        assert line.health()["resumed"] >= len(own)


def test_a_server_that_forgot_the_session_hands_the_subscription_over(rng: random.Random, sizes: Sizes) -> None:
    line = Line(queue=5000)
    honest_server.WAYS.reactivate = False
    honest_server.WAYS.most = 5  # several messages wait for each transfer
    many = sizes.of("transfers of a subscription", sample=3, full=30)
    asyncio.run(line.run(cuts([rng.uniform(0.2, 1.5) for _ in range(many)])))
    found, gaps, _ = line.verdict()
    assert (found.missing, found.doubled, found.unexplained, gaps) == (0, 0, [], [])
    assert line.health()["resumed"] >= many


def test_a_server_that_hands_nothing_over_leaves_a_gap_of_exactly_the_cut(rng: random.Random, sizes: Sizes) -> None:
    line = Line(queue=5000)
    honest_server.WAYS.reactivate = honest_server.WAYS.transfer = False
    many = sizes.of("cuts with a new subscription", sample=3, full=30)
    asyncio.run(line.run(cuts([rng.uniform(0.3, 1.0) for _ in range(many)])))
    found, gaps, wide = line.verdict()
    assert (found.doubled, found.unexplained, wide) == (0, [], [])
    assert found.missing == found.covered > 0
    assert {gap["cause"] for gap in gaps} == {"session_lost"}


def test_a_state_that_stood_for_long_has_a_gap_of_the_cut_alone() -> None:
    line = Line(queue=5000)
    honest_server.WAYS.reactivate = honest_server.WAYS.transfer = False
    written: dict[str, list[tuple[int, Any]]] = {"@state": [], "@cycle": []}
    heard: list[int] = []

    async def state(said: str) -> None:
        written["@state"].append((at := micro(time.time_ns()), said))
        await line.machine.write("State", said, ua.VariantType.String, at)

    async def test(line: Line, proxy: Proxy) -> None:
        await state("EXECUTE")
        written["@cycle"].append((await line.machine.cycle(), "done"))
        await eventually_async(lambda: line.intake.drafts(MachineStateChanged) and line.intake.drafts(Operation), 60)
        began = written["@cycle"][0][0]
        await eventually_async(lambda: line.intake.readings("t0")[-1].time > began + STOOD_NS, 60)
        proxy.cut()
        heard.append(line.intake.readings("t0")[-1].time)
        for said in ("HELD", "EXECUTE", "SUSPENDED"):
            await state(said)
            written["@cycle"].append((await line.machine.cycle(), "done"))
            await asyncio.sleep(0.3)  # the length of the cut, not a wait for a state
        proxy.restore()
        await eventually_async(lambda: len(line.intake.gaps("production")) >= 2, 60)

    asyncio.run(line.run(test))
    (drafts, gaps) = line.intake.drafts(), line.intake.gaps("production")
    arrived = {
        "@state": [
            (d.time, d.fields["state"]) for d in drafts if d.type is MachineStateChanged and d.fields["by"] != "gateway"
        ],
        "@cycle": [(d.time, "done") for d in drafts if d.type is Operation],
    }
    found = compare(written, arrived, gaps)
    assert (found.doubled, found.unexplained, found.missing, found.covered) == (0, [], 4, 4), arrived
    assert {tuple(gap["channels"]) for gap in gaps} == {("@state",), ("@cycle",)}
    publishing, spare, stalled = 0.05, 1.0, 5.0
    assert all(gap["t_from"] >= heard[0] - (publishing + spare + stalled) * 1e9 for gap in gaps), (gaps, heard)


def test_a_cut_longer_than_the_queues_loses_exactly_what_the_overflow_says(sizes: Sizes) -> None:
    line = Line(queue=20)
    many = sizes.of("cuts beyond the queues", sample=2, full=20)
    asyncio.run(line.run(cuts([2.0] * many)))
    found, gaps, wide = line.verdict()
    assert (found.doubled, found.unexplained, wide) == (0, [], [])
    assert found.missing == found.covered > 0
    assert {gap["cause"] for gap in gaps} == {"overflow"}


def test_a_server_that_keeps_few_messages_loses_only_those_and_says_so() -> None:
    """Hung, not cut: the server goes on sending into the dead connection until its publish requests are used up."""
    line = Line(queue=5000, timeout="1s")
    honest_server.WAYS.kept, honest_server.WAYS.most = 1, 1
    asyncio.run(line.run(cuts([3.0], Proxy.hang)))
    found, _gaps, _ = line.verdict()
    assert (found.doubled, found.unexplained) == (0, [])
    assert found.missing == found.covered > 0


@pytest.mark.parametrize("transfer", [True, False])
def test_a_machine_restarted_with_other_namespaces_is_there_again_within_ten_seconds(transfer: bool) -> None:
    line = Line(paces=(), queue=5000)  # a tag that is not written at once has the value that it was made with
    honest_server.WAYS.transfer = transfer

    async def test(line: Line, proxy: Proxy) -> None:
        for padding in (3, 1, 0):
            await line.machine.stop()
            line.machine._padding = padding
            await eventually_async(lambda: not line.health()["connected"], 15)
            await line.machine.start()
            listening = asyncio.get_running_loop().time()
            await line.heard()
            assert asyncio.get_running_loop().time() - listening < patient(10)

    asyncio.run(line.run(test))
    found, gaps, wide = line.verdict()
    assert (found.doubled, found.unexplained, wide) == (0, [], [])
    assert found.missing == found.covered > 0
    assert len(gaps) >= 3
