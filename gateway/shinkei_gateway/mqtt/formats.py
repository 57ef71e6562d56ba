"""Payloads of each format as plain values (what JSON has), bounded in size and depth. Pure; everything wrong is `BadField`."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from shinkei_events.errors import BadField
from shinkei_gateway.mqtt import cbor

Format = Literal["json", "text", "cbor", "msgpack"]
MOST_BYTES = 8 * 1024 * 1024
MOST_DEPTH = cbor.MOST_DEPTH
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,400})(?:\.\d+)?(?:[eE][+-]?\d{1,5})?")
"""JSON's own grammar: 007 and +5 stay text, they are somebody's serial number."""
_json = msgspec.json.Decoder()
_msgpack = msgspec.msgpack.Decoder()


def decoder(format: Format) -> Callable[[bytes], Any]:
    """The function from bytes to a value; it raises `BadField`."""
    return _DECODERS[format]


def bounded(value: Any, depth: int = 0) -> Any:
    """``value``, refused when it nests too deep. Raises `BadField`."""
    if depth > MOST_DEPTH:
        raise BadField("$", "…", f"values nested at most {MOST_DEPTH} deep")
    if isinstance(value, dict):
        for each in value.values():
            bounded(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            bounded(each, depth + 1)
    return value


def _from_json(payload: bytes) -> Any:
    try:
        return _json.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadField("$", payload[:60], f"JSON ({error})") from error


def _from_text(payload: bytes) -> Any:
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise BadField("$", payload[:60], "UTF-8 text") from error
    if _NUMBER.fullmatch(text):
        return _from_json(text.encode())
    return {"true": True, "false": False}.get(text.lower(), text)


def _from_msgpack(payload: bytes) -> Any:
    try:
        return _plain(_msgpack.decode(payload), 0)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise BadField("$", payload[:60], f"MessagePack ({error})") from error


def _plain(value: Any, depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise BadField("$", "…", f"values nested at most {MOST_DEPTH} deep")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, dict):
        return {_key(key): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    raise BadField("$", value, "MessagePack without extension types of its own")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise BadField("$", key, "text or a whole number as MessagePack's key")


_DECODERS: dict[Format, Callable[[bytes], Any]] = {
    "json": _from_json,
    "text": _from_text,
    "cbor": cbor.decoded,
    "msgpack": _from_msgpack,
}
