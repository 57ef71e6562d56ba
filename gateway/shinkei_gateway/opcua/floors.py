"""From when on a channel that speaks rarely may have missed something: a state that stood for days was heard of until just now. Pure.

Of signals, which are many, nothing is done for a value: every second or so it is looked which have spoken since, and a lag is too long by
that at most. They have no floors over a restart: their gap begins at the last value then.

A response that left nothing behind proves that whatever the server had sampled when it sent it has come, a keep-alive too (Part 4 §5.14.1.2).
It says when by the server's clock. A value's *lag*, from its source time to the time its message was sent, is at least what the two clocks
differ by: taken off, it makes a floor in the machine's clock that is too early when it is wrong, never too late. Called by `translate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import ne
from typing import Any

from shinkei_gateway.gap import NEVER

SPARE_S = 1.0
"""Between a change and its sample, and a sample and its message, servers take this much longer than they promise."""


LOOK_NS = 1_000_000_000
LOOK_CHANNEL_NS = 500_000
"""How often it is looked which signals have spoken: after a second, or this long for each channel (measured: 50 ns of work)."""
LOOK_MOST_NS = 10_000_000_000


def slack(sampling: float, publishing: float) -> int:
    """ns (of s) before the last response within which a change may not have been in it."""
    return int((max(0.0, sampling) + publishing + SPARE_S) * 1e9)


class Floors:
    """``channels``: the client handles of rare channels, with their names. ``pace``: their `slack`; ``limit``: ns that a machine's clocks may differ.

    ``known``: what `state` gave before a restart; ``many``: handles there are, also of signals, whose `slack` is ``signals``.
    """

    def __init__(
        self, channels: Mapping[int, str], pace: int, limit: int, known: Mapping[str, Any] | None = None, many: int = 0
    ) -> None:
        known = known or {}
        self._channels, self._limit = dict(channels), limit
        self.pace: int = known.get("pace", pace)
        self.signals = self.pace
        self._every = min(max(LOOK_NS, many * LOOK_CHANNEL_NS), LOOK_MOST_NS)
        self._looked: int | None = None
        self._seen, self._live = [NEVER] * many, [NEVER] * many
        self._heard: int | None = known.get("heard")
        self._flow: int | None = known.get("flow")
        lags, frozen = known.get("lags", {}), known.get("frozen", {})
        self._lags: dict[int, tuple[int, bool]] = {
            at: (lags[name][0], lags[name][1]) for at, name in self._channels.items() if name in lags
        }
        self._frozen: dict[int, int] = {at: frozen[name] for at, name in self._channels.items() if name in frozen}

    # ---- what came -----------------------------------------------------------------------------------------------------
    def heard(self, sent: int | None) -> None:
        """A response, ``sent`` then (ns by the server's clock), left nothing behind, and none before it is missing."""
        if sent is not None:
            self._heard = sent

    def flowed(self, live: int, sent: int | None) -> None:
        """``live`` is the newest source time of what changed while a message was gathered."""
        if sent is not None:
            self._flow = sent - live

    def said(self, at: int, time: int, sent: int | None, *, is_live: bool) -> None:
        """A value of a channel. Not ``is_live``: it stood there when listening began, since nobody knows when."""
        self._frozen.pop(at, None)
        if sent is None:
            return
        if at not in self._channels:
            self._seen[at] = time
            if is_live:
                self._live[at] = sent - time
            return
        lag, was_live = self._lags.get(at, (sent - time, False))
        if is_live:
            self._lags[at] = (sent - time, True)
        elif not was_live:
            self._lags[at] = (
                min(lag, sent - time),
                False,
            )  # the fresher of two that stood there says more of the clock

    def look(self, lasts: Sequence[int], sent: int | None) -> None:
        """A message that was ``sent`` then is taken; ``lasts``: last source times by handle. Does something now and then only."""
        if sent is None or (self._looked is not None and abs(sent - self._looked) < self._every):
            return
        self._looked, seen = sent, self._seen
        for at in compress(range(len(seen)), map(ne, seen, lasts)):
            if seen[at] != NEVER:  # the first one may have stood there
                self._live[at] = sent - lasts[at]
        self._seen = list(lasts)

    # ---- what may be missing -------------------------------------------------------------------------------------------
    def now(self, at: int, last: int) -> int:
        """Since when something of a channel may be missing, were it lost now; never before ``last``, its last value."""
        if last == NEVER or self._heard is None:
            return last
        if at not in self._channels:
            return self._of_signal(at, last, self._heard - self.signals)
        if at not in self._lags:
            return last
        lag, is_live = self._lags[at]
        until = self._heard - self.pace
        if self._flow is None:
            return max(last, until - lag)
        if is_live:
            return max(last, until - max(lag, self._flow))  # the clocks may have been set since
        # How old the value was when it came is not known: the clock is taken for the one that all nodes of the machine have.
        return max(last, until - lag, until - max(self._flow, 0) - self._limit)

    def _of_signal(self, at: int, last: int, until: int) -> int:
        if self._flow is None or self._seen[at] == NEVER:
            return last
        if self._live[at] != NEVER:
            return max(last, until - max(self._live[at], self._flow))
        return max(last, until - max(self._flow, 0) - self._limit)

    def freeze(self, lasts: Sequence[int], handles: Iterable[int] | None = None) -> None:
        """Nothing is heard of these channels (None: of all) from now on; who waits already goes on waiting since then."""
        for at in range(len(self._seen)) if handles is None else handles:
            if at not in self._frozen:
                self._frozen[at] = self.now(at, lasts[at])

    def thaw(self, handles: Iterable[int]) -> None:
        """Nothing is missing of these after all."""
        for at in handles:
            self._frozen.pop(at, None)

    def since(self, at: int, since: int, time: int) -> int:
        """The later of ``since`` and the channel's floor; a first value at ``time`` before the floor says that the clock was set: no floor then."""
        floor = self._frozen.get(at, NEVER)
        return floor if since < floor < time else since

    # ---- over a restart --------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """For the resume state."""
        names = self._channels
        return {
            "pace": self.pace, "heard": self._heard, "flow": self._flow,
            "lags": {names[at]: [lag, is_live] for at, (lag, is_live) in self._lags.items()},
            "frozen": {name: self._frozen[at] for at, name in names.items() if self._frozen.get(at, NEVER) != NEVER},
        }  # fmt: skip
