"""``python -m shinkei_plant``: the line or recordings without a plant.toml, in the current folder's ``.plant`` (or ``--dir``)."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from shinkei_events import telemetry
from shinkei_events.errors import BadConfig, NotConnected
from shinkei_plant.options import add_options, settings_of
from shinkei_plant.settings import PlantSettings


def main(words: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; exit code 2 for wrong options, 3 when a port or broker is not to be had."""
    parser = argparse.ArgumentParser(
        prog="python -m shinkei_plant", description="A simulated pump line, or recordings, as machines."
    )
    parser.add_argument("--dir", type=Path, default=Path(".plant"), help="where run files go")
    parser.add_argument("--ports", default="", metavar="OP10=48410,…", help="ports of the machines and of the broker")
    add_options(parser)
    args = parser.parse_args(words)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    telemetry.setup()
    try:
        ports = {name: int(port) for name, _, port in (pair.partition("=") for pair in args.ports.split(",") if pair)}
        settings = settings_of(args, PlantSettings(ports=ports))
        from shinkei_plant.run import run_settings

        run_settings(settings, args.dir, stop)
    except (BadConfig, NotConnected, ValueError) as error:
        sys.stderr.write(f"plant: {error}\n")
        return 3 if isinstance(error, NotConnected) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
