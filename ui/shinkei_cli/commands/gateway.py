"""``shinkei gateway …``: run the gateway; reconcile what machines gave with what is stored; try the sources."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers, add_part

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    commands = add_part(subparsers, "gateway")
    reconcile = commands.add_parser(
        "reconcile",
        help="per source and hour: offered, received, duplicate, quarantined, sent, stored; exit 1 when they differ",
    )
    add_config(reconcile)
    add_format(reconcile)
    reconcile.set_defaults(handler=_reconcile)
    check = commands.add_parser(
        "check", help="connect to every source and say what it answers; exit 3 when one does not"
    )
    add_config(check)
    add_format(check)
    check.set_defaults(handler=_check)


def _reconcile(args: argparse.Namespace) -> int:
    from shinkei_gateway.reconcile import COLUMNS

    rows = _rows(plant_of(args))
    shown = ({**row, "hour": datetime.fromtimestamp(row["hour"] / 1e9, UTC)} for row in rows)
    print_rows(shown, COLUMNS, args.format)
    return FAILED if not all(row["balanced"] for row in rows) else DONE


def _rows(plant: PlantFile) -> list[dict[str, Any]]:
    """From the running gateway, else from its books; raises `NotConnected` when there are none."""
    import json
    from urllib.error import URLError
    from urllib.request import urlopen

    from shinkei_events.errors import NotConnected
    from shinkei_events.runfile import read_run
    from shinkei_events.settings import section
    from shinkei_gateway.reconcile import Books
    from shinkei_gateway.run import books_file, spool_folder
    from shinkei_gateway.settings import GatewaySettings

    found = read_run(plant.dir, "gateway")
    if found is not None:
        try:
            with urlopen(f"http://{found['http']}/health", timeout=5) as answer:
                rows: list[dict[str, Any]] = json.load(answer)["details"]["reconcile"]
                return rows
        except (URLError, OSError, KeyError, ValueError):
            pass  # it was killed: its books are what is left
    path = books_file(spool_folder(plant, section(plant, "gateway", GatewaySettings)))
    if not path.exists():
        raise NotConnected(f"no gateway has run in {plant.dir}: there is no {path.name}")
    return Books(path.read_bytes()).rows({})


def _check(args: argparse.Namespace) -> int:
    from shinkei_gateway.check import COLUMNS, try_sources

    rows: Iterable[Mapping[str, Any]] = try_sources(plant_of(args))
    rows = list(rows)
    print_rows(rows, COLUMNS, args.format)
    return NOT_THERE if any(row["state"] != "ok" for row in rows) else DONE
