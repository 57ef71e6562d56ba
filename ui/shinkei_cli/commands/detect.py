"""``shinkei detect …``: the detector, what it has said, recordings tried offline, and whether the record still says the same."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED
from shinkei_cli.output import add_format, print_rows
from shinkei_cli.part import Subparsers, add_part

if TYPE_CHECKING:
    from shinkei_events.model.anomaly import AnomalyChanged

ANOMALIES = ("id", "machine", "finding", "rule", "phase", "began", "ended", "score", "signals", "first", "last")
SCORES = ("recording", "rows", "anomalies", "f1", "far_percent", "mar_percent")
VERIFIED = ("machine", "stream", "readings", "same", "missing", "other")


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    commands = add_part(subparsers, "detect")
    listed = commands.add_parser("list", help="anomalies and data-quality findings, the open ones or all")
    listed.add_argument("--all", action="store_true", help="also what is closed")
    listed.add_argument("--machine", help="of this machine only")
    _finish(listed, _list)
    replayed = commands.add_parser("replay", help="what the detector says of recordings (CSV), without log or database")
    replayed.add_argument("file", nargs="+", type=Path, help="a CSV file with a time column and signals")
    add_format(replayed)
    replayed.set_defaults(handler=_replay)
    scored = commands.add_parser("score", help="F1 and false alarms on recordings with a column 'anomaly'")
    scored.add_argument("file", nargs="+", type=Path, help="a labelled CSV file; each is one cold start")
    scored.add_argument(
        "--skip", type=int, default=400, metavar="ROWS", help="rows of each file that are not counted (400)"
    )
    add_format(scored)
    scored.set_defaults(handler=_score)
    _finish(commands.add_parser("verify", help="detect again from the record and compare with what was said"), _verify)


def _finish(parser: argparse.ArgumentParser, handler: Any) -> None:
    add_config(parser)
    add_format(parser)
    parser.set_defaults(handler=handler)


def _row(event: AnomalyChanged) -> dict[str, Any]:
    from shinkei_events.envelope import rfc3339

    names = ", ".join(f"{one.signal} {one.share:.0%}" for one in event.signals[:3])
    return {
        "id": event.id, "machine": event.machine, "finding": event.finding, "rule": event.rule, "phase": event.phase,
        "began": rfc3339(event.began), "ended": rfc3339(event.ended) if event.ended else None, "score": round(event.score, 2),
        "signals": names, "first": event.first, "last": event.last,
    }  # fmt: skip


def _list(args: argparse.Namespace) -> int:
    import msgspec

    from shinkei_events.allowed import named
    from shinkei_events.model.anomaly import AnomalyChanged
    from shinkei_store.pool import connect

    with connect(plant_of(args), "detect") as conn:
        if args.machine is not None:
            known = conn.execute("select machine from stream union select machine from anomaly").fetchall()
            named("--machine", args.machine, [name for (name,) in known], "machine on record")
        found = conn.execute(
            "select body::text from anomaly where (%s or phase <> 'closed') and (%s::text is null or machine = %s) order by began, id",
            (args.all, args.machine, args.machine),
        )
        print_rows((_row(msgspec.json.decode(body, type=AnomalyChanged)) for (body,) in found), ANOMALIES, args.format)
    return DONE


def _replay(args: argparse.Namespace) -> int:
    from shinkei_detect.recording import Recording
    from shinkei_detect.replay import replay

    def said() -> Iterator[dict[str, Any]]:
        for path in args.file:
            yield from (_row(event) for event in replay(Recording(path).frames()))

    print_rows(said(), ANOMALIES, args.format)
    return DONE


def _score(args: argparse.Namespace) -> int:
    from shinkei_detect.recording import Recording
    from shinkei_detect.replay import replay
    from shinkei_detect.score import Score, alarm_rows, compare

    rows, total = [], Score()
    for path in args.file:
        recording = Recording(path)
        if recording.truth is None:
            continue
        said = list(replay(recording.frames()))
        one = compare(recording.truth, alarm_rows(recording.times, said), args.skip)
        total += one
        rows.append(_scored(path.name, len(recording.times), sum(event.phase == "opened" for event in said), one))
    if rows:
        rows.append(_scored("all", sum(row["rows"] for row in rows), sum(row["anomalies"] for row in rows), total))
    print_rows(rows, SCORES, args.format)
    return DONE if rows else FAILED


def _scored(name: str, count: int, anomalies: int, score: Any) -> dict[str, Any]:
    return {
        "recording": name, "rows": count, "anomalies": anomalies, "f1": round(score.f1, 4), "far_percent": round(score.far, 2),
        "mar_percent": round(score.mar, 2),
    }  # fmt: skip


def _verify(args: argparse.Namespace) -> int:
    import msgspec

    from shinkei_detect.run import unwatched_of
    from shinkei_detect.settings import DetectSettings
    from shinkei_detect.verify import verify
    from shinkei_events.settings import section
    from shinkei_store.pool import connect

    plant = plant_of(args)
    with connect(plant, "detect") as conn:
        results = list(verify(conn, section(plant, "detect", DetectSettings), unwatched_of(plant.signals)))
    print_rows((msgspec.to_builtins(result) for result in results), VERIFIED, args.format)
    return FAILED if any(result.missing or result.other for result in results) else DONE
