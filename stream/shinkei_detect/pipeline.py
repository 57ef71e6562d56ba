"""A River pipeline in which every step learns from exactly what it was scored on.

`river.compose.Pipeline.learn_one` lets a transformer learn first and transforms again for the next step; for a monitor whose mean has
moved by then, the next step would learn something it never scored. Used by `model`.
"""

from __future__ import annotations

from typing import Any

from river import base, compose

Features = dict[Any, Any]


class ScoreThenLearn(compose.Pipeline):
    """Transformers that are detectors themselves, then one `base.AnomalyDetector`: score with `score_one`, then `learn_one`."""

    def learn_one(self, x: Features, y: Any = None, **params: Any) -> None:
        """Let each step learn from the output of the steps before it as `score_one` saw it."""
        for step in self.steps.values():
            out = step.transform_one(x) if isinstance(step, base.Transformer) else x
            step.learn_one(x)
            x = out

    def walk_one(self, x: Features) -> tuple[Features, float]:
        """Score and learn in one pass: what the last step saw, and its score. The same as `score_one`, then `learn_one`, in half the time."""
        *before, last = self.steps.values()
        for step in before:
            out = step.transform_one(x)
            step.learn_one(x)
            x = out
        score = last.score_one(x)
        last.learn_one(x)
        return x, score
