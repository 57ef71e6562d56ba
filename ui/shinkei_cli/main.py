"""The entry of `shinkei`: finds the command, runs it, turns errors into one line and an exit code.

Knows the words and where they live, nothing of what they do. A command's module is imported only when its word is typed, so that
``shinkei --help`` answers at once. Called by the console script and by `python -m shinkei_cli`.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from shinkei_cli.exits import FAILED, INTERRUPTED, NOT_THERE, WRONG_USE

COMMANDS = {
    "demo": "a whole plant on this machine: line, gateway, log, database, detector, alarms, lineage and the board",
    "run": "run chosen parts of a plant here, supervised",
    "status": "what is running, since when, how far behind",
    "check": "check plant.toml; with --connect also whether its peers answer",
    "apply": "put the master data of plant.toml into the database",
    "gateway": "machines to the log",
    "store": "the recorder and its database",
    "detect": "anomaly detection",
    "trace": "lineage: where parts came from and went",
    "alerts": "alarms, pages and acknowledgements",
    "ui": "the screens",
    "plant": "a simulated line, or recordings played as machines",
    "log": "the embedded log",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code (see `shinkei_cli.exits`)."""
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser(words)
    try:
        args = parser.parse_args(words)
    except SystemExit as end:
        return int(end.code or 0)
    handler = getattr(args, "handler", None)
    if handler is None:
        parser.print_help()
        return WRONG_USE if words else 0
    return _guarded(handler, args)


def build_parser(words: list[str]) -> argparse.ArgumentParser:
    """The parser for ``words``: every command's name and help, but only the chosen command's own options."""
    parser = argparse.ArgumentParser(prog="shinkei", description="The nervous system of a factory.")
    parser.add_argument(
        "--version", action="store_const", const=_version, dest="handler", help="print the version and end"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND")
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        if name == chosen:
            import_module(f"shinkei_cli.commands.{name}").register(subparsers)
        else:
            subparsers.add_parser(name, help=text)
    return parser


def _version(args: argparse.Namespace) -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("shinkei")
    except PackageNotFoundError:
        found = "not installed"
    sys.stdout.write(f"shinkei {found}\n")
    return 0


def _guarded(handler: object, args: argparse.Namespace) -> int:
    from shinkei_events.errors import BadConfig, BadInput, NotConnected, ShinkeiError

    assert callable(handler)
    try:
        code = handler(args)
        sys.stdout.flush()
        return int(code or 0)
    except BadConfig as error:
        return _say(error, WRONG_USE)
    except NotConnected as error:
        return _say(error, NOT_THERE)
    except ShinkeiError as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if error.filename is None:
            raise  # no file that somebody named
        return _say(BadInput(f"{error.filename}: {error.strerror}"), WRONG_USE)


def _say(error: Exception, code: int) -> int:
    sys.stderr.write(f"shinkei: {error}\n")
    return code
