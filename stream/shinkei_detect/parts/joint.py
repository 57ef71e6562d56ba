"""Joint view: do the signals of a machine move together as they usually do? Hotelling's T² on the level monitor's deviations.

Each signal alone may be within its wander while two that always rose together part. It sees deviations by name, one step a call.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from river import base

Deviations = dict[Any, Any]
Vector = npt.NDArray[np.floating[Any]]

DOUBT = 0.1
"""Weight of steps that are odd and not yet an alarm: what never becomes one is learned in the end."""

SMALLEST_USUAL = 0.3
"""Floor of what T²/d usually is: a machine that was too calm to be true must not make everything else surprising."""


class JointView(base.AnomalyDetector):
    """T² of the deviations against their own exponentially weighted mean and covariance, as a normal-equivalent deviation.

    The largest single part of T² is left out: one signal alone is the level monitor's matter. The covariance is kept, not its inverse (`river.covariance.EwaPrecision` grows without bound when a signal stands still), with a
    ridge, and solved per step. T² is divided by what it usually is here, then mapped by Wilson and Hilferty (1931) so that ``on``
    and ``off`` mean the same for 2 and for 50 signals. It learns only from steps that are normal to it and to each signal alone.
    Score: 0 or less is normal. Cost: about 30 µs a step with 8 signals, O(d³) with d ≤ ``most``; d² floats of state.

    Parameters
    ----------
    memory
        Memory in steps of mean and covariance.
    on, off
        Hysteresis of the normal-equivalent deviation.
    warm_up
        Steps learned before anything is judged.
    ridge
        Added to each variance: deviations are in units of wander, so this is a floor of 1 / √ridge times less than usual.
    cap
        A deviation counts at most this much; ``calm``: it learns from steps in which none is larger.
    relearn
        Steps in alarm after which what is seen is learned all the same; 0: never.
    most
        Signals looked at, in the order in which they came first.

    Examples
    --------
    >>> view = JointView(warm_up=50)
    >>> for step in range(400):
    ...     up = (step % 7 - 3) / 3
    ...     view.learn_one({"pressure": up, "flow": up, "current": up})
    >>> view.score_one({"pressure": 1.0, "flow": 1.0, "current": 1.0}) < 2
    True
    >>> view.score_one({"pressure": 2.0, "flow": -2.0, "current": 2.0}) > view.on
    True
    """

    def __init__(
        self,
        memory: int = 600,
        on: float = 5.0,
        off: float = 3.0,
        warm_up: int = 300,
        ridge: float = 0.25,
        cap: float = 6.0,
        calm: float = 3.0,
        relearn: int = 3600,
        most: int = 64,
    ) -> None:
        self.memory, self.on, self.off, self.warm_up = memory, on, off, warm_up
        self.ridge, self.cap, self.calm, self.relearn, self.most = ridge, cap, calm, relearn, most
        self.alarm = self.accepted = False
        self.held = self.learned = 0
        self.usual = 1.0
        self._place: dict[str, int] = {}
        self._mean: Vector = np.zeros(0)
        self._cov: Vector = np.zeros((0, 0))

    def score_one(self, x: Deviations) -> float:
        """Normal-equivalent deviation of ``x`` from how the signals usually move together; changes nothing."""
        if self.learned < self.warm_up:
            return 0.0
        return self._normal(*self._shared(x))

    def learn_one(self, x: Deviations) -> None:
        """Decide, then learn from ``x`` if it is normal."""
        self._grow(x)
        away, _ = self._away(x)
        if not len(away):
            return
        shared, freedom = self._shared(x)
        score = self._normal(shared, freedom)
        self._decide(score)
        loud = any(abs(value) > self.calm for value in x.values())
        if self.alarm or (loud and not self.accepted):
            return
        self.learned += 1
        gain = max(1.0 / self.memory, 2.0 / (self.learned + 1))
        if score > self.off:
            gain *= DOUBT
        if freedom:
            self.usual += gain * (min(shared / freedom, 4.0 * self.usual) - self.usual)
        self._mean = self._mean + gain * away
        self._cov = self._cov + gain * (np.outer(away, away) - self._cov)

    def contributions(self, x: Deviations) -> dict[str, float]:
        """Each signal's part of T² (not negative; they add up to about T²)."""
        away, _ = self._away(x)
        parts = away * self._solve(away)
        return {name: max(0.0, float(parts[at])) for name, at in self._place.items() if name in x}

    def rest(self) -> None:
        """Another tool or product: how signals move together is kept, nothing is in alarm, and it is watched anew for a while."""
        self.alarm = self.accepted = False
        self.held = 0
        self.learned = min(self.learned, self.warm_up // 2)

    def _grow(self, x: Deviations) -> None:
        new = [name for name in x if name not in self._place][: max(0, self.most - len(self._place))]
        if not new:
            return
        for name in new:
            self._place[name] = len(self._place)
        old, size = len(self._mean), len(self._place)
        mean, cov = np.zeros(size), np.eye(size)
        mean[:old], cov[:old, :old] = self._mean, self._cov
        self._mean, self._cov = mean, cov

    def _away(self, x: Deviations) -> tuple[Vector, int]:
        """Difference from the mean, 0 for signals that are not in ``x``; and how many are."""
        away = np.zeros(len(self._place))
        seen, cap, place, mean = 0, self.cap, self._place, self._mean
        for name, value in x.items():
            at = place.get(name)
            if at is not None:
                away[at] = min(cap, max(-cap, value)) - mean[at]
                seen += 1
        return away, seen

    def _solve(self, away: Vector) -> Vector:
        if not len(away):
            return away
        solved: Vector = np.linalg.solve(self._cov + self.ridge * np.eye(len(away)), away)
        return solved

    def _shared(self, x: Deviations) -> tuple[float, int]:
        """T² without its largest single part, and its degrees of freedom."""
        away, seen = self._away(x)
        if seen < 2:
            return 0.0, 0
        parts = away * self._solve(away)
        return max(0.0, float(parts.sum() - parts.max())), seen - 1

    def _normal(self, shared: float, freedom: int) -> float:
        if not freedom:
            return 0.0
        ratio = shared / (freedom * max(self.usual, SMALLEST_USUAL))
        spread = 2.0 / (9.0 * freedom)
        return float((ratio ** (1.0 / 3.0) - (1.0 - spread)) / math.sqrt(spread))

    def _decide(self, score: float) -> None:
        self.accepted = False
        if self.learned < self.warm_up:
            return
        self.alarm = score > (self.off if self.alarm else self.on)
        self.held = self.held + 1 if self.alarm else 0
        if self.alarm and self.relearn and self.held >= self.relearn:
            self.rest()
            self.accepted = True
