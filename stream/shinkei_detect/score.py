"""How good detection is against labelled recordings: F1, false alarm rate, missed alarm rate, delay. Small and pure.

The false alarm rate belongs to every F1: an alarm that is always on has a fine F1 on recordings that are mostly faulty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from shinkei_events.model.anomaly import AnomalyChanged


class Score(msgspec.Struct, frozen=True):
    """Counts of rows: true and false alarms, missed and rightly silent ones."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    silent: int = 0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 … 1."""
        return self.hit / max(1e-12, self.hit + (self.false + self.missed) / 2)

    @property
    def far(self) -> float:
        """False alarms, percent of normal rows."""
        return 100 * self.false / max(1, self.false + self.silent)

    @property
    def mar(self) -> float:
        """Missed rows, percent of anomalous ones."""
        return 100 * self.missed / max(1, self.hit + self.missed)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.hit + other.hit, self.false + other.false, self.missed + other.missed, self.silent + other.silent
        )


def alarm_rows(times: Sequence[int], events: Iterable[AnomalyChanged]) -> list[bool]:
    """Rows (source times in ns, ascending) in alarm: from when an anomaly was said to its last step in alarm, as finally known."""
    spans: dict[str, tuple[int, int | None]] = {}
    for event in events:
        if event.finding == "anomaly":
            said = spans[event.id][0] if event.id in spans else event.time
            spans[event.id] = (said, event.ended)
    flags = [False] * len(times)
    for said, ended in spans.values():
        for at, time in enumerate(times):
            if time >= said and (ended is None or time <= ended):
                flags[at] = True
    return flags


def compare(truth: Sequence[bool], alarm: Sequence[bool], skip: int = 0) -> Score:
    """Row by row from row ``skip`` on (what came before was for learning)."""
    pairs = list(zip(truth, alarm, strict=True))[skip:]
    return Score(
        sum(t and a for t, a in pairs),
        sum(a and not t for t, a in pairs),
        sum(t and not a for t, a in pairs),
        sum(not t and not a for t, a in pairs),
    )
