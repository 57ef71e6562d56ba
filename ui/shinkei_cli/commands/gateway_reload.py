"""``shinkei gateway reload``: the running gateway reads plant.toml again and changes only what is different in it.

A file that is wrong is refused whole, with the reason, and the gateway goes on with what it had. A shard that is new in the file is
started by the supervisor, if one runs.
"""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile

COLUMNS = ("shard", "outcome", "added", "changed", "removed", "untouched", "later", "detail")


def register(commands: Subparsers) -> None:
    """Add the command below ``shinkei gateway``."""
    parser = commands.add_parser(
        "reload", help="read plant.toml again; sources that are the same in it are not touched"
    )
    add_config(parser)
    add_format(parser)
    parser.set_defaults(handler=_reload)


def _reload(args: argparse.Namespace) -> int:
    return reload_gateway(plant_of(args), args.format)


def reload_gateway(plant: PlantFile, kind: str) -> int:
    """Ask every running shard; prints one row each. Raises `BadConfig` for a file that is wrong: nobody is asked then."""
    from shinkei_cli.ask import ask_gateway
    from shinkei_cli.folder import alive
    from shinkei_events.model.progress import Apply
    from shinkei_events.runfile import read_run
    from shinkei_events.settings import section
    from shinkei_gateway.settings import GatewaySettings, shards_of
    from shinkei_gateway.shards import part_name

    settings = section(plant, "gateway", GatewaySettings)
    shards = shards_of(settings)
    runs = {shard: read_run(plant.dir, part_name(settings, shard)) or {} for shard in shards}
    running = [shard for shard, run in runs.items() if alive(run.get("pid"))]
    (answers,) = ask_gateway(plant, [Apply()], answers=max(1, len(running)))
    rows: list[dict[str, Any]] = []
    for answer in sorted(answers, key=lambda answer: answer.shard):
        said = answer.result
        rows.append({
            "shard": answer.shard, "outcome": answer.outcome, "detail": answer.error,
            **{name: " ".join(said.get(name, [])) for name in ("added", "changed", "removed", "later")}, "untouched": len(said.get("same", [])),
        })  # fmt: skip
    answered = {answer.shard for answer in answers}
    rows += [
        {"shard": shard, "outcome": "no answer", "detail": "does it run?"} for shard in shards if shard not in answered
    ]
    new = [shard for shard in shards if shard not in answered and shard not in running]
    supervisor = (read_run(plant.dir, "supervisor") or {}).get("pid")
    if new and answers and isinstance(supervisor, int) and alive(supervisor):
        os.kill(supervisor, signal.SIGUSR1)
        for row in rows:
            if row["shard"] in new:
                row |= {"outcome": "started", "detail": "by the supervisor"}
    print_rows(rows, COLUMNS, kind)
    if not answers:
        return NOT_THERE
    return DONE if all(answer.outcome == "done" for answer in answers) else FAILED
