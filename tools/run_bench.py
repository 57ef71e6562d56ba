"""Runs benchmarks: `run_bench.py [--only REGEX] [--list]`. Prints one JSON object a line and nothing else on standard output.

A benchmark is a file ``tests/benchmarks/bench_*.py`` with a ``main()`` that prints its figures; the names it prints stand in it as
string literals (``"chain.start.cold_s"``), and so are found without running it. ``{name, value, unit, better, must, aim, conditions}``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"""["']((?:chain|gateway|detect|trace|store|drill|alerts|ui)(?:\.[a-z0-9_]+)+)["']""")
FIELDS = {"name", "value", "unit", "better", "must", "aim", "conditions"}


def names_in(path: Path) -> list[str]:
    """The figures that a benchmark file prints."""
    return list(dict.fromkeys(NAME.findall(path.read_text())))


def run(path: Path, only: re.Pattern[str]) -> bool:
    """Run one file, pass on the wanted figures; whether it went well."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    wanted = [name for name in names_in(path) if only.search(name)]
    print(f"{module}: {', '.join(wanted)}", file=sys.stderr, flush=True)
    well = True
    with subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                figure = json.loads(line)
            except ValueError:
                print(line, end="", file=sys.stderr, flush=True)
                continue
            if not isinstance(figure, dict) or not set(figure) >= FIELDS:
                print(f"{module}: not a figure, needs {sorted(FIELDS)}: {line}", end="", file=sys.stderr)
                well = False
            elif only.search(figure["name"]):
                print(line, end="", flush=True)
    return well and process.returncode == 0


def main() -> int:
    """Exit code 0: all ran; 1: one did not; 2: none has such a name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="REGEX", help="figures whose name this is found in (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    args = parser.parse_args()
    only = re.compile(args.only)
    files = [
        path
        for path in sorted((ROOT / "tests" / "benchmarks").glob("bench_*.py"))
        if any(map(only.search, names_in(path)))
    ]
    if args.list:
        for path in files:
            print(*(name for name in names_in(path) if only.search(name)), sep="\n")
        return 0
    if not files:
        print(f"no benchmark prints a figure that matches {args.only!r}", file=sys.stderr)
        return 2
    failed = [path.name for path in files if not run(path, only)]
    if failed:
        print(f"did not go well: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
