"""Why: each signal's share of an anomaly, what was observed, what it was compared with, and since when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from shinkei_detect.model import ContextModel
from shinkei_detect.parts.level import Level
from shinkei_events.model.anomaly import AnomalyChanged, Contribution

MOST = 8
"""Signals named in an anomaly; the rest share nothing worth reading."""

JOINT_PARTS = 5
"""Signals named by the joint view alone."""


@dataclass(slots=True)
class Peak:
    """The farthest a signal went in an episode. ``weight``: squared deviation, or part of T²."""

    weight: float
    observed: float
    reference: float
    since: int
    part: str


def level_peak(model: ContextModel, name: str, since: int, value: float | None) -> Peak:
    """Where signal ``name`` stands now against its reference. ``value``: its mean in this step, None where it was not sent again."""
    level = model.level.levels[name]
    return Peak(level.z * level.z, _observed(level, value), level.ref, since, "level")


def _observed(level: Level, value: float | None) -> float:
    """What a chart shows there: the step's own value where it is farther off than the smoothed level, which follows it slowly."""
    if value is None:
        return level.fast
    return max(level.fast, value) if level.fast >= level.ref else min(level.fast, value)


def joint_peaks(
    model: ContextModel, deviations: Mapping[str, float], since: int, values: Mapping[str, float]
) -> dict[str, Peak]:
    """The signals whose moving apart made T² large, heaviest first, at most `JOINT_PARTS`. ``values``: means in this step."""
    parts = sorted(
        ((weight, name) for name, weight in model.joint.contributions(dict(deviations)).items()),
        key=lambda p: (-p[0], p[1]),
    )
    peaks = {}
    for weight, name in parts[:JOINT_PARTS]:
        level = model.level.levels[name]
        peaks[name] = Peak(weight, _observed(level, values.get(name)), level.ref, since, "joint")
    return peaks


def contributions(peaks: Mapping[str, Peak]) -> list[Contribution]:
    """Shares that add up to 1 over the signals named, largest first; equal ones by name."""
    heaviest = sorted(peaks.items(), key=lambda item: (-item[1].weight, item[0]))[:MOST]
    total = sum(peak.weight for _, peak in heaviest) or 1.0
    return [
        Contribution(name, peak.weight / total, peak.observed, peak.reference, None, peak.since, peak.part)
        for name, peak in heaviest
    ]


def with_units(event: AnomalyChanged, units: Mapping[tuple[str, str], str]) -> AnomalyChanged:
    """``event`` with the units of its signals; ``units`` by (machine, signal). Units explain, they decide nothing."""
    known = [msgspec.structs.replace(one, unit=units.get((event.machine, one.signal))) for one in event.signals]
    return msgspec.structs.replace(event, signals=known)
