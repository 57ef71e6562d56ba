"""``shinkei gateway send-again``: has the running gateway send a machine's stream to the log again, from a number on.

For readers of the log other than the recorder, which asks by itself for what it misses. Numbers make repeats harmless: who has them
drops them.
"""

from __future__ import annotations

import argparse
import sys

from shinkei_cli.arguments import seconds
from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers

COLUMNS = ("stream", "asked", "from", "to", "numbers", "detail")
WAIT_S = 20.0
_KINDS = ("signals", "production", "history", "quarantine")


def register(commands: Subparsers) -> None:
    """Add `send-again`."""
    again = commands.add_parser(
        "send-again",
        help="send a machine's stream to the log again, from a number on; exit 1 when that is refused, 3 when nobody answers",
    )
    again.add_argument("machine", metavar="MACHINE", help="the machine's short id")
    again.add_argument(
        "--from",
        dest="number",
        type=int,
        required=True,
        metavar="NUMBER",
        help="the first number that is wanted (from 1)",
    )
    again.add_argument("--kind", choices=_KINDS, default="signals", help="which of its streams (default: signals)")
    again.add_argument("--epoch", default="", metavar="ID", help="of an earlier epoch (default: the one written now)")
    again.add_argument(
        "--wait", type=seconds, default=WAIT_S, metavar="SECONDS", help="give up after this long (default: 20)"
    )
    add_config(again)
    add_format(again)
    again.set_defaults(handler=_send_again)


def _send_again(args: argparse.Namespace) -> int:
    from shinkei_cli.ask import ask_gateway
    from shinkei_cli.named import machines
    from shinkei_events.allowed import named
    from shinkei_events.identity import StreamId
    from shinkei_events.model.progress import SendAgain

    plant = plant_of(args)
    stream = StreamId(args.epoch, args.machine, args.kind)
    (answers,) = ask_gateway(plant, [SendAgain(stream=stream, number=args.number)], wait=args.wait)
    if not answers:
        # Not before asking: a spool may have streams of machines that nobody speaks for any more.
        if known := machines(plant):
            named("MACHINE", args.machine, known, "machine of this gateway")
        sys.stderr.write(
            f"shinkei: no gateway answered within {args.wait:g} s: does it run, and does it write {args.machine} {args.kind}?\n"
        )
        return NOT_THERE
    reply = answers[0]
    if reply.outcome != "done":
        sys.stderr.write(f"shinkei: {reply.outcome}: {reply.error}\n")
        return NOT_THERE if reply.outcome == "failed" else FAILED
    found = reply.result
    start, count = found["from"], found["next"] - found["from"]
    row = {
        "stream": found["stream"], "asked": args.number, "from": start if count else None, "to": found["next"] - 1 if count else None,
        "numbers": count, "detail": f"numbers below {start} are on record and are not sent again" if start > args.number else "",
    }  # fmt: skip
    print_rows([row], COLUMNS, args.format)
    return DONE
