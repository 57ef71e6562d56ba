"""``shinkei status``: what is running, since when, how far behind. Exit 0: all is ready; 1: something is not; 3: nothing runs."""

from __future__ import annotations

import argparse
import sys

from shinkei_cli.config import folder_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE
from shinkei_cli.main import COMMANDS
from shinkei_cli.output import add_format, print_rows, say
from shinkei_cli.part import Subparsers


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("status", help=COMMANDS["status"], description=__doc__)
    parser.add_argument("--dir", help="the site's folder (default: SHINKEI_DIR, else .shinkei here)")
    add_format(parser)
    parser.set_defaults(handler=_status)


def _status(args: argparse.Namespace) -> int:
    from shinkei_cli import status

    found = status.rows(folder_of(args))
    if not found:
        say(f"nothing runs in {folder_of(args)} (--dir names another folder)", sys.stderr)
    if found or args.format != "table":
        print_rows(found, status.COLUMNS, args.format)
    if status.everything_ready(found):
        return DONE
    return FAILED if any(row["state"] != "gone" for row in found) else NOT_THERE
