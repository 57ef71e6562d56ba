"""``shinkei demo``: a simulated line that makes coolant pumps, and everything that watches it, on this machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from shinkei_cli.config import folder_of
from shinkei_cli.main import COMMANDS
from shinkei_cli.part import Subparsers


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("demo", help=COMMANDS["demo"], description=__doc__)
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="FOLDER",
        help="where it keeps everything (default: SHINKEI_DIR, else .shinkei here)",
    )
    parser.add_argument(
        "--port",
        type=int,
        help="port of the board (default: SHINKEI_PORT, else 8501; the next free one when it is taken)",
    )
    parser.add_argument("--lang", choices=("ja", "en"), help="language (default: SHINKEI_LANG, else the locale's)")
    parser.add_argument("--calm", action="store_true", help="no trouble on the line")
    parser.add_argument("--seed", type=int, help="another line from another number")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="the machines and their clocks run X times faster"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME@SECONDS", help="let this go wrong so long after the start"
    )
    parser.add_argument(
        "--no-history", action="store_true", help="do not begin with the last 8 hours already on the boards"
    )
    parser.set_defaults(handler=_demo)


def _demo(args: argparse.Namespace) -> int:
    from shinkei_cli import demo
    from shinkei_cli.words import language

    if args.lang:
        os.environ["SHINKEI_LANG"] = args.lang  # the screens are children of this process and speak it too
    return demo.run(
        demo.Wishes(
            folder_of(args),
            _port(args.port),
            language(args.lang),
            args.seed,
            args.speed,
            args.calm,
            tuple(args.fault),
            not args.no_history,
        )
    )


def _port(given: int | None) -> int:
    from shinkei_cli.demo import DEFAULT_PORT
    from shinkei_events.errors import BadConfig

    text = str(given) if given is not None else os.environ.get("SHINKEI_PORT") or str(DEFAULT_PORT)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise BadConfig("--port" if given is not None else "SHINKEI_PORT", text, "expected a port number, 1 to 65535")
    return int(text)
