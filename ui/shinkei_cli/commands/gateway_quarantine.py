"""``shinkei gateway quarantine list|show|fix|replay``: what a gateway could not understand, and taking it again.

The running gateway does the replay: the message goes through its source's mapping again, gets the next numbers of its stream and keeps
the source times it had. Done once: a second replay is recognised.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED, NOT_THERE, WRONG_USE
from shinkei_cli.output import add_format, print_rows, say
from shinkei_cli.part import Subparsers

if TYPE_CHECKING:
    from shinkei_cli.quarantined import Kept
    from shinkei_events.settings import PlantFile

ANSWER_COLUMNS = ("id", "outcome", "items", "detail")


def register(commands: Subparsers) -> None:
    """Add the family of commands below ``shinkei gateway``."""
    parser = commands.add_parser("quarantine", help="what could not be understood: list, show, fix, replay")
    family: Subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    _list = _add(
        family, "list", "records that wait; --all: the replayed ones and what consumers refused too", _show_list
    )
    _list.add_argument(
        "--all", action="store_true", help="replayed ones too, and records of the log that a consumer refused"
    )
    _list.add_argument("--source", help="only of this source")
    add_format(_list)
    show = _add(family, "show", "one record with its bytes", _show_one)
    show.add_argument("id", help="its id in the list, or MACHINE/NUMBER")
    show.add_argument("--raw", type=Path, metavar="FILE", help="write the bytes to a file")
    fix = _add(family, "fix", "another payload (or mapping), then replay", _fix)
    fix.add_argument("id", help="its id in the list, or MACHINE/NUMBER")
    how = fix.add_mutually_exclusive_group()
    how.add_argument(
        "--payload", type=Path, metavar="FILE", help="the payload to take instead (default: edit it in $EDITOR)"
    )
    how.add_argument(
        "--mapping", action="store_true", help="edit plant.toml in $EDITOR instead; the gateway reads it again first"
    )
    add_format(fix)
    replay = _add(
        family,
        "replay",
        "take records again; exit 1 when one is still not understood, 3 when no gateway answers",
        _replay,
    )
    replay.add_argument("id", nargs="*", help="ids in the list, or MACHINE/NUMBER")
    replay.add_argument("--source", help="all that wait of this source")
    add_format(replay)


def _add(family: Subparsers, name: str, text: str, handler: Any) -> argparse.ArgumentParser:
    parser = family.add_parser(name, help=text)
    add_config(parser)
    parser.set_defaults(handler=handler)
    return parser


def _show_list(args: argparse.Namespace) -> int:
    from shinkei_cli.quarantined import COLUMNS, kept, refused_by_consumers, rows

    plant = plant_of(args)
    entries = kept(plant)
    if args.source is not None:
        _check_source(plant, entries, args.source)
    entries = [e for e in entries if (args.all or not e.replayed) and args.source in (None, e.record.source)]
    found = [*rows(entries), *(refused_by_consumers(plant) if args.all and args.source is None else [])]
    print_rows(found, COLUMNS, args.format)
    return DONE


def _check_source(plant: PlantFile, entries: list[Kept], source: str) -> None:
    """One that is in plant.toml, or was when it gave a record. Raises `BadConfig`."""
    from shinkei_cli.named import sources
    from shinkei_events.allowed import named

    known = {*sources(plant), *(entry.record.source for entry in entries)}
    named("--source", source, known, "source of plant.toml or of a record")


def _show_one(args: argparse.Namespace) -> int:
    from shinkei_cli.quarantined import COLUMNS, find, kept, rows

    entry = find(kept(plant_of(args)), args.id)
    record = entry.record
    row = next(iter(rows([entry])))
    for name in COLUMNS:
        say(f"{name:10} {row[name]}")
    say(f"{'path':10} {record.path or ''}\n{'type':10} {record.content_type}\n")
    if args.raw is not None:
        args.raw.write_bytes(record.raw)
    else:
        say(_readable(record.raw))
    return DONE


def _readable(raw: bytes) -> str:
    """As text where it is text, else as hexadecimal lines."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(char.isprintable() or char in "\n\r\t" for char in text):
        return text
    return "\n".join(f"{at:06x}  {raw[at : at + 16].hex(' ')}" for at in range(0, len(raw), 16))


def _replay(args: argparse.Namespace) -> int:
    from shinkei_cli.quarantined import find, kept

    plant = plant_of(args)
    entries = kept(plant)
    chosen = [find(entries, name) for name in args.id]
    if args.source is not None:
        _check_source(plant, entries, args.source)
        chosen += [entry for entry in entries if entry.record.source == args.source and not entry.replayed]
    if not chosen:
        sys.stderr.write("shinkei: nothing to replay: give ids, or a --source that has records that wait\n")
        return WRONG_USE if not args.id and args.source is None else DONE
    return _ask(plant, [(entry, None) for entry in chosen], args.format)


def _fix(args: argparse.Namespace) -> int:
    from shinkei_cli.quarantined import find, kept

    plant = plant_of(args)
    entry = find(kept(plant), args.id)
    if args.mapping:
        from shinkei_cli.commands.gateway_reload import reload_gateway

        _edit(plant.path)
        code = reload_gateway(plant, args.format)
        return code if code != DONE else _ask(plant, [(entry, None)], args.format)
    payload = args.payload.read_bytes() if args.payload is not None else _edited(entry.record.raw)
    return _ask(plant, [(entry, payload)], args.format)


def _edited(raw: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="shinkei-") as folder:
        path = Path(folder) / "payload"
        path.touch(mode=0o600)
        path.write_bytes(raw)
        _edit(path)
        return path.read_bytes()


def _edit(path: Path) -> None:
    """Raises `BadInput` when the editor says that it failed: nothing is replayed then."""
    from shinkei_events.errors import BadInput

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as error:
        raise BadInput(f"{editor!r} cannot be started ({error}): set EDITOR, or give --payload FILE") from error
    if code != 0:
        raise BadInput(f"{editor} did not end well; nothing was replayed")


def _ask(plant: PlantFile, wanted: list[tuple[Kept, bytes | None]], kind: str) -> int:
    from shinkei_cli.ask import ask_gateway
    from shinkei_events.model.progress import Replay

    requests = [
        Replay(stream=entry.record.stream, number=entry.record.number, payload=payload, record=entry.record)
        for entry, payload in wanted
    ]
    answers = ask_gateway(plant, requests)
    rows = []
    for (entry, _), got in zip(wanted, answers, strict=True):
        row: dict[str, Any] = {"id": entry.record.reference, "outcome": "no answer", "detail": "does the gateway run?"}
        if got:
            again = "was replayed before" if got[0].result.get("again") else ""
            row |= {"outcome": got[0].outcome, "items": got[0].result.get("items"), "detail": got[0].error or again}
        rows.append(row)
    print_rows(rows, ANSWER_COLUMNS, kind)
    if not all(answers):
        return NOT_THERE
    return DONE if all(row["outcome"] == "done" for row in rows) else FAILED
