"""The right answers: which parts each planted trouble truly affects, and why. Written to a file that only a drill reads.

JSON lines, appended as things happen: a trouble began, its cause, each part it hit, each unit that such a part went into, its end.
`read` folds them. The gateway, the store and the screens never see this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal

import msgspec

from shinkei_plant.faults import Answer, Trouble, Watch
from shinkei_plant.records import OperationDone, Record

GROWS = ("assemble", "process", "pack", "merge", "split")
"""Kinds of operation whose outputs contain their inputs."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file: ``what`` happened to the trouble ``id`` at ``time`` (ns UTC)."""

    id: str
    what: Literal["began", "cause", "hit", "contains", "ended"]
    time: int
    name: str | None = None
    machine: str | None = None
    answer: Answer | None = None
    cause_kind: str | None = None
    strength: float | None = None
    value: str | None = None


class Truth(msgspec.Struct):
    """The right answer to one trouble. ``hit``: parts directly affected; ``contains``: units that contain one of them."""

    id: str
    name: str
    machine: str
    answer: Answer
    cause_kind: str
    strength: float
    began: int
    cause: str | None = None
    ended: int | None = None
    hit: list[str] = []
    contains: list[str] = []

    @property
    def affected(self) -> frozenset[str]:
        """Every affected unit; empty where the right answer is that no part is."""
        return frozenset(self.hit) | frozenset(self.contains) if self.answer != "no_part" else frozenset()


class TruthWriter(Watch):
    """Follows troubles and operations; to be given every record of the line in time order."""

    def __init__(self, path: Path | None = None) -> None:
        self.lines: list[Entry] = []
        self._now = 0
        self._tainted: dict[str, frozenset[str]] = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)

    def began(self, trouble: Trouble) -> None:
        """A trouble began."""
        self._now = trouble.start
        kind = trouble.kind
        self._write(
            Entry(
                trouble.id, "began", trouble.start, kind.name, kind.machine, kind.answer, kind.cause, trouble.strength
            )
        )

    def ended(self, trouble: Trouble, time: int) -> None:
        """It ended."""
        self._write(Entry(trouble.id, "ended", time))

    def cause(self, trouble: Trouble, cause: str) -> None:
        """Its cause is known by its id."""
        self._write(Entry(trouble.id, "cause", self._now, value=cause))

    def hit(self, trouble: Trouble, unit: str) -> None:
        """It affects ``unit``."""
        if trouble.kind.answer == "no_part":
            return
        known = self._tainted.get(unit, frozenset())
        if trouble.id not in known:
            self._tainted[unit] = known | {trouble.id}
            self._write(Entry(trouble.id, "hit", self._now, value=unit))

    def see(self, record: Record) -> None:
        """Follow affected parts into what contains them."""
        self._now = max(self._now, record.time)
        if not isinstance(record, OperationDone) or not self._tainted or record.kind not in GROWS or not record.outputs:
            return
        found: frozenset[str] = frozenset().union(*(self._tainted.get(unit.id, frozenset()) for unit in record.inputs))
        if not found:
            return
        for unit in record.outputs:
            known = self._tainted.get(unit.id, frozenset())
            self._tainted[unit.id] = known | found
            for trouble in sorted(found - known):
                self._write(Entry(trouble, "contains", record.time, value=unit.id))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def truths(self) -> dict[str, Truth]:
        """What is known so far."""
        return fold(self.lines)

    def _write(self, line: Entry) -> None:
        if self._file is None:
            self.lines.append(line)
        else:
            self._file.write(msgspec.json.encode(line) + b"\n")


def fold(lines: Iterable[Entry]) -> dict[str, Truth]:
    """The right answer of each trouble by id."""
    truths: dict[str, Truth] = {}
    for line in lines:
        if line.what == "began":
            assert line.name is not None and line.machine is not None  # noqa: PT018
            assert line.answer is not None and line.cause_kind is not None  # noqa: PT018
            truths[line.id] = Truth(
                line.id, line.name, line.machine, line.answer, line.cause_kind, line.strength or 1.0, line.time
            )
            continue
        truth = truths[line.id]
        if line.what == "ended":
            truth.ended = line.time
        elif line.value is not None:
            if line.what == "cause":
                truth.cause = line.value
            else:
                (truth.hit if line.what == "hit" else truth.contains).append(line.value)
    return truths


def read(path: Path) -> dict[str, Truth]:
    """Fold a truth file; a last line that was cut by a kill is left out."""
    decoder = msgspec.json.Decoder(Entry)
    raw = path.read_bytes().split(b"\n")
    return fold(decoder.decode(line) for line in raw[:-1])
