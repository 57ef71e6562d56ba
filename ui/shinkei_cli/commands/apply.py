"""``shinkei apply [plant.toml]``: the file's master data into the database; what changed becomes a new version, valid from now."""

from __future__ import annotations

import argparse
from pathlib import Path

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE
from shinkei_cli.main import COMMANDS
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("apply", help=COMMANDS["apply"], description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="the configuration (as --config)")
    add_config(parser)
    add_format(parser)
    parser.set_defaults(handler=_apply)


def _apply(args: argparse.Namespace) -> int:
    from shinkei_store.master import apply

    args.config = args.file or args.config
    changes = apply(plant_of(args))
    print_rows(changes, ("kind", "name", "change", "version"), args.format)
    return DONE
