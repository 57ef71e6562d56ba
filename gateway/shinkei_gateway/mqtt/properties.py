"""MQTT 5 properties (2.2.2) as a dictionary and back. Pure; raises `BadInput` for what the standard does not allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shinkei_events.errors import BadInput

SESSION_EXPIRY, SERVER_KEEP_ALIVE, REASON_STRING, RECEIVE_MAXIMUM = 0x11, 0x13, 0x1F, 0x21
TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS, MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY = 0x22, 0x23, 0x24, 0x25, 0x26
MAXIMUM_PACKET_SIZE, WILDCARDS_AVAILABLE, SUBSCRIPTION_ID = 0x27, 0x28, 0x0B
SERVER_REFERENCE = 0x1C

_BYTE, _TWO, _FOUR, _VARIABLE, _TEXT, _PAIR, _BINARY = range(7)
_KINDS = {
    0x01: _BYTE, 0x02: _FOUR, 0x03: _TEXT, 0x08: _TEXT, 0x09: _BINARY, SUBSCRIPTION_ID: _VARIABLE, SESSION_EXPIRY: _FOUR, 0x12: _TEXT,
    SERVER_KEEP_ALIVE: _TWO, 0x15: _TEXT, 0x16: _BINARY, 0x17: _BYTE, 0x18: _FOUR, 0x19: _BYTE, 0x1A: _TEXT, SERVER_REFERENCE: _TEXT,
    REASON_STRING: _TEXT, RECEIVE_MAXIMUM: _TWO, TOPIC_ALIAS_MAXIMUM: _TWO, TOPIC_ALIAS: _TWO, MAXIMUM_QOS: _BYTE,
    RETAIN_AVAILABLE: _BYTE, USER_PROPERTY: _PAIR, MAXIMUM_PACKET_SIZE: _FOUR, WILDCARDS_AVAILABLE: _BYTE, 0x29: _BYTE, 0x2A: _BYTE,
}  # fmt: skip
_MANY = (USER_PROPERTY, SUBSCRIPTION_ID)
"""May be there more than once (user properties; subscription identifiers in PUBLISH)."""


def variable(value: int) -> bytes:
    """A variable byte integer (1.5.5), 0 … 268 435 455."""
    out = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        out.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(out)


def read_variable(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """The integer at ``at`` and where it ends; None when it goes on behind ``end``. Raises `BadInput` after four bytes."""
    value = 0
    for step in range(4):
        if at + step >= end:
            return None
        byte = data[at + step]
        value |= (byte & 0x7F) << 7 * step
        if not byte & 0x80:
            return value, at + step + 1
    raise BadInput("a length of more than four bytes (MQTT 2.1.4)")


def read_text(data: bytes, at: int, end: int) -> tuple[str, int]:
    """UTF-8 text with its length before it (1.5.4). Raises `BadInput`."""
    raw, at = read_binary(data, at, end)
    try:
        return raw.decode(), at
    except UnicodeDecodeError as error:
        raise BadInput(f"text that is not UTF-8: {raw[:40]!r} (MQTT 1.5.4)") from error


def read_binary(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Binary data with its length before it (1.5.6). Raises `BadInput`."""
    stop = at + 2 + (data[at] << 8 | data[at + 1]) if at + 2 <= end else end + 1
    if stop > end:
        raise BadInput("a packet that ends within a field")
    return data[at + 2 : stop], stop


def encoded(values: Mapping[int, int]) -> bytes:
    """Whole properties, their length first. ``values``: numbers only, which is all that this client says."""
    size = {_BYTE: 1, _TWO: 2, _FOUR: 4}
    body = b"".join(bytes([name]) + value.to_bytes(size[_KINDS[name]], "big") for name, value in values.items())
    return variable(len(body)) + body


def decoded(data: bytes, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The properties that begin at ``at`` and where they end. Raises `BadInput`."""
    head = read_variable(data, at, end)
    if head is None or head[1] + head[0] > end:
        raise BadInput("properties that are longer than their packet")
    length, at = head
    stop, found = at + length, dict[int, Any]()
    while at < stop:
        name = data[at]
        kind = _KINDS.get(name)
        if kind is None:
            raise BadInput(f"the unknown property 0x{name:02X}")
        if name in found and name not in _MANY:
            raise BadInput(f"the property 0x{name:02X} twice")
        found[name], at = _READ[kind](data, at + 1, stop)
    return found, stop


def _number(size: int) -> Callable[[bytes, int, int], tuple[int, int]]:
    def read(data: bytes, at: int, end: int) -> tuple[int, int]:
        if at + size > end:
            raise BadInput("a packet that ends within a property")
        return int.from_bytes(data[at : at + size], "big"), at + size

    return read


def _variable(data: bytes, at: int, end: int) -> tuple[int, int]:
    found = read_variable(data, at, end)
    if found is None:
        raise BadInput("a packet that ends within a property")
    return found


def _pair(data: bytes, at: int, end: int) -> tuple[tuple[str, str], int]:
    name, at = read_text(data, at, end)
    value, at = read_text(data, at, end)
    return (name, value), at


_READ: dict[int, Callable[[bytes, int, int], tuple[Any, int]]] = {
    _BYTE: _number(1), _TWO: _number(2), _FOUR: _number(4), _VARIABLE: _variable, _TEXT: read_text, _PAIR: _pair, _BINARY: read_binary,
}  # fmt: skip
