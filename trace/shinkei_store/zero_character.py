"""U+0000, the one character that PostgreSQL's text and jsonb cannot hold, becomes U+FFFD on the way in; what is looked for, too.

Machines pad their text with it, and JSON may hold it anywhere. The record itself is bytes and stays exact. Every connection of `pool` has
it; nothing else of the conversions changes.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrBinaryDumper, StrDumper, StrDumperUnknown

ZERO, SHOWN = "\0", "\ufffd"


class _Binary(StrBinaryDumper):
    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace(ZERO, SHOWN))


class _Text(StrDumper):
    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace(ZERO, SHOWN))


class _Unknown(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace(ZERO, SHOWN))


def replace_zeros(connection: psycopg.Connection[Any]) -> None:
    """From now on, in all that ``connection`` sends."""
    for dumper in (_Binary, _Text, _Unknown):  # the last is the default; the others are found by the type of a column
        connection.adapters.register_dumper(str, dumper)
    set_json_dumps(_json, connection)


def _json(value: Any) -> str:
    text = json.dumps(value)
    return json.dumps(_replaced(value)) if "\\u0000" in text else text


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(ZERO, SHOWN)
    if isinstance(value, list | tuple):
        return [_replaced(item) for item in value]
    if isinstance(value, dict):
        return {_replaced(key): _replaced(item) for key, item in value.items()}
    return value
