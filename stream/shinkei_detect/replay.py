"""Detection over the past: frames from anywhere through the same pure core that runs live. For rebuilds, checks, scores and tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shinkei_detect.machine import MachineDetector
from shinkei_detect.settings import DetectSettings
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Frame


def replay(
    frames: Iterable[Frame], settings: DetectSettings | None = None, unwatched: frozenset[str] = frozenset()
) -> Iterator[AnomalyChanged]:
    """What the detector says of ``frames`` (in order within each stream), as it says it. ``unwatched``: signals left out."""
    settings = settings or DetectSettings()
    detectors: dict[object, MachineDetector] = {}
    for frame in frames:
        detector = detectors.get(frame.stream)
        if detector is None:
            detector = detectors[frame.stream] = MachineDetector(frame.stream, settings, unwatched)
        yield from detector.use(frame)
