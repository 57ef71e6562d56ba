"""The built-in types of OPC UA in their binary form (Part 6 §5.2), each read from an offset. Pure.

Every reader has the form ``(scope, data, at) -> (value, at after it)`` and gives values of the language: numbers, text, lists, objects. Lengths
in the data are claims: nothing is reserved before the bytes that are said to be there have been seen. What cannot be read raises
`BadInput`, `struct.error` or `IndexError` (cut short); `guarded` makes one error of them. Knows no service: `decode` and `structures` call it.
"""

from __future__ import annotations

import base64
import math
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from shinkei_events.envelope import rfc3339
from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.frame import Value

EPOCH_TICKS = 116_444_736_000_000_000
"""1970-01-01 in ticks of 100 ns since 1601-01-01 (Part 6 §5.2.2.5)."""
FIRST_TICK, LAST_TICK = EPOCH_TICKS - (1 << 63) // 100, EPOCH_TICKS + (1 << 63) // 100
"""Outside of these a time has no place in 64 bits of nanoseconds (before 1677 or after 2262: unset, or "for ever")."""
_YEAR_10000 = 2_650_467_744_000_000_000
NESTING = 100
"""Levels of variants within variants that a decoder must allow (Part 6 §5.2.2.16); more are refused."""
MAX_EMPTY_ELEMENTS = 16
"""Of an array: elements of no bytes at all (structures without fields) cost the sender nothing, and us a place in a list each."""
MAX_DIMENSIONS = 8
"""Of an array; lists nested deeper than a few hundred could be read but not handled by anybody after."""

Reader = Callable[["Scope", bytes, int], tuple[Value, int]]


class Bodies(Protocol):
    """Who knows what is in an extension object."""

    def value(self, scope: Scope, type_id: str, body: bytes) -> Value:
        """The structure as an object. Raises `BadInput` for a body that is not what its type says."""

    def big(self, value: Value, variant: bytes) -> Value:
        """What is carried of a value too big for a record."""


class Scope(NamedTuple):
    """What a value is read with. ``namespaces``: the server's, by index. ``lenient``: only the length is wanted, no content is refused."""

    namespaces: Sequence[str]
    bodies: Bodies
    lenient: bool = False
    depth: int = 0

    def deeper(self) -> Scope:
        """For a value within a value. Raises `BadInput` when that never ends."""
        if self.depth >= NESTING:
            raise BadInput(f"more than {NESTING} values within one another")
        return self._replace(depth=self.depth + 1)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Whatever goes wrong in reading bytes becomes `BadInput` about ``what``."""
    try:
        yield
    except (struct.error, IndexError) as error:
        raise BadInput(f"{what} is cut short: {error}") from error


def nanoseconds(ticks: int) -> int | None:
    """ns UTC, exact; None for no time (0), and for what 64 bits of nanoseconds cannot hold."""
    return (ticks - EPOCH_TICKS) * 100 if ticks > 0 and FIRST_TICK < ticks < LAST_TICK else None


_I32, _U32, _I64, _U16 = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q"), struct.Struct("<H")


def _fixed(format_: str) -> Reader:
    shape = struct.Struct(format_)

    def read(_: Scope, data: bytes, at: int) -> tuple[Value, int]:
        return shape.unpack_from(data, at)[0], at + shape.size

    return read


def count(data: bytes, at: int) -> tuple[int, int]:
    """A length; none (-1 and below) is -1."""
    n = _I32.unpack_from(data, at)[0]
    return max(n, -1), at + 4


def raw(data: bytes, at: int) -> tuple[bytes | None, int]:
    """A ByteString as it is."""
    n, at = count(data, at)
    if n < 0:
        return None, at
    if n > len(data) - at:
        raise BadInput(f"a length of {n} bytes where {len(data) - at} are left")
    return data[at : at + n], at + n


def text(scope: Scope, data: bytes, at: int) -> tuple[str | None, int]:
    """A String."""
    n, at = _I32.unpack_from(data, at)[0], at + 4
    if n < 0:
        return None, at
    stop = at + n
    if stop > len(data):
        raise BadInput(f"a text of {n} bytes where {len(data) - at} are left")
    try:
        return data[at:stop].decode(), stop
    except UnicodeDecodeError as error:
        if scope.lenient:
            return "", stop
        raise BadInput(f"text is not UTF-8: {error.reason} at byte {error.start} of {n}") from error


def byte_string(_: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A ByteString as base64."""
    found, at = raw(data, at)
    return (None if found is None else base64.b64encode(found).decode()), at


