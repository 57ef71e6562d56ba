"""``shinkei store …``: the recorder, the embedded database of a folder, and the schema."""

from __future__ import annotations

import argparse
import threading

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers, add_part


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    commands = add_part(subparsers, "store")
    database = commands.add_parser(
        "database", help="run the embedded database of this site here, migrated, with plant.toml's master data"
    )
    add_config(database)
    database.set_defaults(handler=_database)
    migrate = commands.add_parser("migrate", help="bring the schema up to this version")
    add_config(migrate)
    add_format(migrate)
    migrate.set_defaults(handler=_migrate)


def _database(args: argparse.Namespace) -> int:
    from shinkei_cli.lifeline import Lifeline

    stop = threading.Event()
    with Lifeline(stop.set):
        from shinkei_events import telemetry
        from shinkei_store.database import serve

        telemetry.setup()
        serve(plant_of(args), stop)
    return DONE


def _migrate(args: argparse.Namespace) -> int:
    from shinkei_store.run import prepare

    print_rows(({"migration": name} for name in prepare(plant_of(args))), ("migration",), args.format)
    return DONE
