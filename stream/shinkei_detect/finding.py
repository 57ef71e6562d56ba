"""Findings about the data themselves: a sensor that stands still, values of bad quality, a clock that was set back. Pure.

They are not anomalies of the machine; nothing is learned from a signal while one is open on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from shinkei_detect.parts.stillness import Stillness
from shinkei_detect.steps import Step
from shinkei_detect.surprise import CERTAIN
from shinkei_events.identity import StreamId, anomaly_id
from shinkei_events.model.anomaly import AnomalyChanged, Contribution, Phase

STUCK = 12.0
"""Surprise from which on a standing signal is stuck."""


@dataclass(slots=True)
class Finding:
    """An open finding on one signal. ``bad``: the last status code of bad values, or None."""

    id: str
    rule: str
    signal: str
    first: int
    began: int
    last: int
    ended: int
    score: float
    step: Step
    observed: float | None
    revision: int = 0


class Findings:
    """The data-quality findings of one stream, one open at most per rule and signal. ``bad``: steps of bad values that are a finding."""

    def __init__(self, stream: StreamId, bad: int, name: str, version: str) -> None:
        self._stream, self._bad_steps, self._name, self._version = stream, bad, name, version
        self._still = Stillness(surprise=STUCK)
        self._bad: dict[str, tuple[int, int, int]] = {}  # signal: steps in a row, number and time of the first
        self._good: dict[str, int] = {}
        self._since: dict[str, tuple[int, int]] = {}  # signal: number and time of its last change
        self._open: dict[tuple[str, str], Finding] = {}

    def see(self, step: Step) -> list[AnomalyChanged]:
        """What a step says of its own data."""
        said = self._see_clock(step) if step.back else []
        if step.bad or self._bad:
            said += self._see_bad(step)
        return said + self._see_still(step)

    def doubtful(self) -> set[str]:
        """Signals that must not be judged or learned now."""
        return {signal for _, signal in self._open}

    def restart(self) -> None:
        """Something is missing, or the machine stood: runs of equal values begin again."""
        self._still.restart()
        self._since.clear()

    def _see_clock(self, step: Step) -> list[AnomalyChanged]:
        finding = Finding(
            anomaly_id(self._stream, step.first, "clock_set_back"), "clock_set_back", "", step.first, step.began, step.last, step.time,
            CERTAIN, step, step.back / 1e9,
        )  # fmt: skip
        return [self._say(finding, "opened", step), self._say(finding, "closed", step)]

    def _see_bad(self, step: Step) -> list[AnomalyChanged]:
        said = []
        for signal, code in step.bad.items():
            steps, first, began = self._bad.get(signal, (0, step.first, step.began))
            self._bad[signal] = (steps + 1, first, began)
            self._good[signal] = 0
            finding = self._open.get(("bad_quality", signal))
            if finding is not None:
                finding.last, finding.ended = step.last, step.time
            elif steps + 1 >= self._bad_steps:
                said.append(self._begin("bad_quality", signal, first, began, step, CERTAIN, float(code)))
        for signal in [name for name in self._bad if name in step.values]:
            self._good[signal] = self._good.get(signal, 0) + 1
            open_now = ("bad_quality", signal) in self._open
            if not open_now or self._good[signal] >= self._bad_steps:
                del self._bad[signal], self._good[signal]
                if open_now:
                    said.append(self._end("bad_quality", signal, step))
        return said

    def _see_still(self, step: Step) -> list[AnomalyChanged]:
        before = self._still.stuck()
        for signal, value in step.values.items():
            known = self._still.signals.get(signal)
            if known is None or known.last != value:
                self._since[signal] = (step.last, step.time)
        self._still.learn_one(step.values)
        now = self._still.stuck()
        said = [
            self._end("stuck", signal, step)
            for signal in before
            if signal not in now and ("stuck", signal) in self._open
        ]
        for signal in now:
            still = self._still.signals[signal]
            finding = self._open.get(("stuck", signal))
            if finding is not None:
                finding.last, finding.ended = step.last, step.time
            elif signal not in before:
                first, began = self._since.get(signal, (step.first, step.began))
                surprise = min(CERTAIN, (still.run + 1) / (still.mean * 2.302585))
                said.append(self._begin("stuck", signal, first, began, step, surprise, still.last))
        return said

    def _begin(
        self, rule: str, signal: str, first: int, began: int, step: Step, score: float, observed: float | None
    ) -> AnomalyChanged:
        cause = anomaly_id(self._stream, step.last, f"{rule}:{signal}")
        finding = Finding(cause, rule, signal, first, began, step.last, step.time, score, step, observed)
        self._open[rule, signal] = finding
        return self._say(finding, "opened", step)

    def _end(self, rule: str, signal: str, step: Step) -> AnomalyChanged:
        return self._say(self._open.pop((rule, signal)), "closed", step)

    def _say(self, finding: Finding, phase: Phase, step: Step) -> AnomalyChanged:
        finding.revision += 1
        named = [Contribution(finding.signal, 1.0, finding.observed, None, None, finding.began, finding.rule)]
        return AnomalyChanged(
            id=finding.id, revision=finding.revision, phase=phase, finding="data_quality", rule=finding.rule, machine=self._stream.machine,
            stream=self._stream, first=finding.first, last=finding.last, began=finding.began, time=step.time,
            ended=finding.ended if phase == "closed" else None, score=finding.score, threshold=STUCK, peak=finding.score,
            signals=named if finding.signal else [], context=finding.step.context, detector=self._name, model=self._version,
        )  # fmt: skip
