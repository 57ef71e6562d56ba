# ruff: noqa: A005 - named after the word that is typed; always imported as shinkei_cli.commands.trace
"""``shinkei trace …``."""

from __future__ import annotations

from shinkei_cli.part import Subparsers, add_part


def register(subparsers: Subparsers) -> None:
    """Add the part's commands."""
    add_part(subparsers, "trace")
