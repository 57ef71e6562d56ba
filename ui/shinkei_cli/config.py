"""Which plant.toml and which folder a command means: ``--config``, ``--dir``, SHINKEI_DIR, and what lies in the current folder.

Reads the environment once, here. Does not check the parts' own sections (`shinkei check` does).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile

FILE = "plant.toml"
FOLDER = ".shinkei"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Offer ``--config`` and ``--dir``."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the plant's configuration (default: ./plant.toml, else the demo's)"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="FOLDER",
        help="where this site keeps its files (default: SHINKEI_DIR, else .shinkei beside the file)",
    )


def folder_of(args: argparse.Namespace) -> Path:
    """The site's folder when no configuration is read: ``--dir``, SHINKEI_DIR, or ``.shinkei`` here."""
    return Path(args.dir or os.environ.get("SHINKEI_DIR") or FOLDER).absolute()


def plant_of(args: argparse.Namespace) -> PlantFile:
    """Read the configuration that ``args`` mean; raises `BadConfig`.

    A plant.toml that lies inside a site's folder (the demo writes one there) belongs to that folder.
    """
    from shinkei_events.settings import load_plant

    path = _file(args)
    folder: Path | None = args.dir
    if folder is None and (path.parent / "run").is_dir():
        folder = path.parent
    return load_plant(path, folder)


def _file(args: argparse.Namespace) -> Path:
    if args.config is not None:
        return Path(args.config)
    inside = folder_of(args) / FILE
    return Path(FILE) if args.dir is None and Path(FILE).exists() else inside if inside.exists() else Path(FILE)
