"""A metric's value by its data type, in the language's terms (Sparkplug 3.0, 6.4.16). Pure; the only module that looks into values.

Reading is lenient where edge libraries differ and the meaning is plain: a 32-bit number in ``long_value``, sign bits beyond an 8-bit
number's own, a whole number for a Boolean. What cannot be meant is a `BadField` for that metric alone.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

from shinkei_events.envelope import rfc3339
from shinkei_events.errors import BadField
from shinkei_events.model.frame import Value

MS = 1_000_000
TYPES = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String",
    "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList", "Int8Array", "Int16Array",
    "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray", "DoubleArray",
    "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip
"""Data types by their number (6.4.15)."""
NUMBER = {name: number for number, name in enumerate(TYPES)}
LAST_MS = 253_402_300_799_999
"""The year 9999 ends: no later time has a text."""
_BITS = {"Int8": 8, "Int16": 16, "Int32": 32, "Int64": 64}
_PACKED = {
    "Int8Array": "b", "Int16Array": "h", "Int32Array": "i", "Int64Array": "q", "UInt8Array": "B", "UInt16Array": "H",
    "UInt32Array": "I", "UInt64Array": "Q", "FloatArray": "f", "DoubleArray": "d", "DateTimeArray": "Q",
}  # fmt: skip
_EXPECTED_FIELD = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32"), "int_value"),
    **dict.fromkeys(("Int64", "UInt64", "DateTime"), "long_value"),
    **dict.fromkeys(("String", "Text", "UUID"), "string_value"),
    "Float": "float_value", "Double": "double_value", "Boolean": "boolean_value", "DataSet": "dataset_value", "Template": "template_value",
}  # fmt: skip

Read = Callable[[Any], Value]
"""Takes a message with the alternatives of ``value`` (one of them is set) and gives the value; raises `BadField`."""


def type_name(number: int) -> str:
    """The name of a data type, ``Unknown`` for a number that is none."""
    return TYPES[number] if 0 <= number < len(TYPES) else TYPES[0]


def text(value: Any, path: str = "$.value") -> str:
    """A text field's content; the library gives bytes when they are no UTF-8. Raises `BadField`."""
    if isinstance(value, str):
        return value
    raise BadField(path, value[:60] if isinstance(value, bytes) else value, "UTF-8 text")


def reader(number: int) -> Read:
    """How values of data type ``number`` are read. An unknown type is read as whatever field it comes in."""
    return _READERS.get(type_name(number), _any)


def is_usual(message: Any, number: int) -> bool:
    """Whether the value stands in the field that the specification gives its type."""
    name = type_name(number)
    return name not in _EXPECTED_FIELD or message.WhichOneof("value") == _EXPECTED_FIELD[name]


# ---- numbers -----------------------------------------------------------------------------------------------------------------
def _whole(message: Any, name: str) -> int:
    field = message.WhichOneof("value")
    if field in ("int_value", "long_value"):
        return int(getattr(message, field))
    if field in ("float_value", "double_value"):
        value = getattr(message, field)
        if value.is_integer():
            return int(value)
    raise BadField(f"$.{field}", _shown(message, field), f"a whole number for {name}")


def _signed(name: str) -> Read:
    bits = _BITS[name]
    half, full = 1 << (bits - 1), 1 << bits

    def read(message: Any) -> Value:
        value = _whole(message, name)
        if value >= full:  # sign bits of a wider field: all of them must be set, or it is another number
            for wide in (32, 64):
                if value < 1 << wide and value >> (bits - 1) == (1 << (wide - bits + 1)) - 1:
                    return value - (1 << wide)
        if -half <= value < full:
            return value - full if value >= half else value
        raise BadField("$.value", value, f"a number of {name}")

    return read


def _unsigned(name: str, bits: int) -> Read:
    def read(message: Any) -> Value:
        value = _whole(message, name)
        if 0 <= value < 1 << bits:
            return value
        raise BadField("$.value", value, f"a number of {name}")

    return read


