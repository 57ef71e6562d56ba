"""Every question the screens ask of the database, and nothing else does: views and functions that the store offers, no table of another's."""

from __future__ import annotations

from shinkei_ui.read.reader import Reader

__all__ = ["Reader"]
