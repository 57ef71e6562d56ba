"""``shinkei check``: is plant.toml right? With ``--connect``: do its peers answer? Exit 0 yes, 2 the file is wrong, 3 a peer is away."""

from __future__ import annotations

import argparse

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, NOT_THERE, WRONG_USE
from shinkei_cli.main import COMMANDS
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("check", help=COMMANDS["check"], description=__doc__)
    parser.add_argument(
        "--connect", action="store_true", help="also try the log, the database and every machine's address"
    )
    add_config(parser)
    add_format(parser)
    parser.set_defaults(handler=_check)


def _check(args: argparse.Namespace) -> int:
    from shinkei_cli import check

    plant = plant_of(args)
    rows = list(check.offline(plant))
    if args.connect and not any(row["state"] == "wrong" for row in rows):
        rows += check.peers(plant)
    print_rows(rows, check.COLUMNS, args.format)
    if any(row["state"] == "wrong" for row in rows):
        return WRONG_USE
    return NOT_THERE if any(row["state"] == "absent" for row in rows) else DONE
