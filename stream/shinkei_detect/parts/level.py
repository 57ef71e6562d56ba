"""Level monitor: is a signal where it usually is? A fast mean against a slow reference that learns only while things are normal.

It knows values, not times or numbers: one call is one step of its machine. The model asks it first and lets it learn then.
"""

from __future__ import annotations

import math
from typing import Any

from river import base

KNOWN_NOISE = 30
"""Steps after which the noise is known well enough to clip single outliers by it."""

YOUNG = 1.7
"""Weight of the latest in a young mean of the wander: at 1, what a start leaves behind blinds it for minutes; at 2, it follows a slow
drift so fast that a tool wearing out in the first five minutes is not seen (on the simulated line, 0 of 3 against 3 of 3)."""

Features = dict[Any, Any]
"""Signal name to value; River's type of a sample."""


class Level:
    """What is known of one signal. ``z``: signed deviation at the last step, in units of the signal's own usual wander."""

    __slots__ = (
        "accepted",
        "fast",
        "fast_n",
        "grace",
        "held",
        "last",
        "noise",
        "noise_n",
        "on",
        "ref",
        "ref_n",
        "wander",
        "wander_n",
        "z",
    )

    def __init__(self) -> None:
        self.fast = self.ref = self.z = 0.0
        self.wander = self.noise = 0.0
        self.fast_n = self.ref_n = self.wander_n = self.noise_n = 0
        self.held = self.grace = 0
        self.on = self.accepted = False
        self.last: float | None = None


