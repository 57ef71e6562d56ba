"""Numbers, times and durations as people write them in the visitor's language and zone. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

from shinkei_ui.words import Words


def when(ns: int | None, zone: tzinfo, *, seconds: bool = True, day: bool = True) -> str:
    """A time (ns UTC): ``11-23 21:40:07``."""
    if ns is None:
        return "–"
    pattern = ("%m-%d " if day else "") + ("%H:%M:%S" if seconds else "%H:%M")
    return datetime.fromtimestamp(ns / 1e9, UTC).astimezone(zone).strftime(pattern)


def exact(ns: int | None, zone: tzinfo) -> str:
    """A time with all its digits: ``2026-11-23 21:40:07.123456789``."""
    if ns is None:
        return "–"
    whole, rest = divmod(ns, 1_000_000_000)
    return datetime.fromtimestamp(whole, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") + f".{rest:09d}"


def lasting(ns: int, words: Words) -> str:
    """How long: ``42 s``, ``3 min 05 s``, ``2 h 07 min``."""
    s = max(0, ns // 1_000_000_000)
    if s < 60:
        return words("board.seconds", s=s)
    if s < 3600:
        return words("board.minutes", m=s // 60, s=f"{s % 60:02d}")
    return (
        words("board.hours", h=s // 3600, m=f"{s // 60 % 60:02d}")
        if s < 172_800
        else words("board.days", d=s // 86_400)
    )


def number(value: Any, digits: int = 5) -> str:
    """A measured value: at most ``digits`` significant digits; text as it is; a long array by its length."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{digits}g}"
    if isinstance(value, list):
        return f"[{len(value)}]"
    return str(value)[:80]


def size(octets: float) -> str:
    """Bytes: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.2f} TB"


def lasting_ms(ns: int, words: Words) -> str:
    """A short duration, signed: ``12.3 ms``."""
    return (
        words("format.ms", ms=f"{ns / 1e6:,.1f}")
        if abs(ns) < 10_000_000_000
        else ("-" if ns < 0 else "") + lasting(abs(ns), words)
    )
