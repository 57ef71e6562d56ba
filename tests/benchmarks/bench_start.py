"""``chain.start.cold_s`` and ``chain.start.warm_s``: from the command to the line that says the board is live.

Cold: an empty folder (the database is made, 8 hours of history are written). Warm: the same folder again. What is measured is what a
visitor waits for; the board's page is fetched before a figure is printed.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path

from tests.e2e.test_demo_start import Demo, answers


def main() -> None:
    """Print one JSON object a line."""
    with tempfile.TemporaryDirectory(prefix="shinkei start ") as folder:
        for name, must, aim in (("chain.start.cold_s", 60, 20), ("chain.start.warm_s", 8, 5)):
            print_figure(name, seconds_to_board(Path(folder)), must, aim)


def seconds_to_board(here: Path) -> float:
    """Start the demo in ``here``, wait for its board, end it."""
    demo = Demo(here)
    try:
        url = demo.url(120)
        took = demo.live_at() - demo.began
        if not answers(url):
            raise SystemExit(f"the board at {url} does not answer")
    finally:
        demo.close()
    return took


def print_figure(name: str, value: float, must: float, aim: float) -> None:
    """One line of the benchmark sheet."""
    conditions = {"cpus": os.cpu_count(), "python": platform.python_version(), "installed": True}
    sheet = {
        "name": name,
        "value": round(value, 2),
        "unit": "s",
        "better": "less",
        "must": must,
        "aim": aim,
        "conditions": conditions,
    }
    print(json.dumps(sheet), flush=True)


if __name__ == "__main__":
    main()
