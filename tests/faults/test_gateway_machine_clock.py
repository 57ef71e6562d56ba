"""The clock of a machine jumps, or one value of it is years off: every value and state keeps its time, and gaps cover what they must.

Both clocks, the machine's and the gateway's, go ten times as fast, as a gateway looks at a clock for ten seconds before it believes it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncua import ua

from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import ClockSkew
from shinkei_events.settings import strict
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support import honest_server
from tests.support.completeness import compare
from tests.support.counting_machine import CountingMachine, micro, settings
from tests.support.fake_intake import FakeIntake
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.waiting import eventually_async

HOUR_NS = 3600 * 10**9
YEARS_NS = 3650 * 86_400 * 10**9
STATES = ("EXECUTE", "HELD", "SUSPENDED", "ABORTED")


class Line:
    """A machine that counts, a proxy before it, and a gateway's source behind it."""

    def __init__(self, lost_after: str = "60s") -> None:
        self.lost_after = lost_after
        self.machine, self.intake = CountingMachine(free_port()), FakeIntake()
        self.machine.clock = self.now
        self._began = time.time_ns()
        self.states: list[tuple[int, str]] = []
        self.source: OpcuaMachine | None = None

    def now(self) -> int:
        return self._began + 10 * (time.time_ns() - self._began)

    async def step(self) -> None:
        """All tags count on, and the state is another one."""
        await self.machine.step()
        said = STATES[len(self.states) % len(STATES)]
        self.states.append((at := self.machine.said(), said))
        await self.machine.write("State", said, ua.VariantType.String, at)
        await asyncio.sleep(0.02)

    async def heard(self) -> None:
        await eventually_async(
            lambda: self.told()[-1:] == self.states[-1:] and self.arrived()[-1:] == self.written()[-1:], 60
        )

    def told(self) -> list[tuple[int, str]]:
        found = self.intake.drafts(MachineStateChanged)
        return [(draft.time, draft.fields["state"]) for draft in found]

    def arrived(self, name: str = "t3") -> list[tuple[int, Any]]:
        return [(one.time, one.value) for one in self.intake.readings(name)]

    def written(self, name: str = "t3") -> list[tuple[int, int]]:
        return self.machine.written[name]

    async def run(self, test: Callable[[Proxy], Awaitable[None]]) -> None:
        await self.machine.start()
        with Proxy(self.machine.port) as proxy:
            raw = settings(f"opc.tcp://{proxy.address}/", queue=5000, clock_limit="10m", lost_after=self.lost_after)
            source = self.source = OpcuaMachine("src", strict(raw, OpcuaSource, "x"), self.intake, clock=self.now)
            stop = asyncio.Event()
            running = asyncio.create_task(source.run(stop))
            try:
                await eventually_async(lambda: source.health()["connected"], 60)
                await eventually_async(lambda: bool(self.arrived()), 60)
                await self.step()
                await self.heard()
                await test(proxy)
                await self.heard()
            finally:
                stop.set()
                await asyncio.wait_for(running, 30)
                await self.machine.stop()


def test_a_clock_that_jumps_back_an_hour_loses_doubles_and_turns_nothing_round_and_is_told() -> None:
    line = Line()

    def skews() -> list[dict[str, Any]]:
        return [draft.fields for draft in line.intake.drafts(ClockSkew)]

    async def test(_proxy: Proxy) -> None:
        while line.source is None or line.source.health()["skew_s"] == 0.0:  # the gateway knows the clock
            await line.step()
        await line.heard()  # of one message what is numbered goes by source time
        line.machine.clock_off = -HOUR_NS
        while not skews():
            await line.step()
        for _ in range(20):
            await line.step()

    asyncio.run(line.run(test))
    for name in line.machine.written:
        first = line.arrived(name)[0]
        wanted = line.written(name)
        assert line.arrived(name)[1:] == wanted, (name, first)
    assert line.told() == line.states
    assert line.intake.gaps() == line.intake.gaps("production") == []
    (skew,) = skews()
    assert (skew["within"], round(skew["step"] / HOUR_NS, 1)) == (False, -1.0)


def test_after_a_value_ten_years_ahead_a_cut_has_its_gap_and_states_have_their_times() -> None:
    line = Line("1s")
    honest_server.WAYS.reactivate = honest_server.WAYS.transfer = False
    odd: list[tuple[int, int]] = []

    async def test(proxy: Proxy) -> None:
        for _ in range(10):
            await line.step()
        await line.heard()
        odd.append((micro(line.now() + YEARS_NS), -1))
        await line.machine.write("t0", -1, ua.VariantType.Int64, odd[0][0])
        await eventually_async(lambda: line.arrived("t0")[-1:] == odd, 60)
        proxy.cut()
        for _ in range(20):
            await line.step()
        proxy.restore()
        await eventually_async(lambda: line.arrived()[-1:] == line.written()[-1:], 60)
        for _ in range(10):
            await line.step()

    asyncio.run(line.run(test))
    arrived = {name: [one for one in line.arrived(name) if one not in odd] for name in line.machine.written}
    assert line.arrived("t0").count(odd[0]) == 1
    found = compare(line.machine.written, arrived, line.intake.gaps())
    assert (found.doubled, found.unexplained) == (0, [])
    assert found.missing == found.covered > 0
    assert max(gap["t_to"] for gap in line.intake.gaps()) <= line.now()
    told = [one for one in line.told() if one[1] != "NO_DATA"]
    assert told[-10:] == line.states[-10:]
    assert max(at for at, _ in line.told()) <= line.now()
    lost = {"@state": [one for one in line.states if one not in told]}
    states = compare(lost | {"@state": line.states}, {"@state": told}, line.intake.gaps("production"))
    assert states.unexplained == []
