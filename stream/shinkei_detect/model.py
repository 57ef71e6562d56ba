"""What is known of one machine under one context: a River pipeline that scores a step, decides, then learns from it."""

from __future__ import annotations

from typing import NamedTuple

from shinkei_detect.parts.joint import JointView
from shinkei_detect.parts.level import LevelMonitor
from shinkei_detect.pipeline import ScoreThenLearn
from shinkei_detect.settings import DetectSettings


class Verdict(NamedTuple):
    """Of one step. ``deviations``: signed, per judged signal; ``alarms``: signals in alarm; ``accepted``: whose new level was taken as normal.

    ``joint``: normal-equivalent deviation of how signals move together; ``joint_on``: it is in alarm.
    """

    deviations: dict[str, float]
    alarms: tuple[str, ...]
    accepted: tuple[str, ...]
    joint: float
    joint_on: bool


class ContextModel:
    """Level monitor and joint view of one machine under one context. Deterministic: state changes by `step`, `restart`, `rest` only."""

    def __init__(self, settings: DetectSettings) -> None:
        self.level = LevelMonitor(
            on=settings.on, off=settings.off, warm_up=settings.warm_up, settle=settings.settle, relearn=settings.relearn
        )
        self.joint = JointView(
            on=settings.joint_on, off=settings.joint_off, warm_up=2 * settings.warm_up, relearn=settings.relearn
        )
        self.time = 0  # source time (ns) of the last step
        self.pipeline = ScoreThenLearn(("level", self.level), ("joint", self.joint))

    def step(self, x: dict[str, float]) -> Verdict:
        """Score ``x`` (signal to value), decide, then learn."""
        deviations, joint = self.pipeline.walk_one(x)
        alarms, accepted = [], []
        for name in x:
            level = self.level.levels[name]
            if level.on and name in deviations:
                alarms.append(name)
            elif level.accepted:
                accepted.append(name)
        if self.joint.accepted:
            accepted.append("")
        return Verdict(deviations, tuple(alarms), tuple(accepted), joint, self.joint.alarm)

    def restart(self, grace: int = 0, anew: bool = False, loose: bool = False) -> None:
        """After a gap, a stop, or time in another context: nothing is continued; see `LevelMonitor.restart`."""
        self.level.restart(grace, anew, loose)

    def rest(self) -> None:
        """A copy for another context: scales and correlations stay, levels are learned anew."""
        self.level.rest()
        self.joint.rest()
