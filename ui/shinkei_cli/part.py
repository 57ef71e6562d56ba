"""``shinkei PART run``: one part in this process, until it is told to stop.

Reads the configuration, sets up telemetry, turns signals (and the death of a supervisor) into the part's stop event. Does not
restart anything: that is the supervisor's, or systemd's.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE
from shinkei_cli.main import COMMANDS

if TYPE_CHECKING:
    from typing import TypeAlias

    from shinkei_events.settings import PlantFile

    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = argparse._SubParsersAction

PARTS = ("gateway", "store", "detect", "trace", "alerts", "ui", "plant")
"""The parts that have ``shinkei_<part>.run.run(plant, stop)``."""


def add_part(
    subparsers: Subparsers, part: str, options: Callable[[argparse.ArgumentParser], object] = lambda _run: None
) -> Subparsers:
    """Add the word ``part`` with its `run` command and that one's further ``options``; returns where its further commands are added."""
    parser = subparsers.add_parser(part, help=COMMANDS[part], description=COMMANDS[part])
    commands: Subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help=f"run the {part} part here until it is ended")
    add_config(run)
    known = {action.dest for action in run._actions} | {"handler"}
    options(run)
    more = [action.dest for action in run._actions if action.dest not in known]
    run.set_defaults(
        handler=lambda args: run_part_of(part, lambda: plant_of(args), **{name: getattr(args, name) for name in more})
    )
    return commands


def run_part_of(part: str, read: Callable[[], PlantFile], **options: object) -> int:
    """Run ``part`` (with its ``options``) of the plant that ``read`` gives until SIGTERM, SIGINT or the supervisor's end; raises `BadConfig`."""
    from shinkei_cli.lifeline import Lifeline

    stop = threading.Event()
    with Lifeline(stop.set):
        from shinkei_events import telemetry

        telemetry.setup()
        plant = read()
        module = import_module(f"shinkei_{part}.run")
        if not stop.is_set():
            module.run(plant, stop, **options)
    return DONE