def _int32(message: Any) -> Value:
    if message.HasField("int_value"):
        value: int = message.int_value
        return value - 0x1_0000_0000 if value >= 0x8000_0000 else value
    return _wide_int32(message)


def _real(field: str) -> Read:
    def read(message: Any) -> Value:
        if message.HasField(field):
            return getattr(message, field)  # type: ignore[no-any-return]
        other = message.WhichOneof("value")
        if other in ("float_value", "double_value", "int_value", "long_value"):
            return float(getattr(message, other))
        raise BadField(f"$.{other}", _shown(message, other), "a real number")

    return read


def _boolean(message: Any) -> Value:
    field = message.WhichOneof("value")
    if field == "boolean_value":
        return bool(message.boolean_value)
    if field in ("int_value", "long_value") and getattr(message, field) in (0, 1):
        return bool(getattr(message, field))
    raise BadField(f"$.{field}", _shown(message, field), "a Boolean")


def _datetime(message: Any) -> Value:
    value = _whole(message, "DateTime")
    value = value - (1 << 64) if value >= 1 << 63 else value
    if not -62_135_596_800_000 <= value <= LAST_MS:
        raise BadField("$.long_value", value, "ms since 1970 within the years 1 to 9999")
    return rfc3339(value * MS)


# ---- text and bytes ------------------------------------------------------------------------------------------------------------
def _string(message: Any) -> Value:
    field = message.WhichOneof("value")
    if field == "string_value":
        return text(message.string_value, "$.string_value")
    raise BadField(f"$.{field}", _shown(message, field), "text")


def _raw(message: Any) -> bytes:
    field = message.WhichOneof("value")
    if field == "bytes_value":
        return bytes(message.bytes_value)
    raise BadField(f"$.{field}", _shown(message, field), "bytes")


def _bytes(message: Any) -> Value:
    return base64.b64encode(_raw(message)).decode()


def _file(message: Any) -> Value:
    data = _raw(message)
    found: dict[str, Any] = {"data": base64.b64encode(data).decode()}
    for name in ("file_name", "file_type", "content_type", "md5", "description"):
        if message.metadata.HasField(name):
            found[name] = text(getattr(message.metadata, name), f"$.metadata.{name}")
    return found


# ---- arrays --------------------------------------------------------------------------------------------------------------------
def _array(name: str) -> Read:
    code = _PACKED[name]
    size = struct.calcsize(f"<{code}")

    def read(message: Any) -> Value:
        data = _raw(message)
        if len(data) % size:
            raise BadField("$.bytes_value", len(data), f"a multiple of {size} bytes for {name}")
        found = list(struct.unpack(f"<{len(data) // size}{code}", data))
        if name != "DateTimeArray":
            return found
        if any(value > LAST_MS for value in found):
            raise BadField("$.bytes_value", max(found), "ms since 1970 up to the year 9999")
        return [rfc3339(value * MS) for value in found]

    return read


