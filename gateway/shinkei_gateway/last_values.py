"""What screens get of a machine whose stream is behind: its last values, one frame a machine and half a second at most. Pure.

Provisional and unnumbered: such a frame's ``first`` is `FIRST_NUMBER`, which every watermark takes for a repeat. It is not spooled, not
counted and not sent again; the readings themselves follow in their order. The intake shows it what it numbers, `kafka_link` sends what is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from shinkei_events.frames import MAX_VALUES
from shinkei_events.identity import FIRST_NUMBER
from shinkei_events.model.frame import Frame
from shinkei_gateway.columns import columns
from shinkei_gateway.offered import Reading

EVERY_NS = 500_000_000
BEHIND_NS = 1_000_000_000


@dataclass(slots=True)
class _Machine:
    """``mark``: when which number was the next one; the stream is behind when that is not on the log a second later."""

    mark: tuple[int, int]
    end: int
    is_behind: bool = False
    newest: Frame | None = None
    values: dict[str, Reading] = field(default_factory=dict)


class LastValues:
    """One per shard. ``behind``: ns that a stream may be late before its screens get provisional values."""

    def __init__(self, behind: int = BEHIND_NS) -> None:
        self.behind = behind
        self._machines: dict[str, _Machine] = {}
        self._look_at = 0

    def take(self, frame: Frame, run: Sequence[Reading]) -> None:
        """``run`` was numbered as ``frame``. Costs nothing while the machine's stream is not behind."""
        machine = self._machines.get(frame.machine)
        if machine is not None and machine.is_behind:
            machine.newest = frame
            machine.values.update((reading.channel, reading) for reading in run)

    def due(self, now: int, streams: Callable[[], Mapping[str, tuple[int, int]]]) -> list[Frame]:
        """What is to be shown at ``now`` (monotonic ns). ``streams``: machine to (next number given, next that the log does not have)."""
        if now < self._look_at:
            return []
        self._look_at = now + EVERY_NS
        found = streams()
        for name in self._machines.keys() - found.keys():
            del self._machines[name]
        frames = []
        for name, (end, done) in found.items():
            machine = self._machines.setdefault(name, _Machine((now, end), end))
            self._judge(machine, now, end, done)
            if machine.is_behind and machine.newest is not None and machine.values:
                frames.append(_frame(machine.newest, machine.values))
        return frames

    def _judge(self, machine: _Machine, now: int, end: int, done: int) -> None:
        """Behind from a second of delay on, until the log has what there was at the last look."""
        at, number = machine.mark
        if done >= (machine.end if machine.is_behind else number):
            machine.mark, machine.is_behind, machine.newest = (now, end), False, None
            machine.values.clear()
        elif now - at >= self.behind:
            machine.is_behind = True
        machine.end = end


def _frame(newest: Frame, values: dict[str, Reading]) -> Frame:
    """The values not shown yet, as many as one frame holds; the others have their turn at the next look."""
    names = list(values)[:MAX_VALUES]
    frame = columns(newest.stream, FIRST_NUMBER, [values.pop(name) for name in names], newest.context, True)
    return msgspec.structs.replace(frame, production=newest.production)
