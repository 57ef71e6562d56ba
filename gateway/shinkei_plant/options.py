"""The words of ``shinkei plant run`` beside its configuration: choices of machines, troubles, recordings, and files for tests and drills.

Words given win over the ``[plant]`` section. Imports no server, so that ``--help`` stays quick.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration
from shinkei_plant.settings import PlantSettings, RecordingSettings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Offer the options to ``parser``."""
    add = parser.add_argument
    add("--seed", type=int, help="everything the line does follows from it")
    add("--speed", type=float, help="machines and their source times run so many times faster")
    add("--calm", action="store_true", help="no planted story")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="NAME@SECONDS[:STRENGTH]",
        help="plant a trouble; may be given several times",
    )
    add("--machines", metavar="OP10,OP20", help="serve only these (others are simulated, but not served)")
    add("--start", metavar="TIME", help="when the live line begins, ISO with zone (default: now)")
    add("--length", metavar="DURATION", help="plant time after which the machines stand still, like 10m")
    add("--wait", metavar="DURATION", help="how long to wait for the gateway before the line begins to live")
    add("--ledger", type=Path, metavar="FILE", help="write down everything the machines emit")
    add("--truth", type=Path, metavar="FILE", help="write down which parts the troubles truly affect")
    add("--history", type=Path, metavar="FILE", help="write the line's last 8 hours there, unless it is there")
    add("--broker", metavar="URL", help="MQTT broker of the devices (default: one is started)")
    add(
        "--recording",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.csv",
        help="play a recording as a machine instead of the line",
    )
    add(
        "--machine",
        action="append",
        default=[],
        metavar="NAME",
        help="the recording's machine name (one for each --recording)",
    )
    add(
        "--port",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="the recording's port (one for each --recording)",
    )
    add(
        "--times",
        choices=("file", "now", "played"),
        default="file",
        help="the recording's source times: its own, its own but from now, or when played",
    )


def settings_of(args: argparse.Namespace, base: PlantSettings) -> PlantSettings:
    """``base`` with what was given; raises `BadConfig`."""
    given: dict[str, Any] = {
        name: getattr(args, name) for name in ("seed", "speed", "start", "ledger", "truth", "history", "broker")
    }
    for name in ("length", "wait"):
        given[name] = _duration(name, getattr(args, name))
    if args.machines is not None:
        given["machines"] = tuple(name.strip() for name in args.machines.split(",") if name.strip())
    changes = {name: value for name, value in given.items() if value is not None}
    if args.calm:
        changes["calm"] = True
    if args.fault:
        changes["faults"] = (*base.faults, *args.fault)
    if args.recording:
        changes |= {"line": False, "recordings": _recordings(args)}
    settings = msgspec.structs.replace(base, **changes)
    settings.check()
    return settings


def _duration(name: str, text: str | None) -> Duration | None:
    if text is None:
        return None
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise BadConfig(f"--{name}", text, str(error)) from error


def _recordings(args: argparse.Namespace) -> tuple[RecordingSettings, ...]:
    for option in ("machine", "port"):
        if len(getattr(args, option)) not in (0, len(args.recording)):
            raise BadConfig(f"--{option}", getattr(args, option), "expected one for each --recording, or none")
    made = []
    for at, file in enumerate(args.recording):
        more: dict[str, Any] = {"speed": args.speed or 1.0, "times": args.times}
        if args.machine:
            more["machine"] = args.machine[at]
        if args.port:
            more["port"] = args.port[at]
        if args.wait is not None:
            more["wait"] = _duration("wait", args.wait)
        made.append(RecordingSettings(file=file, **more))
    return tuple(made)
