"""The detector of one signals stream: frames in, revisions of anomalies and findings out. Pure, deterministic, picklable.

Everything that decides travels in the stream: values, status, source times, context and gap marks. No clock, no random numbers, no
other topic; where a frame ends changes nothing. The worker, the replay and the tests all run this same code.
"""

from __future__ import annotations

from shinkei_detect.context import ContextKey, Shelf, key_of
from shinkei_detect.episode import Episodes
from shinkei_detect.finding import Findings
from shinkei_detect.model import ContextModel
from shinkei_detect.pace import Pace
from shinkei_detect.settings import DetectSettings, config_hash
from shinkei_detect.steps import Step, Stepper
from shinkei_events.frames import cut
from shinkei_events.identity import FIRST_NUMBER, StreamId
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Frame

NAME = "shinkei-level-joint"
CODE = 1
"""Version of everything that decides; a snapshot of another one is not used but learned again from the record."""

_SECOND = 1_000_000_000


class _MakeModel:
    """A picklable maker of models."""

    def __init__(self, settings: DetectSettings) -> None:
        self.settings = settings

    def __call__(self) -> ContextModel:
        return ContextModel(self.settings)


class MachineDetector:
    """State of one stream. ``next_number``: every number below is in it. Not thread-safe.

    Cost: about 1 µs per reading and 6 µs per signal and step. Memory: some kB per signal and context.
    """

    def __init__(self, stream: StreamId, settings: DetectSettings, unwatched: frozenset[str] = frozenset()) -> None:
        self.stream, self.next_number, self.time = stream, FIRST_NUMBER, 0
        self.version = f"{CODE}-{config_hash(settings, unwatched)}"
        self._running = settings.running
        self._run_up, self._stands = int(settings.run_up * _SECOND), True
        self._stepper = Stepper(int(settings.step * _SECOND), int(settings.behind * _SECOND), unwatched)
        self._pace = Pace(settings)
        self._shelf = Shelf(_MakeModel(settings), settings.contexts)
        self._episodes = Episodes(stream, settings, NAME, self.version)
        self._findings = Findings(stream, settings.bad, NAME, self.version)
        self._key: ContextKey | None = None
        self._model: ContextModel | None = None
        self._held: dict[str, tuple[float, int]] = {}  # signal: last value, ns of stream time since it was sent
        self._broken = False
        self._judged = 0  # source time (ns) of the last step that was judged, in any context

    def use(self, frame: Frame, skip: int = 0) -> list[AnomalyChanged]:
        """Take in ``frame`` without its first ``skip`` readings. Frames must come in the order of their numbers, without holes."""
        if skip:
            frame = cut(frame, skip)
        if frame.gap_before is not None or frame.first > self.next_number:
            self._miss()
        self.next_number = frame.end
        if frame.count == 0 or frame.replay_of is not None:  # a replay tells late what was once: it teaches nothing
            return []
        said: list[AnomalyChanged] = []
        key = key_of(frame.context, self._running)
        if key is None:
            self._leave(said)
            self._stands = True
        else:
            self._enter(key, said)
            if self._stands:
                self._stands = False
                self._stepper.skip(self._run_up)
            for step in self._stepper.add(frame):
                self._judge(step, said)
        self.time = frame.t0 + frame.dt[-1]
        return said

    def _miss(self) -> None:
        """Unknown is not normal: the open step is dropped, nothing is continued over the hole, and it does not count as calm."""
        self._stepper.drop()
        self._held.clear()
        self._broken = True

    def _leave(self, said: list[AnomalyChanged]) -> None:
        """The machine does not run: neither judged nor learned. What is open stays open until it runs again."""
        step = self._stepper.flush()
        if step is not None:
            self._judge(step, said)

    def _enter(self, key: ContextKey, said: list[AnomalyChanged]) -> None:
        if key == self._key:
            return
        self._leave(said)
        said += self._episodes.close()
        self._key, self._model = key, self._shelf.take(key)
        self._held.clear()
        self._broken = True

    def _judge(self, step: Step, said: list[AnomalyChanged]) -> None:
        model = self._model
        if model is None or not (step.values or step.bad):
            return
        pace = self._pace
        if self._broken or pace.is_pause(step.elapsed):
            away = step.began - self._judged if self._judged else 0
            model.restart(pace.grace(away), anew=pace.is_stop(away), loose=pace.is_stop(step.began - model.time))
            self._findings.restart()
            self._broken = False
        pace.see(step.elapsed)
        self._judged = model.time = step.time
        for finding in self._findings.see(step):
            said.append(finding)
            if finding.phase == "closed" and finding.signals:
                model.level.forget(finding.signals[0].signal)
        values = self._with_held(step)
        if values:
            said += self._episodes.see(step, model.step(values), model)

    def _with_held(self, step: Step) -> dict[str, float]:
        """The step's values, and those of signals that were not sent again lately; without what is of doubtful quality."""
        values, held = step.values, self._held
        if len(held) > len(values):
            values = dict(values)
            for name in [name for name in held if name not in step.values]:
                value, age = held[name]
                age += step.elapsed
                if self._pace.is_old(age) or name in step.bad:
                    del held[name]
                else:
                    held[name] = (value, age)
                    values[name] = value
        for name, value in step.values.items():
            held[name] = (value, 0)
        doubtful = self._findings.doubtful()
        return {name: value for name, value in values.items() if name not in doubtful} if doubtful else values
