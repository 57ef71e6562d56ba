"""The parts of a plant as programs for the supervisor: command lines, what each waits for, and when it counts as ready.

Does not start anything. Used by `shinkei run` and `shinkei demo`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shinkei_cli.child import Program
from shinkei_cli.health import answers_ready
from shinkei_events.runfile import read_run

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile

AFTER = {
    "plant": (),
    "gateway": ("log",),
    "store": ("log", "database"),
    "ui": ("log", "database"),
    "trace": ("database",),
    "detect": ("log", "database"),
    "alerts": ("log", "database"),
}
"""What each part needs. It would wait for it by itself as well; started later it costs the others nothing."""
NOT_BEFORE_BOARD = ("detect", "trace", "alerts")
"""Parts that a first live board does not need: they start when it is there, or after `BOARD_AT_MOST_S`."""
BOARD_AT_MOST_S = 12.0
PEER_AT_MOST_S = 60.0


def command(*words: str) -> tuple[str, ...]:
    """The command line of ``shinkei WORDS`` with this very interpreter; the current folder is not on its path (-P)."""
    return (sys.executable, "-P", "-m", "shinkei_cli", *words)


def programs_of(plant: PlantFile, parts: list[str], *, board_first: bool = False) -> list[Program]:
    """Programs for ``parts``, with the embedded log and database when the plant has no others."""
    places = ("--config", str(plant.path), "--dir", str(plant.dir))
    environment = _environment()
    programs = []
    if plant.log.bootstrap is None:
        programs.append(
            Program("log", command("log", "run", *places), environment, _HasRunFile(plant.dir, "log"), last=True)
        )
    if plant.store.dsn is None:
        programs.append(
            Program(
                "database",
                command("store", "database", *places),
                environment,
                _HasRunFile(plant.dir, "database"),
                last=True,
            )
        )
    names = {program.name for program in programs} | set(parts)
    for part, name, words in [found for wanted in parts for found in _processes(plant, wanted)]:
        needs = AFTER[part]
        if board_first and part in NOT_BEFORE_BOARD:
            needs = (*needs, "gateway", "store", "ui")
        programs.append(
            Program(
                name,
                command(part, "run", *words, *places),
                environment,
                _Answers(plant.dir, name),
                tuple(need for need in needs if need in names),
                BOARD_AT_MOST_S if board_first and part in NOT_BEFORE_BOARD else PEER_AT_MOST_S,
            )
        )
    return programs


def _processes(plant: PlantFile, part: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """``(part, name, further words)`` of its processes: one, but for a gateway with several shards. A wrong file: the part says so itself."""
    if part != "gateway" or not plant.gateway:
        return [(part, part, ())]
    from shinkei_events.errors import BadConfig
    from shinkei_events.settings import section
    from shinkei_gateway.settings import GatewaySettings, shards_of
    from shinkei_gateway.shards import part_name

    try:
        settings = section(plant, "gateway", GatewaySettings)
    except BadConfig:
        return [(part, part, ())]
    return [(part, part_name(settings, shard), ("--shard", shard)) for shard in shards_of(settings)]


class _HasRunFile:
    """Ready when the run file of ``part`` is by the process asked about."""

    def __init__(self, folder: Path, part: str) -> None:
        self._folder, self._part = folder, part

    def __call__(self, pid: int) -> bool:
        found = read_run(self._folder, self._part)
        return found is not None and found.get("pid") == pid


class _Answers:
    """Ready when the part's ``/health`` says so, and the part is the process asked about or one of its group."""

    def __init__(self, folder: Path, part: str) -> None:
        self._folder, self._part = folder, part

    def __call__(self, pid: int) -> bool:
        found = read_run(self._folder, self._part)
        if found is None or not found.get("http") or not _same_group(int(found.get("pid", 0)), pid):
            return False
        return answers_ready(found["http"])


def _same_group(pid: int, group: int) -> bool:
    try:
        return pid == group or (pid > 0 and os.getpgid(pid) == group)
    except ProcessLookupError:
        return False


def _environment() -> dict[str, str]:
    """One thread for the linear algebra libraries: the parts share the machine, and their arrays are small.

    And compiled modules are kept: without them every start compiles some 2000 files in eight processes (6 of 12 s of CPU).
    """
    one = {name: os.environ.get(name, "1") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return one | {"PYTHONDONTWRITEBYTECODE": ""}
