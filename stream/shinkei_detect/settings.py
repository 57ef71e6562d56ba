"""The detector's section of the plant's configuration, and the hash by which a snapshot knows whether it still fits."""

from __future__ import annotations

import hashlib

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration


class DetectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[detect]``. Counts are steps: a step is ``step`` of source time in which readings came.

    ``running``: PackML states that are judged and learned (readings without a known state are, under a key of their own).
    ``run_up``: so long after a machine begins to run nothing is judged or learned. ``pause``: after this much source time without a step the
    past is not continued, and what is away from its level has ``comeback`` times as long to come back; ``stop``: after this much, levels are
    learned anew. ``hold``: so long a signal that was not sent again
    counts as unchanged. ``behind``: a source clock may be so far behind its neighbours; more is a step back of the clock.
    ``warm_up``, ``settle``: steps learned before judging, at first and after a change-over. ``on``, ``off``, ``joint_on``,
    ``joint_off``: hysteresis in units of what is usual. ``calm``: steps without alarm that end an episode. ``relearn``: steps in alarm
    after which the new level is accepted as normal, and said so. ``contexts``: models kept per machine, the oldest unused goes.
    ``bad``: steps of bad quality that are a finding. ``snapshot_every``: stream time between snapshots of a machine's models.
    """

    step: Duration = Duration(1.0)
    running: tuple[str, ...] = ("EXECUTE",)
    run_up: Duration = Duration(5.0)
    pause: Duration = Duration(10.0)
    comeback: float = 5.0
    stop: Duration = Duration(600.0)
    hold: Duration = Duration(60.0)
    behind: Duration = Duration(60.0)
    warm_up: int = 120
    settle: int = 30
    on: float = 4.0
    off: float = 2.5
    joint_on: float = 5.0
    joint_off: float = 3.0
    calm: int = 30
    relearn: int = 3600
    contexts: int = 16
    bad: int = 5
    snapshot_every: Duration = Duration(30.0)
    http: str = "127.0.0.1:0"

    def __post_init__(self) -> None:
        """Raises `BadConfig` where values contradict each other."""
        if not 1e-3 <= self.step <= 3600:
            raise BadConfig("detect.step", self.step, "between 1ms and 1h")
        if self.off >= self.on or self.joint_off >= self.joint_on:
            raise BadConfig("detect.off", self.off, "off must be smaller than on, else an alarm never rests")
        if min(self.warm_up, self.settle, self.calm, self.contexts, self.bad) < 1:
            raise BadConfig("detect", "", "warm_up, settle, calm, contexts and bad are at least 1")


_NOT_DECIDING = {"snapshot_every", "http"}


def config_hash(settings: DetectSettings, unwatched: frozenset[str] = frozenset()) -> str:
    """16 hex digits of everything that decides: two detectors with the same hash and code say the same of the same stream."""
    deciding = {name: getattr(settings, name) for name in settings.__struct_fields__ if name not in _NOT_DECIDING}
    body = msgspec.json.encode([deciding, sorted(unwatched)], enc_hook=float, order="sorted")
    return hashlib.sha256(body).hexdigest()[:16]
