"""However a machine's clock, a server's pace and the network are: what was never heard of a rare channel lies in its gap, and the gap is no wider."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import product, takewhile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shinkei_events.settings import strict
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.translate import Translated, Translator

MS = 1_000_000
S = 1000
SETTINGS = strict(
    {
        "type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "machine": "M1", "security": "none",
        "signals": [{"node": "s=a", "name": "a"}, {"node": "s=b", "name": "b"}], "state": {"node": "s=State"},
        "handshakes": [{"name": "cycle", "trigger": "s=Done", "operation": "s=Op"}],
    },
    OpcuaSource,
    "x",
)  # fmt: skip
ITEMS = plan(SETTINGS)
SIGNAL, RARE, STATE, DONE = (
    next(at for at, item in enumerate(ITEMS) if item.node == node) for node in ("s=a", "s=b", "s=State", "s=Done")
)
CHANNELS = {SIGNAL: "a", RARE: "b", STATE: "@state", DONE: "@cycle"}
LOOKED = 6 * S
"""By so much the gap of a signal may begin earlier: what the machine's clocks may differ, and a look."""
END = 60 * S


@dataclass
class World:
    """Times in ms of a true clock. ``ahead``: of the machine's clock, ``server``: of the server's. Changes are sampled and sent by two grids.

    Two cuts, with a new subscription after each; ``near``: changes beside the ``states``, (samplings, ms) from the last sampling before the first cut.
    """

    states: list[int]
    near: list[tuple[int, int]]
    signals: int
    sampling: int
    publishing: int
    keepalive: int
    most: int
    ahead: int
    server: int
    delays: list[int]
    cut: int
    away: int
    short: int
    restored: int
    restart: bool
    heard: set[tuple[int, int]] = field(default_factory=set)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    proved: int | None = None

    def machine(self, at: int) -> int:
        return (10**6 + at + self.ahead) * MS

    def sampled(self) -> list[tuple[int, int, int]]:
        """(sampled, handle, written) of every change that a sampling sees."""
        found = []
        for handle, writes in (
            (STATE, self.states),
            (DONE, self.states),
            (RARE, self.states),
            (SIGNAL, range(7, END, self.signals)),
        ):
            latest = {-(-w // self.sampling) * self.sampling: w for w in sorted(writes)}
            found += [(at, handle, w) for at, w in latest.items()]
        return sorted(found)

    def run(self) -> None:
        """Hear it: a subscription until the cut, another one after it."""
        grid = self.cut - self.cut % self.sampling
        self.states = sorted({*self.states, *(grid + step * self.sampling + by for step, by in self.near)})
        self.samples = self.sampled()
        self.values = {w: at + 1 for at, w in enumerate(sorted(self.states))}
        made = Translator("src", SETTINGS, ITEMS, None, 0)
        made.paced(self.sampling / 1000, self.publishing / 1000, self.sampling / 1000)
        resume = None
        for begin, end in (
            (0, self.cut),
            (self.cut + self.away, self.cut + self.away + self.short),
            (self.restored, END),
        ):
            resume = self._listen(made, begin, end, resume)
            if self.restart:
                made = Translator("src", SETTINGS, ITEMS, json.loads(json.dumps(resume)) if resume else None, 0)
            else:
                made.interrupted("session_lost")
        if (late := made.idle(2 * END * MS, 2 * END * MS)) is not None:
            self._took(late)

    def _listen(self, made: Translator, begin: int, end: int, resume: Any) -> Any:
        initial = {handle: (at, handle, w) for at, handle, w in self.samples if at <= begin}
        queue = [*initial.values(), *(one for one in self.samples if begin < one[0])]
        quiet, clock = 0, begin
        for at in range(begin - begin % self.publishing + self.publishing, END, self.publishing):
            clock = max(clock, at + self.delays[at // self.publishing % len(self.delays)])  # in order, late
            if clock >= end:
                return resume
            ready = list(takewhile(lambda one, at=at: one[0] <= at, queue))  # type: ignore[misc]
            quiet += 1
            if not ready and quiet < self.keepalive:
                continue
            quiet, part, queue = 0, ready[: self.most], queue[min(len(ready), self.most) :]
            sent = (5 * 10**6 + at + self.server) * MS
            if part:
                told = [(h, self._value(h, w), 0, self.machine(w), self.machine(w)) for _, h, w in part]
                is_all = len(part) == len(ready)
                found = made.take(told, [], clock * MS, clock * MS, sent, is_all=is_all)
                self.heard |= {(h, w) for _, h, w in part}
                resume = self._took(found)
            else:
                is_all = True
                made.proved(sent)
            if is_all and end == self.cut and (part or not self.restart):
                self.proved = at
        return resume

    def _value(self, handle: int, written: int) -> Any:
        if handle in (SIGNAL, RARE):
            return float(written)
        return f"S{self.values[written]}" if handle == STATE else self.values[written]

    def _took(self, found: Translated) -> Any:
        self.gaps += [gap.fields for gap in found.gaps]
        return found.resume

    def missed(self, handle: int) -> list[int]:
        """When changes were written that a sampling saw, after the first that was heard, and nobody heard of."""
        own = [w for h, w in self.heard if h == handle]
        return [
            w for _, h, w in self.samples
            if h == handle and own and min(own) < w < max(own) and (handle, w) not in self.heard
        ]  # fmt: skip

    def spans(self, channel: str) -> list[tuple[int, int]]:
        all_signals = [] if channel in ("a", "b") else None
        return [
            (g["t_from"], g["t_to"])
            for g in self.gaps
            if (channel in g["channels"] or g["channels"] == all_signals) and g["cause"] != "overflow"
        ]


worlds = st.builds(
    World,
    states=st.lists(st.integers(1, END - 1), min_size=1, max_size=6, unique=True),
    near=st.lists(st.tuples(st.integers(-1, 1), st.integers(-300, 300)), max_size=5, unique=True),
    signals=st.sampled_from([400, 3000, 20_000, END]),
    sampling=st.sampled_from([10, 100, 1000, 3000]),
    publishing=st.sampled_from([250, 500, 2000]),
    keepalive=st.integers(1, 10),
    most=st.sampled_from([1, 2, 1000]),
    ahead=st.sampled_from([-3_600_000, -7, 0, 900]),
    server=st.sampled_from([-4_000_000, 0, 500]),
    delays=st.lists(st.sampled_from([0, 5, 400, 9000]), min_size=1, max_size=9),
    cut=st.integers(7 * S, 25 * S),
    away=st.integers(1, 5 * S),
    short=st.integers(1, 4 * S),
    restored=st.integers(36 * S, 50 * S),
    restart=st.booleans(),
)


def covered(world: World) -> None:
    for handle, channel in CHANNELS.items():
        for written in world.missed(handle):
            at = world.machine(written)
            assert any(begin <= at <= end for begin, end in world.spans(channel)), (
                channel,
                written,
                world.spans(channel),
            )


@given(world=worlds)
def test_what_was_not_heard_of_a_rare_channel_is_in_its_gap(world: World) -> None:
    world.run()
    covered(world)


def test_the_change_that_was_sampled_after_the_last_response_is_in_the_gap() -> None:
    """The worst there is: the last value was heard of at once, and the one that is lost was written right after that sampling."""
    for sampling, publishing, age, after in product((1000, 3000), (250, 500), (0, 90), (1, 40, 700)):
        grid = 6 * sampling
        states = [1, grid - age, grid + after, grid + sampling + 400]
        cut, restored = grid + sampling, 40 * S
        world = World(states, [], END, sampling, publishing, 1, 1000, 0, 0, [0], cut, 1, 1, restored, restart=False)
        world.run()
        assert world.missed(STATE) == [grid + after], world
        covered(world)


@given(world=worlds)
def test_a_gap_of_a_rare_channel_begins_where_it_was_last_heard_of(world: World) -> None:
    """By as much too early as the server may hold a value back, twice: its last value and the one that is lost may both have waited."""
    world.most = 1000
    world.run()
    held = world.sampling + world.publishing
    live = [w for h, w in world.heard if h == STATE and w < world.cut][1:]
    if world.proved is not None and live:
        counted = {w for _, h, w in world.samples if h == DONE} == set(
            world.states
        )  # else no sampling saw some, cut or not
        for begin, end in world.spans("@state") + (world.spans("@cycle") if counted else []):
            if end < world.machine(world.cut):
                continue  # counts that no sampling saw
            assert begin >= world.machine(world.proved) - (2 * held + 1000) * MS
        for begin, end in world.spans("b") if not world.restart else ():
            if end >= world.machine(world.cut):
                assert begin >= world.machine(world.proved) - (2 * held + 1000 + LOOKED) * MS
