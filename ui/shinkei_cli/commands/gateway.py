"""``shinkei gateway …``."""

from __future__ import annotations

from shinkei_cli.part import Subparsers, add_part


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    add_part(subparsers, "gateway")
