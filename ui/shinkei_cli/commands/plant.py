"""``shinkei plant run``: the simulated line of plant.toml, or recordings played as OPC UA machines.

Options given here go before what plant.toml says. With ``--recording`` no plant.toml is needed.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from shinkei_cli.config import add_config, folder_of, plant_of
from shinkei_cli.exits import DONE
from shinkei_cli.main import COMMANDS
from shinkei_cli.part import Subparsers
from shinkei_plant.options import add_options

if TYPE_CHECKING:
    from shinkei_plant.settings import PlantSettings


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    parser = subparsers.add_parser("plant", help=COMMANDS["plant"], description=__doc__)
    commands: Subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run the simulated line, or recordings, here until ended")
    add_config(run)
    add_options(run)
    run.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from shinkei_cli.lifeline import Lifeline

    stop = threading.Event()
    with Lifeline(stop.set):
        from shinkei_events import telemetry
        from shinkei_plant.run import run_settings

        telemetry.setup()
        settings, folder = settings_and_folder(args)
        if not stop.is_set():
            run_settings(settings, folder, stop)
    return DONE


def settings_and_folder(args: argparse.Namespace) -> tuple[PlantSettings, Path]:
    """What to run, and the site's folder; raises `BadConfig`."""
    import msgspec

    from shinkei_events.settings import section
    from shinkei_plant.options import settings_of
    from shinkei_plant.settings import PlantSettings

    if args.recording and args.config is None:
        found = settings_of(args, PlantSettings())
        # Beside a running line of the same folder a recording is a part of its own.
        return msgspec.structs.replace(found, name=f"plant-{found.recordings[0].name}"), folder_of(args)
    plant = plant_of(args)
    return settings_of(args, section(plant, "plant", PlantSettings)), plant.dir
