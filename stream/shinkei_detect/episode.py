"""One anomaly per episode: it opens with the first alarm of a machine, is updated when more is to be said, and closes after calm. Pure.

An episode's id depends on the reading that opened it and the rule that spoke, on nothing else. Time without data is not calm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shinkei_detect.explain import Peak, contributions, joint_peaks, level_peak
from shinkei_detect.model import ContextModel, Verdict
from shinkei_detect.settings import DetectSettings
from shinkei_detect.steps import Step
from shinkei_detect.surprise import one_sided, two_sided
from shinkei_events.identity import StreamId, anomaly_id
from shinkei_events.model.anomaly import AnomalyChanged, Phase
from shinkei_events.model.frame import Context

GROWN = 1.5
"""An episode is updated when its peak deviation is this many times what was said last."""

JOINT = ""
"""The joint view's place among the signals that rise (no signal has an empty name)."""


@dataclass(slots=True)
class Episode:
    """An open anomaly. ``last``/``ended``: number and time (ns) of the last step in alarm. ``said``: peak deviation at the last revision."""

    id: str
    rule: str
    first: int
    began: int
    last: int
    ended: int
    context: Context
    revision: int = 0
    peak: float = 0.0
    said: float = 0.0
    calm: int = 0
    learned: bool = False
    joined: set[str] = field(default_factory=set)
    peaks: dict[str, Peak] = field(default_factory=dict)


class Episodes:
    """The anomalies of one stream, one open at most. ``name``: the detector's; ``version``: of code and configuration."""

    def __init__(self, stream: StreamId, settings: DetectSettings, name: str, version: str) -> None:
        self._stream, self._settings, self._name, self._version = stream, settings, name, version
        self._rising: dict[str, tuple[int, int]] = {}
        self.open: Episode | None = None

    def see(self, step: Step, verdict: Verdict, model: ContextModel) -> list[AnomalyChanged]:
        """What a judged step changes: nothing, or one revision."""
        self._note_rising(step, verdict)
        loud = bool(verdict.alarms) or verdict.joint_on
        episode = self.open
        if episode is None:
            return [self._open(step, verdict, model)] if loud else []
        if verdict.accepted:
            episode.learned = True
        if not loud:
            episode.calm += 1
            if verdict.accepted or episode.calm >= self._settings.calm:
                return self.close(step)
            return []
        episode.calm, episode.last, episode.ended = 0, step.last, step.time
        news = self._take_in(episode, step, verdict, model)
        return [self._say(episode, "updated", step.time)] if news else []

    def close(self, step: Step | None = None) -> list[AnomalyChanged]:
        """Ends what is open, at its last step in alarm: it is calm, or another context begins."""
        episode, self.open = self.open, None
        if step is None:
            self._rising.clear()
        return [self._say(episode, "closed", step.time if step else episode.ended)] if episode else []

    def _note_rising(self, step: Step, verdict: Verdict) -> None:
        rising, settings = self._rising, self._settings
        for name, z in verdict.deviations.items():
            if abs(z) < settings.off:
                if name in rising:
                    del rising[name]
            elif name not in rising:
                rising[name] = (step.first, step.began)
        if verdict.joint < settings.joint_off:
            rising.pop(JOINT, None)
        elif JOINT not in rising:
            rising[JOINT] = (step.first, step.began)

    def _open(self, step: Step, verdict: Verdict, model: ContextModel) -> AnomalyChanged:
        rule = "level" if verdict.alarms else "joint"
        causes = verdict.alarms or (JOINT,)
        first, began = min(self._rising.get(name, (step.first, step.began)) for name in causes)
        cause = anomaly_id(self._stream, step.last, rule)
        episode = self.open = Episode(cause, rule, first, began, step.last, step.time, step.context)
        self._take_in(episode, step, verdict, model)
        return self._say(episode, "opened", step.time)

    def _take_in(self, episode: Episode, step: Step, verdict: Verdict, model: ContextModel) -> bool:
        """Adds what the step shows; tells whether it is worth a revision."""
        here = (episode.first, episode.began)
        for name, z in verdict.deviations.items():
            if abs(z) >= self._settings.off:
                peak = level_peak(model, name, self._rising.get(name, here)[1], step.values.get(name))
                self._higher(episode, name, peak)
        if verdict.joint_on and not verdict.alarms:
            since = self._rising.get(JOINT, here)[1]
            for name, peak in joint_peaks(model, verdict.deviations, since, step.values).items():
                self._higher(episode, name, peak)
        strongest = max((abs(verdict.deviations.get(name, 0.0)) for name in verdict.alarms), default=0.0)
        if verdict.joint_on and episode.rule == "joint":
            strongest = max(strongest, verdict.joint)
        episode.peak = max(episode.peak, strongest)
        new = set(verdict.alarms) - episode.joined
        episode.joined |= new
        return bool(new) or episode.peak >= GROWN * episode.said or bool(verdict.accepted)

    @staticmethod
    def _higher(episode: Episode, name: str, peak: Peak) -> None:
        known = episode.peaks.get(name)
        if known is None or peak.weight > known.weight:
            if known is not None:
                peak.since = known.since
            episode.peaks[name] = peak

    def _say(self, episode: Episode, phase: Phase, time: int) -> AnomalyChanged:
        episode.revision += 1
        episode.said = episode.peak
        surprise = two_sided if episode.rule == "level" else one_sided
        peak = surprise(episode.peak)
        threshold = surprise(self._settings.on if episode.rule == "level" else self._settings.joint_on)
        return AnomalyChanged(
            id=episode.id, revision=episode.revision, phase=phase, finding="anomaly", rule=episode.rule, machine=self._stream.machine,
            stream=self._stream, first=episode.first, last=episode.last, began=episode.began, time=time,
            ended=episode.ended if phase == "closed" else None, score=peak, threshold=threshold, peak=peak,
            signals=contributions(episode.peaks), context=episode.context, detector=self._name, model=self._version,
            learned=episode.learned,
        )  # fmt: skip