def date_time(_: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A DateTime as text, RFC 3339 with all of its 100 ns; what is before 1601 or after 9999 is cut to that (Part 6 §5.2.2.5)."""
    ticks = min(max(_I64.unpack_from(data, at)[0], 0), _YEAR_10000 - 1)
    return rfc3339((ticks - EPOCH_TICKS) * 100), at + 8


def guid(_: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A Guid as text."""
    if len(data) < at + 16:
        raise IndexError("a Guid has 16 bytes")
    return str(uuid.UUID(bytes_le=data[at : at + 16])), at + 16


def expanded_node_id(scope: Scope, data: bytes, at: int) -> tuple[str, int]:
    """A NodeId or ExpandedNodeId as text with its namespace's URI: ``nsu=urn:x;s=Press``, ``i=2258``."""
    encoding = data[at]
    kind = encoding & 0x3F
    if kind == 0:
        index, identifier, at = 0, f"i={data[at + 1]}", at + 2
    elif kind == 1:
        index, identifier, at = data[at + 1], f"i={_U16.unpack_from(data, at + 2)[0]}", at + 4
    elif kind == 2:
        index, identifier, at = _U16.unpack_from(data, at + 1)[0], f"i={_U32.unpack_from(data, at + 3)[0]}", at + 7
    elif kind in _IDENTIFIERS:
        letter, read = _IDENTIFIERS[kind]
        index = _U16.unpack_from(data, at + 1)[0]
        found, at = read(scope, data, at + 3)
        identifier = f"{letter}={'' if found is None else found}"
    else:
        raise BadInput(f"{encoding:#04x} is no encoding of a node id")
    prefix = namespace(scope, index)
    if encoding & 0x80:
        uri, at = text(scope, data, at)
        prefix = f"nsu={uri};" if uri else prefix
    if encoding & 0x40:
        server, at = _U32.unpack_from(data, at)[0], at + 4
        prefix = f"svr={server};{prefix}" if server else prefix
    return prefix + identifier, at


def namespace(scope: Scope, index: int) -> str:
    """The prefix that names namespace ``index`` in a text: its URI when the server told it."""
    if index == 0:
        return ""
    return f"nsu={scope.namespaces[index]};" if index < len(scope.namespaces) else f"ns={index};"


def qualified_name(scope: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A QualifiedName as text ``nsu=urn:x;Name``; a plain name in the standard's own namespace."""
    index = _U16.unpack_from(data, at)[0]
    name, at = text(scope, data, at + 2)
    return (None if name is None else namespace(scope, index) + name), at


def localized_text(scope: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A LocalizedText: its text."""
    mask, at = data[at], at + 1
    found = None
    if mask & 1:
        _, at = text(scope, data, at)
    if mask & 2:
        found, at = text(scope, data, at)
    return found, at


def extension_object(scope: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A structure as an object; one that nobody knows as ``{"type_id", "body"}`` with its bytes in base64, XML as ``{"type_id", "xml"}``."""
    type_id, at = expanded_node_id(scope, data, at)
    encoding, at = data[at], at + 1
    if encoding == 0:
        return (None if type_id == "i=0" else {"type_id": type_id}), at
    if encoding == 2:
        xml, at = text(scope, data, at)
        return {"type_id": type_id, "xml": xml}, at
    if encoding != 1:
        raise BadInput(f"{encoding:#04x} is no encoding of an extension object")
    body, at = raw(data, at)
    return (None if scope.lenient else scope.bodies.value(scope.deeper(), type_id, body or b"")), at


def data_value(scope: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A DataValue within a value: an object with what it has."""
    mask, at = data[at], at + 1
    found: dict[str, Value] = {}
    if mask & 1:
        found["value"], at = variant(scope.deeper(), data, at)
    if mask & 2:
        found["status"], at = _U32.unpack_from(data, at)[0], at + 4
    for time_bit, pico_bit, name in ((4, 16, "source"), (8, 32, "server")):
        if mask & time_bit:
            found[f"{name}_time"], at = date_time(scope, data, at)
        if mask & pico_bit:
            found[f"{name}_picoseconds"], at = _U16.unpack_from(data, at)[0] * 10, at + 2
    return found, at


def diagnostic_info(scope: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A DiagnosticInfo: an object with what it has (numbers are places in the response's table of strings)."""
    outer: dict[str, Value] = {}
    found = outer
    mask = 0x40
    while mask & 0x40:  # an inner one comes last: no recursion, its depth is bounded by the bytes
        mask, at = data[at], at + 1
        for bit, name in ((1, "symbolic_id"), (2, "namespace"), (8, "locale"), (4, "localized_text")):
            if mask & bit:
                found[name], at = _I32.unpack_from(data, at)[0], at + 4
        if mask & 0x10:
            found["additional"], at = text(scope, data, at)
        if mask & 0x20:
            found["status"], at = _U32.unpack_from(data, at)[0], at + 4
        if mask & 0x40:
            scope, inner = scope.deeper(), dict[str, Value]()
            found["inner"] = inner
            found = inner
    return outer, at


def variant(scope: Scope, data: bytes, at: int) -> tuple[Value, int]:
    """A Variant: a scalar, or lists in lists when it has dimensions."""
    encoding = data[at]
    kind = encoding & 0x3F
    reader = READERS.get(kind)
    if reader is None:
        raise BadInput(f"{kind} is no built-in type of OPC UA")
    if not encoding & 0x80:
        if encoding & 0x40:
            raise BadInput("a single value with dimensions (Part 6 §5.2.2.16)")
        if kind == _VARIANT:
            raise BadInput("a variant within a variant must be an array (Part 6 §5.2.2.16)")
        return reader(scope, data, at + 1)
    found, at = array(scope, kind, data, at + 1)
    if encoding & 0x40:
        dimensions, at = array(scope, 6, data, at)
        if dimensions and found is not None and not scope.lenient:
            found = shaped(scope, found, dimensions)
    return found, at


def array(scope: Scope, kind: int, data: bytes, at: int) -> tuple[list[Any] | None, int]:
    """An array of the built-in type ``kind``; None for one that is not there."""
    n, at = count(data, at)
    if n < 0:
        return None, at
    format_ = FIXED.get(kind)
    if format_ is not None:
        size = n * _SIZES[kind]
        if size > len(data) - at:
            raise BadInput(f"an array of {n} values where {len(data) - at} bytes are left")
        return list(struct.unpack_from(f"<{n}{format_}", data, at)), at + size
    return several(READERS[kind], scope.deeper(), n, data, at)


def several(reader: Reader, scope: Scope, n: int, data: bytes, at: int) -> tuple[list[Any], int]:
    """``n`` values one after another. Raises `BadInput` for more than there can be."""
    if n > len(data) - at + MAX_EMPTY_ELEMENTS:
        raise BadInput(f"an array of {n} values where {len(data) - at} bytes are left")
    found, empty = [], 0
    for _ in range(n):
        before = at
        value, at = reader(scope, data, at)
        if at == before:
            empty += 1
            if empty > MAX_EMPTY_ELEMENTS:
                raise BadInput(f"an array of {n} values without a byte")
        found.append(value)
    return found, at


def shaped(scope: Scope, flat: list[Any], dimensions: list[int]) -> list[Any]:
    """``flat`` in row-major order as nested lists. Raises `BadInput` when the dimensions are not those of so many values."""
    if len(dimensions) > MAX_DIMENSIONS or (len(dimensions) > 1 and scope.depth > MAX_DIMENSIONS):
        raise BadInput(f"{len(dimensions)} dimensions within {scope.depth} values: more than is kept")
    if math.prod(max(length, 0) for length in dimensions) != len(flat):
        raise BadField("dimensions", dimensions[:8], f"they must multiply to the {len(flat)} values sent")
    if not flat:
        return flat
    for length in reversed(dimensions[1:]):
        flat = [flat[at : at + length] for at in range(0, len(flat), length)]
    return flat


_VARIANT = 24
FIXED = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d", 19: "I"}
"""Built-in types (Part 6 §5.1.2) of one size that Python has a number for."""
_SIZES = {kind: struct.calcsize("<" + format_) for kind, format_ in FIXED.items()}
_IDENTIFIERS: dict[int, tuple[str, Reader]] = {3: ("s", text), 4: ("g", guid), 5: ("b", byte_string)}
READERS: dict[int, Reader] = {
    **{kind: _fixed("<" + format_) for kind, format_ in FIXED.items()},
    0: lambda _scope, _data, at: (None, at),
    12: text, 13: date_time, 14: guid, 15: byte_string, 16: text, 17: expanded_node_id, 18: expanded_node_id,
    20: qualified_name, 21: localized_text, 22: extension_object, 23: data_value, _VARIANT: variant,
    25: diagnostic_info,
    **dict.fromkeys(range(26, 32), byte_string),  # not assigned: to be read as ByteString (Part 6 §5.2.2.16)
}  # fmt: skip
"""A reader for each built-in type by its number."""
