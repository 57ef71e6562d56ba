"""What the settings of all sources share: unknown keys are errors, ids and addresses have one form. Pure."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlsplit

import msgspec

from shinkei_events.errors import BadConfig

_USER = re.compile(r"//.*@")
MACHINE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}")


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are errors."""


class SourceSettings(Strict, frozen=True):
    """What a source of any protocol may say. ``shard``: which of the gateway's processes runs it ("": the gateway's own shard)."""

    shard: str = ""


def machine_id(key: str, value: str) -> None:
    """Raises `BadConfig` unless ``value`` may be the short id of a machine, gateway, shard or source."""
    if not MACHINE.fullmatch(value):
        raise BadConfig(key, value, "letters, digits and _ . : - only, at most 128")


def once(key: str, names: list[str]) -> None:
    """Raises `BadConfig` when a name is there twice."""
    twice = {name for name, count in Counter(names).items() if count > 1}
    if twice:
        raise BadConfig(key, min(twice), "is there twice")


def address(key: str, value: str, *schemes: str) -> None:
    """Raises `BadConfig` unless ``value`` is ``scheme://host:port`` of one of ``schemes``."""
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in schemes or not parts.hostname or port is None or parts.username or parts.password:
        shown = _USER.sub("//…@", value)  # a password that was written here must not get into a log
        raise BadConfig(key, shown, f"{' or '.join(schemes)}://host:port (user and password have keys of their own)")
