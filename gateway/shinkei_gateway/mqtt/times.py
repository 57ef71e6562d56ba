"""A payload's own time as ns UTC: numbers of a unit, ISO 8601 with its offset, or local time with the zone that the settings give. Pure.

Nothing is guessed: local time that the clocks' change makes ambiguous, or that never was, is refused with that reason.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from shinkei_events.errors import BadField

_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS = re.compile(r"[.,]\d{6}(\d{1,3})\d*(?:Z|z|[+-]|$)")
"""Digits behind the microseconds, which datetime does not keep."""


def nanoseconds(value: Any, unit: str, path: str = "", zone: ZoneInfo | None = None) -> int:
    """``unit``: ns, us, ms, s (since 1970, UTC) or iso. ``zone``: of iso times that have none. Raises `BadField`."""
    if unit == "iso":
        return _iso(value, path, zone)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadField(f"${path}", value, f"a number of {unit}")
    try:
        return value * _UNITS[unit] if isinstance(value, int) else round(value * _UNITS[unit])
    except (OverflowError, ValueError) as error:
        raise BadField(f"${path}", value, f"a number of {unit}") from error


def _iso(value: Any, path: str, zone: ZoneInfo | None) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadField(f"${path}", value, "ISO 8601 text") from error
    try:
        if moment.tzinfo is None:
            if zone is None:
                raise BadField(f"${path}", value, "a time with its zone, or `zone` in the settings")
            moment = _placed(moment, zone, path)
        delta = moment - _EPOCH
    except (OverflowError, ValueError) as error:
        raise BadField(f"${path}", value, "a time that exists") from error
    found = _NANOS.search(value) if len(value) > 26 else None
    more = int(found[1].ljust(3, "0")) if found else 0
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000 + more


def _placed(local: datetime, zone: ZoneInfo, path: str) -> datetime:
    first, second = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(UTC)
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise BadField(f"${path}", local.isoformat(), f"a time that was: the clocks of {zone.key} skipped it")
    raise BadField(f"${path}", local.isoformat(), f"a time with its offset: {zone.key} had this hour twice")
