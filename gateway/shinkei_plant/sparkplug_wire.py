"""Sparkplug B payloads on the wire, as far as a small device needs them: writes births and data, reads commands. Pure.

Field and type numbers are those of Sparkplug 3.0, 6.4. Written by hand, so that the gateway's reading is not tried on its own library alone.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

INT64, DOUBLE, BOOLEAN, STRING = 4, 10, 11, 12
"""Data types."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Metric(NamedTuple):
    """One metric. ``time``: ms UTC; ``value`` None: is_null. ``name`` None: only the alias is said. ``properties`` belong into births."""

    name: str | None
    alias: int | None
    time: int
    type: int
    value: float | int | bool | str | None
    is_historical: bool = False
    properties: tuple[tuple[str, str | float], ...] = ()


def payload(metrics: list[Metric], time: int | None, seq: int | None) -> bytes:
    """A payload's bytes."""
    out = b"" if time is None else _number(1, time)
    out += b"".join(_field(2, _metric(one)) for one in metrics)
    return out if seq is None else out + _number(3, seq)


def asks(raw: bytes, name: str) -> bool:
    """Whether a command sets the Boolean metric ``name``; False for what cannot be read."""
    try:
        for number, metric in _fields(raw):
            found = dict(_fields(metric)) if number == 2 and isinstance(metric, bytes) else {}
            if found.get(1) == name.encode() and found.get(14):
                return True
    except (IndexError, struct.error):
        return False
    return False


def _metric(one: Metric) -> bytes:
    out = b"" if one.name is None else _field(1, one.name.encode())
    out += b"" if one.alias is None else _number(2, one.alias)
    out += _number(3, one.time) + _number(4, one.type)
    out += _number(5, 1) if one.is_historical else b""
    if one.properties:
        keys = b"".join(_field(1, key.encode()) for key, _ in one.properties)
        out += _field(9, keys + b"".join(_field(2, _property(value)) for _, value in one.properties))
    match one.value:
        case None:
            return out + _number(7, 1)
        case bool():
            return out + _number(14, int(one.value))
        case str():
            return out + _field(15, one.value.encode())
        case int():
            return out + _number(11, one.value & 0xFFFF_FFFF_FFFF_FFFF)
        case float():
            return out + _key(13, _FIXED64) + struct.pack("<d", one.value)


def _property(value: str | float) -> bytes:
    if isinstance(value, str):
        return _number(1, STRING) + _field(8, value.encode())
    return _number(1, DOUBLE) + _key(6, _FIXED64) + struct.pack("<d", value)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _field(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(raw: bytes) -> list[tuple[int, int | bytes]]:
    """The top-level fields of a message. Raises IndexError when it is cut short."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(raw):
        key, at = _read_varint(raw, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(raw, at)
            found.append((key >> 3, value))
            continue
        length, at = (
            _read_varint(raw, at)
            if kind == _BYTES
            else ({_FIXED64: 8, _FIXED32: 4}[kind] if kind in (1, 5) else len(raw), at)
        )
        if at + length > len(raw):
            raise IndexError(at)
        found.append((key >> 3, raw[at : at + length]))
        at += length
    return found


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
