# ruff: noqa: A005 - named after the word that is typed; always imported as shinkei_cli.commands.trace
"""``shinkei trace …``: where a unit came from, what became of it, what happened to it; the projector, and making it all again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers, add_part

if TYPE_CHECKING:
    from psycopg import Connection

    from shinkei_trace.query import Answer, GapCrossed, Step, UnitFound

NODES = (
    "depth",
    "unit",
    "type",
    "item",
    "certainty",
    "relation",
    "via",
    "from",
    "to",
    "last",
    "machine",
    "op",
    "result",
)
STEPS = (
    "time",
    "machine",
    "op",
    "role",
    "result",
    "product",
    "readings",
    "mounted",
    "with",
    "order",
    "to",
    "corrected_by",
    "record",
)
HASHES = ("table", "before", "after", "same")


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    commands = add_part(subparsers, "trace")
    for name, text in (("backward", "where a unit came from"), ("forward", "what became of a unit, up to shipments")):
        walked = commands.add_parser(name, help=text)
        walked.add_argument("--goods", action="store_true", help="finished goods only") if name == "forward" else None
        _unit(walked, _walk, direction=name)
    _unit(commands.add_parser("history", help="what happened to a unit, with readings against limits"), _history)
    rebuilt = commands.add_parser("rebuild", help="project the whole record again and compare with what was there")
    add_config(rebuilt)
    add_format(rebuilt)
    rebuilt.set_defaults(handler=_rebuild)


def _unit(parser: argparse.ArgumentParser, handler: Callable[[argparse.Namespace], int], **more: Any) -> None:
    parser.add_argument("unit", help="serial number of a part, lot, box …, or TYPE:SERIAL where several types share it")
    parser.add_argument(
        "--as-of", metavar="WHEN", help="as known at this date (ISO 8601) or record number (default: now)"
    )
    add_config(parser)
    add_format(parser)
    parser.set_defaults(handler=handler, **more)


def _walk(args: argparse.Namespace) -> int:
    from shinkei_trace import query

    with _asked(args) as (conn, unit, as_of):
        if unit is None:
            return FAILED
        answer = (query.forward if args.direction == "forward" else query.backward)(conn, unit, as_of)
        print_rows(_nodes(answer, getattr(args, "goods", False)), NODES, args.format)
        _say_gaps(answer.gaps)
    return DONE


def _history(args: argparse.Namespace) -> int:
    from shinkei_trace import query

    with _asked(args) as (conn, unit, as_of):
        if unit is None:
            return FAILED
        print_rows((_step(step) for step in query.history(conn, unit, as_of)), STEPS, args.format)
    return DONE


def _rebuild(args: argparse.Namespace) -> int:
    from shinkei_store.pool import connect
    from shinkei_trace.ingest import project
    from shinkei_trace.rebuild import rebuild

    with connect(plant_of(args), "trace") as conn:
        while project(conn).events:
            pass
        made = rebuild(conn, compare=True)
    rows = [
        {"table": name, "before": was, "after": made.after[name], "same": was == made.after[name]}
        for name, was in made.before.items()
    ]
    print_rows(rows, HASHES, args.format)
    return DONE if made.same else FAILED


@contextmanager
def _asked(args: argparse.Namespace) -> Iterator[tuple[Connection[Any], UnitFound | None, int | None]]:
    """A connection, the unit that is meant (None: unknown or ambiguous, said on standard error), and the record number."""
    from shinkei_events.errors import BadConfig
    from shinkei_store.pool import connect
    from shinkei_trace import query

    with connect(plant_of(args), "trace") as conn:
        try:
            as_of = query.as_of_number(conn, args.as_of) if args.as_of is not None else None
        except ValueError:
            raise BadConfig("--as-of", args.as_of, "a date like 2026-11-23T20:00+01:00, or a record number") from None
        found = query.resolve(conn, args.unit)
        if len(found) != 1:
            near = found or query.nearest(conn, args.unit)
            words = "is several things" if found else "is not known"
            like = ", ".join(f"{one.type}:{one.serial}" if found else one.serial for one in near)
            sys.stderr.write(f"{args.unit} {words}{'; there is ' + like if like else ''}\n")
        yield conn, found[0] if len(found) == 1 else None, as_of


def _nodes(answer: Answer, goods: bool) -> Iterator[dict[str, Any]]:
    for node in answer.nodes:
        if not goods or node.finished:
            yield {
                "depth": node.depth, "unit": node.unit, "type": node.type, "item": node.item, "certainty": node.certainty, "relation": node.relation,
                "via": node.via, "from": _time(node.t_from), "to": _time(node.t_to), "last": _time(node.last), "machine": node.machine, "op": node.op,
                "result": node.result,
            }  # fmt: skip


def _step(step: Step) -> dict[str, Any]:
    readings = [
        f"{r['name']}={r['value']}{' ' + r['unit'] if r['unit'] else ''}{' OUT' if r['within'] is False else ''}"
        for r in step.readings
    ]
    others = [unit["id"] for unit in (*step.inputs, *step.outputs)]
    return {
        "time": _time(step.time), "machine": step.machine, "op": step.op, "role": step.role, "result": step.result, "product": step.product,
        "readings": "; ".join(readings), "mounted": ", ".join(f"{one['slot']} {one['unit']}" for one in step.mounted),
        "with": ", ".join(dict.fromkeys(others)), "order": step.order, "to": step.to, "corrected_by": step.corrected_by,
        "record": f"{step.stream}/{step.number}",
    }  # fmt: skip


def _say_gaps(gaps: list[GapCrossed]) -> None:
    for gap in gaps:
        where = "within the traced work" if gap.why == "within" else "where the trace ends"
        span = f"{_time(gap.t_from) or 'unknown'} to {_time(gap.t_to) or 'unknown'}"
        certain = "something may be missing" if gap.possible or not gap.at_least else f"at least {gap.at_least} missing"
        sys.stderr.write(f"gap: {gap.machine} {span}, {where}: {certain} ({gap.cause})\n")


def _time(ns: int | None) -> str | None:
    from shinkei_events.envelope import rfc3339

    return None if ns is None else rfc3339(ns)[:23] + "Z"
