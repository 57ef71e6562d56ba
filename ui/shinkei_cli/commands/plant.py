"""``shinkei plant run``: the simulated line of plant.toml, or a recording played as an OPC UA machine."""

from __future__ import annotations

from shinkei_cli.part import Subparsers, add_part


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    add_part(subparsers, "plant")
