"""``shinkei alerts …``: the alarm part, what is open, acknowledging, and a test page to every target."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from typing import Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers, add_part

ALARMS = ("id", "priority", "state", "machine", "text", "since", "occurrence", "acknowledged_by", "pages")
TARGETS = ("target", "taken", "why")
ACK_WITHIN_S = 10.0

_LIST = """
select a.id, a.priority, a.state, a.machine, a.text, a.condition, a.since, a.occurrence, a.acknowledged_by, a.acknowledged_occurrence, a.closed_at,
  (select string_agg(d.target || ' ' || d.state, ', ' order by d.created) from delivery d where d.alarm = a.id and d.occurrence = a.occurrence)
from alarm a where {which} order by a.closed_at is not null, a.priority, a.since desc"""


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    commands = add_part(subparsers, "alerts")
    listed = commands.add_parser("list", help="open alarms, most important first")
    listed.add_argument("--all", action="store_true", help="also what is closed")
    _finish(listed, _list)
    seen = commands.add_parser("ack", help="acknowledge an alarm: you have seen it as it is now")
    seen.add_argument("alarm", help="its id, or the beginning of it")
    seen.add_argument("--comment", default="", help="what the next person should know")
    seen.add_argument("--actor", help="your pseudonym (default: made from the login name; names stay out of events)")
    _finish(seen, _ack)
    tried = commands.add_parser("test", help="hand a test page to every target now, without the alarm part")
    tried.add_argument("--target", help="this one only")
    _finish(tried, _test)


def _finish(parser: argparse.ArgumentParser, handler: Any) -> None:
    add_config(parser)
    add_format(parser)
    parser.set_defaults(handler=handler)


def _list(args: argparse.Namespace) -> int:
    from shinkei_store.pool import connect

    plant = plant_of(args)
    with connect(plant, "alerts") as conn:
        rows = _rows(conn, plant.site.languages[0], "true" if args.all else "a.closed_at is null")
    print_rows(rows, ALARMS, args.format)
    return DONE


def _ack(args: argparse.Namespace) -> int:
    from shinkei_events.identity import digest
    from shinkei_events.model.decision import Acknowledged, Actor
    from shinkei_store.outbox import decide
    from shinkei_store.pool import connect

    plant = plant_of(args)
    with connect(plant, "alerts") as conn:
        found = _rows(conn, plant.site.languages[0], "a.closed_at is null and starts_with(a.id, %s)", args.alarm)
        if len(found) != 1:
            what = "is the beginning of several open alarms" if found else "is no open alarm"
            sys.stderr.write(f"{args.alarm} {what}; shinkei alerts list shows what is open\n")
            return FAILED
        (row,) = found
        actor = Actor(args.actor or "p-" + digest("actor", plant.site.id, getpass.getuser())[:8], "cli")
        decision = Acknowledged(id="", actor=actor, time=time.time_ns(), subject=row["machine"], comment=args.comment, alarm=row["id"],
                                occurrence=row["occurrence"])  # fmt: skip
        decide(conn, plant.site.id, "alerts", decision, source="alerts/cli")
        conn.commit()
        until = time.monotonic() + ACK_WITHIN_S
        while time.monotonic() < until:
            (now,) = _rows(conn, plant.site.languages[0], "a.id = %s", row["id"])
            conn.rollback()
            if now["acknowledged_occurrence"] >= row["occurrence"]:
                print_rows([now], ALARMS, args.format)
                return DONE
            time.sleep(0.1)
    sys.stderr.write("the decision is on record; the alarm part does not answer, and takes it when it runs\n")
    return FAILED


def _test(args: argparse.Namespace) -> int:
    from shinkei_alerts.deliver import Deliverer
    from shinkei_alerts.settings import AlertsSettings
    from shinkei_events.errors import BadConfig
    from shinkei_events.identity import digest
    from shinkei_events.settings import section

    plant = plant_of(args)
    targets = [t for t in section(plant, "alerts", AlertsSettings).targets if args.target in (None, t.name)]
    if not targets:
        raise BadConfig("alerts.targets", args.target or "", "no such target")
    deliverer, now = Deliverer(plant), time.time_ns()
    words = {"ja": "テスト通知", "en": "Test page"}
    rows = []
    for target in targets:
        title = f"{words.get(target.language or plant.site.languages[0], words['en'])} – {plant.site.id}"
        why = deliverer.hand_over(target, digest("test", target.name, now), title, "shinkei alerts test")
        rows.append({"target": target.name, "taken": why is None, "why": why})
    print_rows(rows, TARGETS, args.format)
    return DONE if all(row["taken"] for row in rows) else FAILED


def _rows(conn: Any, language: str, which: str, *given: object) -> list[dict[str, Any]]:
    from shinkei_events.envelope import rfc3339

    found = []
    for id, priority, state, machine, text, condition, since, occurrence, by, seen, closed, pages in conn.execute(
        _LIST.format(which=which), given
    ):
        found.append({
            "id": id, "priority": priority, "state": "CLOSED" if closed else state, "machine": machine,
            "text": text.get(language) or next(iter(text.values()), condition), "since": rfc3339(since)[:23] + "Z", "occurrence": occurrence,
            "acknowledged_by": by, "acknowledged_occurrence": seen, "pages": pages,
        })  # fmt: skip
    return found
