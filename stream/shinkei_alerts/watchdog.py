"""Whether each gateway that ought to speak does. Pure: what was heard and when in, verdicts out.

A gateway repeats its claim on the log every few seconds, also when every machine is quiet. Nothing is said while the log itself does not
answer, nor for a while after: a silence that nobody could have heard is none. `ear` feeds it, `worker` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LOOK_COUNTS_S = 10.0
"""An ear that has not looked at the log for so long hears nothing itself."""
FORGOTTEN_NS = 7 * 86_400 * 10**9
"""A gateway that has been away for longer when this part starts is not expected any more."""


class Verdict(NamedTuple):
    """``source`` (``gateway/ID/SHARD``) is silent since ``time``, or speaks (again, at ``time``). ns UTC."""

    source: str
    silent: bool
    time: int


class Watchdog:
    """``limit``: seconds of silence that are too many. Moments (``at``) are monotonic seconds. Fed by one thread and asked by another."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._known: dict[str, int] = {}
        self._heard: dict[str, tuple[int, float]] = {}
        self._looked: tuple[float, float] | None = None

    def knows(self, source: str, time: int) -> None:
        """An old claim of ``time`` (ns UTC) is on the log: such a gateway is expected, and whether it is there is to be heard."""
        self._known[source] = max(time, self._known.get(source, 0))

    def hears(self, source: str, time: int, at: float) -> None:
        """The gateway's claim of ``time`` (ns UTC) came."""
        self._heard[source] = (time, at)

    def looks(self, at: float) -> None:
        """The log answers."""
        looked = self._looked
        is_on = looked is not None and at - looked[1] <= LOOK_COUNTS_S
        self._looked = (looked[0], at) if is_on and looked is not None else (at, at)

    def is_deaf(self) -> None:
        """The log does not answer: nothing is known of anybody from now on."""
        self._looked = None

    def judge(self, expected: Mapping[str, int], now: int, at: float) -> list[Verdict]:
        """Of each gateway of ``expected`` (with the time, ns UTC, of its last record) what is certain at ``now``; nothing of the others."""
        looked, found = self._looked, []
        if looked is None or at - looked[1] > LOOK_COUNTS_S:
            return []
        for source, recorded in sorted(expected.items()):
            heard, known = self._heard.get(source), self._known.get(source)
            last = max(recorded, known or 0, heard[0] if heard else 0)
            if heard is not None and heard[1] >= looked[0] and at - heard[1] <= self._limit:
                found.append(Verdict(source, False, heard[0]))
            elif heard is None and (known is None or now - last > FORGOTTEN_NS):
                continue  # something that never claims, or was given up
            elif at - max(looked[0], heard[1] if heard else looked[0]) > self._limit:
                found.append(Verdict(source, True, last))
        return found


def name_of(source: str) -> str:
    """What people call it: the gateway's id, and the shard where it is not the usual one."""
    _, gateway, shard = source.split("/", 2)
    return gateway if shard == "0" else f"{gateway}/{shard}"
