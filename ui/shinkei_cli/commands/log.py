"""``shinkei log run``: the embedded log of one site's folder, for as long as this process lives."""

from __future__ import annotations

import argparse
import threading

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE
from shinkei_cli.main import COMMANDS
from shinkei_cli.part import Subparsers


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("log", help=COMMANDS["log"], description=__doc__)
    commands: Subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run the embedded log (in memory; gone with this process)")
    add_config(run)
    run.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from shinkei_cli.lifeline import Lifeline

    stop = threading.Event()
    with Lifeline(stop.set):
        from shinkei_events.embedded_log import EmbeddedLog

        log = EmbeddedLog(plant_of(args).dir)
        log.start()
        stop.wait()
        log.stop()
    return DONE
