"""A machine with more signals than are remembered one by one: after a crash the gap begins before everything that may be missing."""

from __future__ import annotations

import json

import pytest

from shinkei_events.settings import strict
from shinkei_gateway.gap import MAX_REMEMBERED
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.translate import Translated, Translator

S = 1_000_000_000
T = 1_700_000_000 * S
COUNT = MAX_REMEMBERED + 44
SLOW, WAITING = COUNT - 1, COUNT - 2
BAD_WAITING = 0x8032_0000


class Machine:
    """``COUNT`` signals, of which `SLOW` is sampled every 30 s; the process may end and begin again."""

    def __init__(self) -> None:
        signals = [{"node": f"s=n{at}", "name": f"n{at}"} for at in range(COUNT - 1)]
        signals.append({"node": "s=slow", "name": "slow", "sampling": "30s"})
        said = {
            "type": "opcua",
            "url": "opc.tcp://127.0.0.1:4840",
            "machine": "M1",
            "security": "none",
            "signals": signals,
        }
        self.settings = strict(said, OpcuaSource, "x")
        self.items = plan(self.settings)
        self.resume = "null"
        self.again()

    def again(self) -> None:
        """A new process; the subscription is lost."""
        self.made = Translator("src", self.settings, self.items, json.loads(self.resume), 0)
        self.made.paced(0.05, 0.1, 30.0)

    def say(self, time: float, handles: range, *, received: float | None = None, status: int = 0, more: bool = False) -> Translated:  # fmt: skip
        at = T + int(time * S)
        told = [(handle, None if status else 1.0, status, at, at) for handle in handles]
        found = self.made.take(told, [], T + int((time if received is None else received) * S), 0, is_all=not more)
        self.resume = json.dumps(found.resume)
        return found


def begin(found: Translated) -> float:
    """Of the earliest of its gaps, s."""
    return min(gap.fields["t_from"] - T for gap in found.gaps) / S


def test_a_value_that_waited_for_its_slow_sampling_is_in_the_gap() -> None:
    """Written 25 s before the newest value came, sampled after the crash: nobody will ever see it."""
    machine = Machine()
    machine.say(0, range(COUNT))
    machine.say(100, range(SLOW))
    machine.again()
    assert begin(machine.say(200, range(COUNT))) < 75


def test_what_was_still_to_be_told_when_the_process_ended_is_in_the_gap() -> None:
    """After a cut a server tells node after node what its queues hold: the newest value of the first is no proof for the last."""
    machine = Machine()
    machine.say(0, range(COUNT))
    machine.say(600, range(100), more=True)
    machine.again()
    assert begin(machine.say(700, range(COUNT))) < 0


@pytest.mark.parametrize("told", [0, 100, COUNT - 1])
def test_a_gap_that_was_not_told_yet_is_not_forgotten_by_the_next_crash(told: int) -> None:
    machine = Machine()
    machine.say(0, range(COUNT))
    machine.again()
    machine.say(600, range(told))
    machine.again()
    assert begin(machine.say(700, range(COUNT))) < 0


def test_a_node_that_never_gets_a_value_does_not_hold_up_the_others() -> None:
    machine = Machine()
    for time in range(0, 5000, 1000):
        machine.say(time, range(WAITING))
        machine.say(time + 1, range(SLOW, COUNT))
        machine.say(time + 2, range(WAITING, SLOW), status=BAD_WAITING)
        machine.again()
    assert begin(machine.say(5000, range(WAITING))) > 3900


def test_a_time_years_ahead_moves_the_gap_into_no_future() -> None:
    machine = Machine()
    machine.say(0, range(COUNT))
    machine.say(10**8, range(1), received=100)
    machine.again()
    assert begin(machine.say(200, range(COUNT))) < 100