def _booleans(message: Any) -> Value:
    """A count (4 bytes, little endian), then bits from the highest on."""
    data = _raw(message)
    count = int.from_bytes(data[:4], "little")
    if len(data) < 4 or (count + 7) // 8 != len(data) - 4:
        raise BadField("$.bytes_value", len(data), "a count and as many bits")
    return [bool(data[4 + at // 8] >> (7 - at % 8) & 1) for at in range(count)]


def _strings(message: Any) -> Value:
    """Texts, each ended by a zero byte."""
    data = _raw(message)
    if data and not data.endswith(b"\0"):
        raise BadField("$.bytes_value", data[-20:], "texts that each end with a zero byte")
    try:
        return [part.decode() for part in data.split(b"\0")[:-1]]
    except UnicodeDecodeError as error:
        raise BadField("$.bytes_value", data[:60], "UTF-8 text") from error


# ---- structures ----------------------------------------------------------------------------------------------------------------
def _dataset(message: Any) -> Value:
    if not message.HasField("dataset_value"):
        raise BadField("$.value", message.WhichOneof("value"), "a data set")
    dataset = message.dataset_value
    columns = [text(name, "$.dataset_value.columns") for name in dataset.columns]
    types = list(dataset.types)
    if len(types) != len(columns) or (dataset.HasField("num_of_columns") and dataset.num_of_columns != len(columns)):
        raise BadField("$.dataset_value", f"{len(columns)} columns, {len(types)} types", "as many types as columns")
    readers = [reader(number) for number in types]
    rows = []
    for at, row in enumerate(dataset.rows):
        if len(row.elements) != len(columns):
            raise BadField(f"$.dataset_value.rows[{at}]", len(row.elements), f"{len(columns)} values")
        rows.append(
            [
                None if one.WhichOneof("value") is None else read(one)
                for read, one in zip(readers, row.elements, strict=True)
            ]
        )
    return {"columns": columns, "types": [type_name(number) for number in types], "rows": rows}


def _template(message: Any) -> Value:
    if not message.HasField("template_value"):
        raise BadField("$.value", message.WhichOneof("value"), "a template")
    template = message.template_value
    found: dict[str, Any] = {}
    if template.HasField("template_ref"):
        found["template"] = text(template.template_ref, "$.template_value.template_ref")
    if template.HasField("version"):
        found["version"] = text(template.version, "$.template_value.version")
    if template.is_definition:
        found["is_definition"] = True
    if template.parameters:
        found["parameters"] = {text(one.name): _optional(one, one.type) for one in template.parameters}
    found["metrics"] = {text(one.name): _optional(one, one.datatype) for one in template.metrics}
    return found


def _optional(message: Any, number: int) -> Value:
    return None if message.WhichOneof("value") is None else reader(number)(message)


def properties(found: Any) -> dict[str, Value]:
    """A property set as a plain object (6.4.10). Raises `BadField`."""
    if len(found.keys) != len(found.values):
        raise BadField("$.properties", f"{len(found.keys)} keys, {len(found.values)} values", "as many values as keys")
    return {
        text(key, "$.properties.keys"): _property(value) for key, value in zip(found.keys, found.values, strict=True)
    }


def _property(message: Any) -> Value:
    field = None if message.is_null else message.WhichOneof("value")
    if field is None:
        return None
    if field == "propertyset_value":
        return properties(message.propertyset_value)
    if field == "propertysets_value":
        return [properties(one) for one in message.propertysets_value.propertyset]
    return reader(message.type)(message)


def _any(message: Any) -> Value:
    """A value of no known type, by the field it stands in."""
    field = message.WhichOneof("value")
    if field is None:
        raise BadField("$.value", None, "a value")
    if field == "string_value":
        return _string(message)
    by_field: dict[str, Read] = {"bytes_value": _bytes, "dataset_value": _dataset, "template_value": _template}
    if field in by_field:
        return by_field[field](message)
    return getattr(message, field)  # type: ignore[no-any-return]


def _shown(message: Any, field: str | None) -> str:
    return "no value" if field is None else str(getattr(message, field))[:60]


_wide_int32 = _signed("Int32")
_READERS: dict[str, Read] = {
    "Int8": _signed("Int8"), "Int16": _signed("Int16"), "Int32": _int32, "Int64": _signed("Int64"),
    "UInt8": _unsigned("UInt8", 8), "UInt16": _unsigned("UInt16", 16), "UInt32": _unsigned("UInt32", 32), "UInt64": _unsigned("UInt64", 64),
    "Float": _real("float_value"), "Double": _real("double_value"), "Boolean": _boolean, "DateTime": _datetime,
    "String": _string, "Text": _string, "UUID": _string, "Bytes": _bytes, "File": _file, "DataSet": _dataset, "Template": _template,
    **{name: _array(name) for name in _PACKED}, "BooleanArray": _booleans, "StringArray": _strings,
}  # fmt: skip
