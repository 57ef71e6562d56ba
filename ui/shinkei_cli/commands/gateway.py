"""``shinkei gateway …``: run the gateway; reconcile what machines gave with what is stored; try and browse the sources."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shinkei_cli.commands import (
    gateway_browse,
    gateway_preview,
    gateway_quarantine,
    gateway_reload,
    gateway_send_again,
    gateway_trust,
)
from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE
from shinkei_cli.output import add_format, print_rows, say
from shinkei_cli.part import Subparsers, add_part

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile


_UNKNOWN = (
    "what was sent and stored is not known where it is empty: only a running gateway that has reached the log can say it, "
    "and nobody for a spool that is lost"
)
_SHARD = "which of the gateway's shards (needed when the file names several; each is a process of its own)"


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    commands = add_part(subparsers, "gateway", lambda run: run.add_argument("--shard", metavar="NAME", help=_SHARD))
    reconcile = commands.add_parser(
        "reconcile",
        help="per source and hour: offered, received, duplicate, quarantined, sent, stored; exit 1 when they differ or "
        "what is two hours old is not stored, 3 when nobody knows because the gateway does not run",
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
    gateway_quarantine.register(commands)
    gateway_reload.register(commands)
    gateway_browse.register(commands)
    gateway_preview.register(commands)
    gateway_send_again.register(commands)
    gateway_trust.register(commands)


def _reconcile(args: argparse.Namespace) -> int:
    from shinkei_gateway.reconcile import COLUMNS, verdict

    rows = _rows(plant_of(args))
    shown = ({**row, "hour": datetime.fromtimestamp(row["hour"] / 1e9, UTC)} for row in rows)
    print_rows(shown, COLUMNS, args.format)
    found = verdict(rows)
    if any(row["balanced"] is None for row in rows):
        say(_UNKNOWN, sys.stderr)
    return DONE if found else NOT_THERE if found is None else FAILED


def _rows(plant: PlantFile) -> list[dict[str, Any]]:
    """Of all shards, from the running process, else from its books; raises `NotConnected` when there are none."""
    from shinkei_events.errors import NotConnected
    from shinkei_events.settings import section
    from shinkei_gateway.reconcile import Books
    from shinkei_gateway.settings import GatewaySettings, shards_of
    from shinkei_gateway.shards import books_file, part_name, spool_folder

    settings = section(plant, "gateway", GatewaySettings)
    rows: list[dict[str, Any]] = []
    is_there = False
    for shard in shards_of(settings):
        said = _asked(plant, part_name(settings, shard))
        path = books_file(spool_folder(plant, settings, shard))
        if said is not None:
            rows += said
        elif path.exists():  # it was ended or killed: its books are what is left
            rows += Books(path.read_bytes()).rows(None, time.time_ns())
        is_there |= said is not None or path.exists()
    if not is_there:
        raise NotConnected(f"no gateway has run in {plant.dir}: it keeps no books")
    return rows


def _asked(plant: PlantFile, part: str) -> list[dict[str, Any]] | None:
    import json
    from urllib.error import URLError
    from urllib.request import urlopen

    from shinkei_events.runfile import read_run

    found = read_run(plant.dir, part)
    if found is None:
        return None
    try:
        with urlopen(f"http://{found['http']}/health", timeout=5) as answer:
            rows: list[dict[str, Any]] = json.load(answer)["details"]["reconcile"]
            return rows
    except (URLError, OSError, KeyError, ValueError):
        return None


def _check(args: argparse.Namespace) -> int:
    from shinkei_gateway.check import COLUMNS, try_sources

    rows: Iterable[Mapping[str, Any]] = try_sources(plant_of(args))
    rows = list(rows)
    print_rows(rows, COLUMNS, args.format)
    return NOT_THERE if any(row["state"] != "ok" for row in rows) else DONE
