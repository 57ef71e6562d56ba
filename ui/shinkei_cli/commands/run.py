"""``shinkei run [PART…]``: chosen parts of a plant on this machine, started in order, watched and started again.

Without ``log.bootstrap`` and ``store.dsn`` in plant.toml the embedded log and database run with them.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, WRONG_USE
from shinkei_cli.main import COMMANDS
from shinkei_cli.part import PARTS, Subparsers

if TYPE_CHECKING:
    from shinkei_cli.supervisor import Supervisor

DEFAULT = tuple(part for part in PARTS if part != "plant")


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("run", help=COMMANDS["run"], description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {' '.join(PARTS)} (default: all but plant)")
    parser.add_argument(
        "--lang", choices=("ja", "en"), help="language of what it says (default: SHINKEI_LANG, else the locale's)"
    )
    add_config(parser)
    parser.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> int:
    from shinkei_cli import check
    from shinkei_cli.folder import AlreadyRunningError, Site
    from shinkei_cli.narrator import Narrator
    from shinkei_cli.output import say
    from shinkei_cli.programs import programs_of
    from shinkei_cli.supervisor import Supervisor
    from shinkei_cli.words import Words, language
    from shinkei_events.errors import BadConfig

    words = Words(language(args.lang))
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        raise BadConfig("PART", unknown[0], f"is none of {', '.join(PARTS)}")
    plant, parts = plant_of(args), args.parts or list(DEFAULT)
    check.demand(plant, parts)
    narrator = Narrator(words)
    try:
        programs = programs_of(plant, parts)
        with Site(plant.dir) as site, Supervisor(plant.dir, programs, narrator, (site.lock,)) as supervisor:
            supervisor.run(until=lambda: supervisor.ready() or bool(supervisor.given_up()))
            if supervisor.ready():
                narrator.say("running")
                if "ui" in parts:
                    narrator.say("board", url=board_url(plant.dir))
            supervisor.run(until=lambda: _look(args, parts, supervisor) or bool(supervisor.given_up()))
            failed = bool(supervisor.given_up())
            narrator.say("ending")
    except AlreadyRunningError as error:
        say(words("same_folder", folder=error.folder, pid=error.pid))
        return WRONG_USE
    narrator.say("ended")
    return WRONG_USE if failed else DONE


def _look(args: argparse.Namespace, parts: list[str], supervisor: Supervisor) -> bool:
    """Start what plant.toml has more of now (another shard), when somebody asks for it; a file that is wrong changes nothing."""
    from shinkei_cli.programs import programs_of
    from shinkei_events.errors import BadConfig

    if supervisor.asked_to_look:
        supervisor.asked_to_look = False
        with contextlib.suppress(BadConfig):
            supervisor.add(programs_of(plant_of(args), parts))
    return False


def board_url(folder: Path) -> str:
    """Where the screens say that they are served; empty when they do not answer now."""
    from shinkei_cli.health import ask
    from shinkei_events.runfile import read_run

    found = read_run(folder, "ui") or {}
    health = ask(found["http"]) if found.get("http") else None
    return str((health or {}).get("details", {}).get("url", ""))
