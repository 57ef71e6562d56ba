"""``shinkei gateway preview``: live values of a source's nodes, read once by the running gateway and told over the log."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from shinkei_cli.arguments import seconds
from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers

COLUMNS = ("name", "value", "status", "source_time", "server_time", "error", "node")
WAIT_S = 20.0


def register(commands: Subparsers) -> None:
    """Add `preview`."""
    preview = commands.add_parser(
        "preview",
        help="live values of nodes, read once by the running gateway; exit 1 when one is bad, 3 when nobody answers",
    )
    preview.add_argument("source", help="the source's name in plant.toml")
    preview.add_argument(
        "nodes", nargs="*", metavar="NODE", help="node ids (nsu=…;s=…) or names of its signals (default: all of them)"
    )
    preview.add_argument(
        "--wait", type=seconds, default=WAIT_S, metavar="SECONDS", help="give up after this long (default: 20)"
    )
    add_config(preview)
    add_format(preview)
    preview.set_defaults(handler=_preview)


def _preview(args: argparse.Namespace) -> int:
    import sys

    from shinkei_cli.ask import ask_gateway
    from shinkei_cli.named import opcua_source
    from shinkei_events.errors import BadConfig
    from shinkei_events.model.progress import Preview

    plant = plant_of(args)
    if (found := opcua_source(plant, "SOURCE", args.source)) is None:
        raise BadConfig("SOURCE", args.source, "the name of a source of plant.toml with type opcua, or its URL")
    source, settings = found
    names = {signal.name: signal.node for signal in settings.signals}
    by_node = {node: name for name, node in names.items()}
    nodes = [names.get(node, node) for node in args.nodes] or list(names.values())
    (answers,) = ask_gateway(plant, [Preview(source=source, nodes=nodes)], wait=args.wait)
    if not answers:
        sys.stderr.write(f"shinkei: no gateway answered within {args.wait:g} s\n")
        return NOT_THERE
    reply = answers[0]
    if reply.outcome != "done":
        sys.stderr.write(f"shinkei: {reply.outcome}: {reply.error}\n")
        return NOT_THERE if reply.outcome == "failed" else FAILED
    rows = [_row(row, by_node) for row in reply.result["values"]]
    print_rows(rows, COLUMNS, args.format)
    if reply.result["cut"]:
        sys.stderr.write(f"shinkei: {len(rows)} of {reply.result['found']} values fit into one answer: ask for fewer\n")
    bad = any(row["status"] >= 0x8000_0000 for row in reply.result["values"])
    return FAILED if bad or reply.result["cut"] else DONE


def _row(row: dict[str, Any], by_node: dict[str, str]) -> dict[str, Any]:
    times = {name: _time(row.get(name)) for name in ("source_time", "server_time")}
    return {**row, **times, "status": row["status_name"], "name": by_node.get(row["node"], "")}


def _time(moment: int | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment / 1e9, UTC)
