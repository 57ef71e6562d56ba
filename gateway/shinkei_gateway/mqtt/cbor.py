"""CBOR (RFC 8949) of devices as plain values: what JSON has, bytes as base64 text, times as text or numbers. Pure.

Takes the sender for an enemy: depth and lengths are bounded by what is there, and everything wrong is `BadField`.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from shinkei_events.errors import BadField

MOST_DEPTH = 32
MOST_BIGNUM_BYTES = 128
"""Of a bignum (the largest double has 128): Python does not write numbers of more than 4300 digits, not even into an error's text."""
_BREAK = object()
_FLOATS = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}
_SIMPLE: dict[int, Any] = {20: False, 21: True, 22: None, 23: None}


def decoded(data: bytes) -> Any:
    """The one item that ``data`` is. Raises `BadField`."""
    reader = _Reader(data)
    value = reader.item(0)
    if value is _BREAK or reader.at != len(data):
        raise BadField("$", data[:60], "one CBOR item and nothing behind it (RFC 8949)")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def item(self, depth: int) -> Any:
        if depth > MOST_DEPTH:
            raise BadField("$", self.data[:60], f"CBOR nested at most {MOST_DEPTH} deep")
        first = self._bytes(1)[0]
        major, low = first >> 5, first & 0x1F
        if major == 7:
            return self._simple(low)
        size = None if low == 31 and 2 <= major <= 5 else self._argument(low)
        if size is None:
            return self._endless(major, depth)
        if major == 0:
            return size
        if major == 1:
            return -1 - size
        if major in (2, 3):
            return _text(major, self._bytes(size))
        if major == 4:
            return [self._one(depth) for _ in range(self._count(size))]
        if major == 5:
            return {_key(self._one(depth)): self._one(depth) for _ in range(self._count(size))}
        return _tagged(size, self._one(depth))

    def _endless(self, major: int, depth: int) -> Any:
        items: list[Any] = []
        while (value := self.item(depth + 1)) is not _BREAK:
            items.append(value)
        if major == 4:
            return items
        if major == 5:
            if len(items) % 2:
                raise BadField("$", self.data[:60], "a CBOR map with a value for each key")
            return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}
        if not all(isinstance(item, str) for item in items):
            raise BadField("$", self.data[:60], "CBOR text in pieces of text")
        if major == 2:
            try:
                return base64.b64encode(b"".join(base64.b64decode(item, validate=True) for item in items)).decode()
            except ValueError as error:
                raise BadField("$", self.data[:60], "CBOR bytes in pieces of bytes") from error
        return "".join(items)

    def _one(self, depth: int) -> Any:
        value = self.item(depth + 1)
        if value is _BREAK:
            raise BadField("$", self.data[:60], "a CBOR item where a break stands")
        return value

    def _count(self, size: int) -> int:
        if size > len(self.data) - self.at:
            raise BadField("$", self.data[:60], "whole CBOR: it ends too early")
        return size

    def _bytes(self, size: int) -> bytes:
        begin, self.at = self.at, self.at + self._count(size)
        return self.data[begin : self.at]

    def _argument(self, low: int) -> int:
        if low < 24:
            return low
        if low > 27:
            raise BadField("$", self.data[:60], "well-formed CBOR (RFC 8949 §3)")
        return int.from_bytes(self._bytes(1 << low - 24), "big")

    def _simple(self, low: int) -> Any:
        if low in _FLOATS:
            size, form = _FLOATS[low]
            return struct.unpack(form, self._bytes(size))[0]
        if low == 31:
            return _BREAK
        if low not in _SIMPLE:
            raise BadField("$", self.data[:60], "false, true, null, undefined or a float as CBOR's simple value")
        return _SIMPLE[low]


def _text(major: int, raw: bytes) -> str:
    if major == 2:
        return base64.b64encode(raw).decode()
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadField("$", raw[:60], "UTF-8 in CBOR's text") from error


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadField("$", value, "text or a whole number as CBOR's key")


def _tagged(tag: int, value: Any) -> Any:
    """Bignums (tags 2, 3) become numbers; of all other tags the content stays (0 and 1 are times as text and seconds)."""
    if tag in (2, 3) and isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except ValueError as error:
            raise BadField("$", value, "bytes in a CBOR bignum") from error
        if len(raw) > MOST_BIGNUM_BYTES:
            raise BadField("$", value[:60], f"a CBOR bignum of at most {MOST_BIGNUM_BYTES} bytes")
        number = int.from_bytes(raw, "big")
        return number if tag == 2 else -1 - number
    return value