class LevelMonitor(base.AnomalyDetector, base.Transformer):
    """Deviation of each signal's fast mean from its gated slow reference, scaled by what is usual for that very signal.

    Good at shifts and drifts that last longer than ``fast`` steps, whatever the unit and noise of a signal; blind to single
    spikes (clipped) and to changes of spread alone. A signal in alarm stops learning, its neighbours go on. After ``relearn``
    steps in alarm the new level is accepted and said so (`accepted`). Score: the largest ``|z|``, 0 is normal, ``on`` opens.
    Cost: about 3 µs per signal and step; some 300 bytes of state per signal.

    Parameters
    ----------
    fast, slow, spread, noise
        Memory in steps of the fast mean, the reference, the usual wander (root mean square of fast minus reference) and the noise
        (from first differences).
    on, off
        Hysteresis in units of the scale; ``on`` is half as wide again until a copied model has seen ``warm_up`` steps itself.
    clip, cap
        A value counts at most ``clip`` noises plus one wander away from the fast mean; a deviation widens the wander at most as
        ``cap`` times what it is.
    warm_up, settle
        Steps learned before a signal is judged at all, and after a restart or a change-over when its scale is known already.
    relearn
        Steps in alarm after which the new level is the reference; 0: never.
    grain
        Floor of the scale, relative to the reference: finer than this no signal is believed.

    Examples
    --------
    >>> monitor = LevelMonitor(warm_up=50)
    >>> for step in range(300):
    ...     monitor.learn_one({"flow": 32.0 + 0.1 * (step % 3)})
    >>> monitor.score_one({"flow": 32.1}) < 1
    True
    >>> for step in range(10):
    ...     monitor.learn_one({"flow": 29.0})
    >>> monitor.levels["flow"].on
    True
    """

    def __init__(
        self,
        fast: int = 10,
        slow: int = 600,
        spread: int = 600,
        noise: int = 100,
        on: float = 4.0,
        off: float = 2.5,
        clip: float = 3.0,
        cap: float = 4.0,
        warm_up: int = 120,
        settle: int = 30,
        relearn: int = 3600,
        grain: float = 1e-3,
    ) -> None:
        self.fast, self.slow, self.spread, self.noise = fast, slow, spread, noise
        self.on, self.off, self.clip, self.cap = on, off, clip, cap
        self.warm_up, self.settle, self.relearn, self.grain = warm_up, settle, relearn, grain
        self.levels: dict[str, Level] = {}
        self._still = 1.0 / (2.0 * fast - 1.0)  # variance of an EWMA of white noise: a / (2 - a) with a = 1 / fast

    def score_one(self, x: Features) -> float:
        """The largest ``|z|`` of `transform_one`; changes nothing."""
        return max(map(abs, self.transform_one(x).values()), default=0.0)

    def transform_one(self, x: Features) -> Features:
        """``z`` of each signal in ``x`` that is known well enough to be judged and is not on its way back; changes nothing."""
        found = {}
        for name, value in x.items():
            level = self.levels.get(name)
            if level is not None and self._known(level) and level.fast_n * 2 >= self.fast:
                z = self._peek(level, value)[1]
                if not level.grace or abs(z) <= self.off:
                    found[name] = z
        return found

    def learn_one(self, x: Features) -> None:
        """Decide for each signal whether it is in alarm, then learn from it unless it is."""
        levels = self.levels
        for name, value in x.items():
            level = levels.get(name)
            if level is None:
                level = levels[name] = Level()
            self._learn(level, value)

    def restart(self, grace: int = 0, anew: bool = False, loose: bool = False) -> None:
        """The past is not connected to what comes next (a gap, a stop): fast means begin again, what was learned stays.

        Signals that are away from their level now, and were not in alarm before, have ``grace`` steps to come back (what has cooled
        down warms up); until then they are neither judged nor learned. ``anew``: after so long a stop levels are learned anew.
        ``loose``: so long in another context, limits are half as wide again for a while and references follow quicker.
        """
        for level in self.levels.values():
            level.fast_n, level.last = 0, None
            if not level.on:
                level.grace = grace
                if anew or loose:
                    level.ref_n = min(level.ref_n, 0 if anew else self.settle)

    def rest(self) -> None:
        """Another tool or product: the scales stay, the levels are learned anew, and nothing is in alarm."""
        for level in self.levels.values():
            level.on = level.accepted = False
            level.held = 0
            level.z = 0.0
        self.restart(anew=True)

    def forget(self, name: str) -> None:
        """The level of signal ``name`` was learned from values that were not its own (a stuck sensor): learn it anew, keep its scale."""
        level = self.levels.get(name)
        if level is not None:
            level.on, level.fast_n, level.ref_n, level.held, level.grace, level.last = False, 0, 0, 0, 0, None

    def _known(self, level: Level) -> bool:
        return level.ref_n >= (self.settle if level.wander_n >= self.warm_up else self.warm_up)

    def _peek(self, level: Level, value: float) -> tuple[float, float, float]:
        """Fast mean with ``value`` in it, ``z`` of it, and the noise's variance in it."""
        n = level.fast_n
        if n == 0:
            fast, share = value, 1.0
        else:
            gain = 1.0 / (n + 1) if n < self.fast else 1.0 / self.fast
            away = value - level.fast
            if level.noise_n > KNOWN_NOISE:
                least = self.on * self.fast * self.grain * abs(level.ref)
                limit = self.clip * math.sqrt(level.noise) + math.sqrt(level.wander) + least
                away = min(limit, max(-limit, away))
            fast = level.fast + gain * away
            share = 1.0 / (n + 1) if n < self.fast else self._still
        still = share * level.noise
        if level.ref_n == 0:
            return fast, 0.0, still
        floor = self.grain * level.ref
        return fast, (fast - level.ref) / (math.sqrt(level.wander + 0.25 * still + floor * floor) + 1e-12), still

    def _learn(self, level: Level, value: float) -> None:
        fast, z, still = self._peek(level, value)
        level.accepted = False
        returning = False
        if not self._known(level):
            level.grace = 0
        elif level.fast_n * 2 >= self.fast:
            returning = self._decide(level, abs(z))
        else:
            returning = level.grace > 0
        level.z, level.fast, level.fast_n = z, fast, level.fast_n + 1
        if level.last is not None and not level.on:
            self._learn_noise(level, value - level.last)
        level.last = value
        if level.on:
            self._hold(level)
        elif not returning:
            level.held = 0
            self._learn_level(level, still)

    def _decide(self, level: Level, z: float) -> bool:
        """Set ``on``; True while the signal is on its way back after a stop."""
        if level.grace:
            level.grace = level.grace - 1 if z > self.off else 0
            if z > self.off:
                return True
        wide = 1.5 if level.ref_n < self.warm_up else 1.0
        level.on = z > self.off * wide if level.on else z > self.on * wide
        return False

    def _hold(self, level: Level) -> None:
        level.held += 1
        if self.relearn and level.held >= self.relearn:
            level.on, level.accepted, level.held, level.ref, level.ref_n = False, True, 0, level.fast, 0

    def _learn_level(self, level: Level, still: float) -> None:
        if level.ref_n and level.fast_n > self.fast:
            self._learn_wander(level, level.fast - level.ref, still)
        level.ref_n += 1
        level.ref += max(1.0 / self.slow, 2.0 / (level.ref_n + 1)) * (level.fast - level.ref)

    def _learn_noise(self, level: Level, step: float) -> None:
        power = 0.5 * step * step
        if level.noise_n > KNOWN_NOISE:
            power = min(power, 16.0 * level.noise + (self.grain * level.ref) ** 2)
        level.noise_n += 1
        level.noise += max(1.0 / self.noise, 1.0 / level.noise_n) * (power - level.noise)

    def _learn_wander(self, level: Level, away: float, still: float) -> None:
        power = away * away
        if level.wander_n > 2 * KNOWN_NOISE:
            power = min(power, self.cap * self.cap * level.wander + 4.0 * still + (self.grain * level.ref) ** 2)
        level.wander_n += 1
        level.wander += max(1.0 / self.spread, YOUNG / (level.wander_n + YOUNG)) * (power - level.wander)
