"""Runs the checks and the tests tier by tier: prints each tier's time, and as its last line what passed and failed.

`run_tests.py check|lint|prepare|test|faults|drill`. A tier is a folder under ``tests/``; each runs in a process of its own, so
that one that crashes does not hide the others. Exit code 0 only when something ran and nothing failed. Called by the Makefile and
by nobody else; standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.seed import seed_of_run  # noqa: E402 - needs the path above

BIN = Path(sys.executable).parent
QUICK = ("unit", "property", "contract")
ALL = (*QUICK, "integration", "e2e", "faults")
LINTS: dict[str, list[str]] = {
    "ruff": ["ruff", "check", "--quiet", "."],
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "imports": ["lint-imports", "--config", "pyproject.toml"],
    "mypy": ["mypy"],
}
SLOWEST_SHOWN = 5
running: set[subprocess.Popen[str]] = set()
"""Tiers that run now: each is a process group of its own, which neither Ctrl-C nor the end of this process reaches by itself."""
TIER_AT_MOST_S = float(os.environ.get("SHINKEI_TIER_AT_MOST_S", "3600"))


@dataclass
class Result:
    """What one tier came to."""

    name: str
    seconds: float
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    skips: list[str] = field(default_factory=list)

    def line(self) -> str:
        counted = ", ".join(
            f"{self.counts[word]} {word}"
            for word in ("passed", "failed", "skipped")
            if self.counts[word] or word != "skipped"
        )
        left = "".join(f", {count} left out by {name!r}" for name, count in sorted(self.left_out.items()))
        return f"tier {self.name}: {counted}{left} in {self.seconds:.1f} s"


def lint() -> list[Result]:
    """The checks that run nothing, one after the other; each counts as one test."""
    found = []
    for name, command in LINTS.items():
        began = time.monotonic()
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            say(f"--- {name} ---\n{done.stdout}{done.stderr}".rstrip())
        found.append(
            Result(
                name,
                time.monotonic() - began,
                Counter(passed=int(done.returncode == 0), failed=int(done.returncode != 0)),
            )
        )
        say(found[-1].line())
    return found


def tier(
    name: str, options: Sequence[str] = (), environment: dict[str, str] | None = None, *, quiet: bool = False
) -> Result:
    """One folder of tests in a pytest of its own; ``quiet``: what it prints comes when it has ended, in one piece."""
    folder = ROOT / "tests" / name
    if not any(folder.rglob("test_*.py")):
        say(f"tier {name}: no tests")
        return Result(name, 0.0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shinkei-tests-") as scratch:
        report = Path(scratch) / "report.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(folder),
            "--quiet",
            "--no-header",
            "--continue-on-collection-errors",
            f"--durations={SLOWEST_SHOWN}",
            "--durations-min=1",
            *options,
        ]
        env = (
            os.environ | {"SHINKEI_TEST_REPORT": str(report), "SHINKEI_SEED": str(seed_of_run())} | (environment or {})
        )
        code = run_bounded(command, env, quiet=quiet)
        found = json.loads(report.read_text()) if report.exists() else {"counts": {}, "left_out": {}, "skips": []}
    result = Result(
        name, time.monotonic() - began, Counter(found["counts"]), Counter(found["left_out"]), found["skips"]
    )
    nothing_chosen = code == 5 and bool(result.left_out)
    if code != 0 and not result.counts["failed"] and not nothing_chosen:
        say(f"tier {name}: pytest ended with {code}")
        result.counts["failed"] += 1
    say(result.line())
    return result


def run_bounded(command: Sequence[str], env: dict[str, str], *, quiet: bool) -> int:
    """Run a tier and all it starts, at most `TIER_AT_MOST_S`; its exit code, or -9 when it had to be ended."""
    sink = subprocess.PIPE if quiet else None
    with subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=sink, stderr=subprocess.STDOUT, process_group=0
    ) as process:
        running.add(process)
        try:
            said, _ = process.communicate(timeout=TIER_AT_MOST_S)
        except subprocess.TimeoutExpired:
            end(process)
            say(f"ended after {TIER_AT_MOST_S:.0f} s")
            return -9
        finally:
            running.discard(process)
        if quiet:
            say(said.rstrip())
        return process.returncode


def end(process: subprocess.Popen[str]) -> None:
    """Ask a tier to end (its fixtures stop their servers), then end it and what is left of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        os.killpg(process.pid, signal.SIGKILL)


def check() -> list[Result]:
    """Two lanes for two cores: lint and the short tiers in one, the property tests in the other."""
    lane: list[Result] = []
    beside = threading.Thread(target=lambda: lane.append(tier("property", quiet=True)))
    beside.start()
    results = [*lint(), *(tier(name, quiet=True) for name in QUICK if name != "property")]
    beside.join()
    return results + lane


def test() -> list[Result]:
    """Everything but the long tests; of those a sample, its size printed."""
    sample = {"SHINKEI_SIZE": "sample", "SHINKEI_SCHEDULES": os.environ.get("SHINKEI_SCHEDULES", "10000")}
    return lint() + [tier(name, environment=sample) for name in ALL]


def faults() -> list[Result]:
    """All fault tests, all schedules of the protocol and all that is fuzzed, at full size, and what takes long elsewhere."""
    full = {
        "SHINKEI_SIZE": "full",
        "SHINKEI_TEST_LONG": "1",
        "SHINKEI_SCHEDULES": os.environ.get("SHINKEI_SCHEDULES", "100000"),
    }
    return [
        tier("property", environment=full),
        tier("integration", ["-m", "long"], full),
        tier("faults", environment=full),
    ]


def long_folder(name: str) -> list[Result]:
    """A tier that is nothing but long."""
    return [tier(name, [*sys.argv[2:]], {"SHINKEI_SIZE": "full", "SHINKEI_TEST_LONG": "1"})]


def prepare() -> int:
    """Install what the tests need; its exit code."""
    return subprocess.run([str(ROOT / "tools" / "install-test-tools")], cwd=ROOT, check=False).returncode


def finish(results: list[Result], began: float) -> int:
    """The table of tiers, skips with their reasons, and the last line."""
    total: Counter[str] = Counter()
    left: Counter[str] = Counter()
    say("")
    for result in results:
        say(result.line())
        total += result.counts
        left += result.left_out
        for reason in result.skips:
            say(f"  skipped {reason}")
    for name, count in sorted(left.items()):
        say(f"left out: {count} tests by {name!r}")
    say(f"seed {seed_of_run()}, {time.monotonic() - began:.0f} s in all")
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    say(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 0 if total["passed"] and not total["failed"] else 1


def say(text: str) -> None:
    """A line at once, in order with what the tiers print."""
    print(text, flush=True)


def main() -> int:
    """Run what the first word says."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word == "prepare":
        return prepare()
    runs: dict[str, Callable[[], list[Result]]] = {
        "check": check,
        "lint": lint,
        "test": test,
        "faults": faults,
        "drill": partial(long_folder, "drill"),
    }
    if word not in runs:
        say(f"run_tests.py {'|'.join([*runs, 'prepare'])}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    say(f"seed: {seed_of_run()} (SHINKEI_SEED={seed_of_run()} repeats this run)")
    try:
        return finish(runs[word](), began)
    finally:
        for process in list(running):
            end(process)


if __name__ == "__main__":
    sys.exit(main())
