"""``shinkei plant run``: the simulated line of plant.toml, or recordings played as OPC UA machines.

Options given here go before what plant.toml says. With ``--recording`` no plant.toml is needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shinkei_cli.config import add_config, folder_of, plant_of
from shinkei_cli.main import COMMANDS
from shinkei_cli.part import Subparsers, run_part_of

RECORDING_PORT = 4840


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    parser = subparsers.add_parser("plant", help=COMMANDS["plant"], description=__doc__)
    commands: Subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run the simulated line, or recordings, here until ended")
    add_config(run)
    run.add_argument("--seed", type=int, help="everything the line does follows from it")
    run.add_argument("--speed", type=float, metavar="X", help="machines, or the recording, run X times faster")
    run.add_argument("--calm", action="store_true", help="no planted trouble")
    run.add_argument(
        "--fault", action="append", metavar="NAME@SECONDS", help="let this go wrong so long after the start"
    )
    run.add_argument("--machines", help="serve only these here: OP10,OP20,…")
    run.add_argument("--ledger", type=Path, metavar="FILE", help="write what every machine has really said")
    run.add_argument("--truth", type=Path, metavar="FILE", help="write the right answers to the planted faults")
    run.add_argument(
        "--recording",
        action="append",
        type=Path,
        metavar="FILE",
        help="play this CSV as an OPC UA machine instead of the line",
    )
    run.add_argument("--machine", help="the recording's machine (default: the file's name)")
    run.add_argument(
        "--port",
        type=int,
        help=f"the recording's port (default: {RECORDING_PORT}; one more for each further recording)",
    )
    run.set_defaults(handler=lambda args: run_part_of("plant", lambda: _plant(args)))


def _plant(args: argparse.Namespace) -> Any:
    import msgspec

    plant = _without_file(args) if args.recording and args.config is None else plant_of(args)
    return msgspec.structs.replace(
        plant, sections=plant.sections | {"plant": plant.sections["plant"] | overrides(args)}
    )


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, as keys of the ``[plant]`` section."""
    found: dict[str, Any] = {name: getattr(args, name) for name in ("seed", "speed") if getattr(args, name) is not None}
    found |= {
        name: str(getattr(args, name).absolute()) for name in ("ledger", "truth") if getattr(args, name) is not None
    }
    if args.calm:
        found["calm"] = True
    if args.fault:
        found["faults"] = args.fault
    if args.machines:
        found["machines"] = args.machines.split(",")
    if args.recording:
        found |= {"line": False, "recordings": [_recording(args, at, path) for at, path in enumerate(args.recording)]}
        found["name"] = "plant-" + (args.machine or args.recording[0].stem)
    return found


def _recording(args: argparse.Namespace, at: int, path: Path) -> dict[str, Any]:
    port = (RECORDING_PORT if args.port is None else args.port) + (at if args.port != 0 else 0)
    return {"file": str(path.absolute()), "machine": args.machine or "", "port": port, "speed": args.speed or 1.0}


def _without_file(args: argparse.Namespace) -> Any:
    """A plant of which nothing is known but its folder."""
    from shinkei_events.settings import LogSettings, PlantFile, Site, StoreSettings

    folder = folder_of(args)
    return PlantFile(
        folder / "plant.toml", folder, Site("recordings"), LogSettings(), StoreSettings(), {"plant": {}}, {}
    )
