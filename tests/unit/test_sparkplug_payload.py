"""Every data type of Sparkplug B as its value, what edge libraries do otherwise, and what cannot be meant."""

from __future__ import annotations

import base64
import random
import struct
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from shinkei_events.errors import BadField
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.values import NUMBER, TYPES, properties, reader
from tests.support.seed import seed_of_run
from tests.support.sparkplug_node import FIELDS, metric, payload


def read(type_: str, **fields: Any) -> Any:
    raw = payload([{"name": "x", **fields}], 0)
    return reader(NUMBER[type_])(Payload.FromString(raw).metrics[0])


@pytest.mark.parametrize(
    ("type_", "field", "raw", "value"),
    [
        ("Int8", "int_value", 0x80, -128),
        ("Int8", "int_value", 0xFFFF_FF80, -128),
        ("Int8", "int_value", 127, 127),
        ("Int16", "int_value", 0x8000, -32768),
        ("Int16", "int_value", 0xFFFF_FFFF, -1),
        ("Int32", "int_value", 0xFFFF_FFFF, -1),
        ("Int32", "int_value", 0x7FFF_FFFF, 2**31 - 1),
        ("Int32", "long_value", 0xFFFF_FFFF_FFFF_FFFF, -1),
        ("Int32", "long_value", 5, 5),
        ("Int64", "long_value", 2**64 - 1, -1),
        ("Int64", "long_value", 2**63 - 1, 2**63 - 1),
        ("Int64", "int_value", 7, 7),
        ("UInt8", "int_value", 255, 255),
        ("UInt16", "int_value", 65535, 65535),
        ("UInt32", "int_value", 2**32 - 1, 2**32 - 1),
        ("UInt32", "long_value", 2**32 - 1, 2**32 - 1),
        ("UInt64", "long_value", 2**64 - 1, 2**64 - 1),
        ("Float", "float_value", 0.5, 0.5),
        ("Float", "double_value", 0.1, 0.1),
        ("Double", "double_value", 0.1, 0.1),
        ("Double", "float_value", 0.25, 0.25),
        ("Double", "long_value", 3, 3.0),
        ("Boolean", "boolean_value", True, True),
        ("Boolean", "boolean_value", False, False),
        ("Boolean", "int_value", 1, True),
        ("String", "string_value", "ポンプ", "ポンプ"),
        ("Text", "string_value", "", ""),
        ("UUID", "string_value", "0190163e-1111", "0190163e-1111"),
        ("DateTime", "long_value", 1_700_000_000_123, "2023-11-14T22:13:20.123000000Z"),
        ("Bytes", "bytes_value", b"\x00\x01", base64.b64encode(b"\x00\x01").decode()),
        ("Int8Array", "bytes_value", b"\xff\x01", [-1, 1]),
        ("Int16Array", "bytes_value", struct.pack("<2h", -2, 3), [-2, 3]),
        ("Int32Array", "bytes_value", struct.pack("<2i", -2, 3), [-2, 3]),
        ("Int64Array", "bytes_value", struct.pack("<2q", -(2**63), 3), [-(2**63), 3]),
        ("UInt8Array", "bytes_value", b"\xff\x01", [255, 1]),
        ("UInt16Array", "bytes_value", struct.pack("<H", 65535), [65535]),
        ("UInt32Array", "bytes_value", struct.pack("<I", 2**32 - 1), [2**32 - 1]),
        ("UInt64Array", "bytes_value", struct.pack("<Q", 2**64 - 1), [2**64 - 1]),
        ("FloatArray", "bytes_value", struct.pack("<2f", 0.5, -1), [0.5, -1.0]),
        ("DoubleArray", "bytes_value", struct.pack("<d", 0.1), [0.1]),
        ("BooleanArray", "bytes_value", struct.pack("<I", 12) + bytes([0b10110000, 0b01010000]),
         [True, False, True, True, False, False, False, False, False, True, False, True]),
        ("StringArray", "bytes_value", b"ABC\x00\xe6\xb0\xb4\x00\x00", ["ABC", "水", ""]),
        ("DateTimeArray", "bytes_value", struct.pack("<Q", 0), ["1970-01-01T00:00:00.000000000Z"]),
        ("DoubleArray", "bytes_value", b"", []),
        ("Unknown", "string_value", "x", "x"),
        ("Unknown", "double_value", 1.5, 1.5),
    ],
)  # fmt: skip
def test_tck_id_payloads_metric_datatype_value(type_: str, field: str, raw: Any, value: Any) -> None:
    found = read(type_, **{field: raw})
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("type_", "field", "raw"),
    [
        ("Int8", "int_value", 300),
        ("Int8", "int_value", 0xFFFF_FF00),
        ("UInt8", "int_value", 256),
        ("UInt16", "long_value", 65536),
        ("UInt32", "long_value", 2**32),
        ("Int32", "string_value", "5"),
        ("Int32", "double_value", 0.5),
        ("Double", "string_value", "5"),
        ("Boolean", "int_value", 2),
        ("String", "int_value", 2),
        ("DateTime", "long_value", 2**62),
        ("Int32Array", "bytes_value", b"\x00"),
        ("BooleanArray", "bytes_value", b"\x01"),
        ("BooleanArray", "bytes_value", struct.pack("<I", 2**32 - 1)),
        ("StringArray", "bytes_value", b"abc"),
        ("StringArray", "bytes_value", b"\xff\x00"),
        ("DateTimeArray", "bytes_value", struct.pack("<Q", 2**64 - 1)),
        ("DataSet", "int_value", 1),
        ("Template", "int_value", 1),
        ("Bytes", "string_value", "x"),
    ],
)
def test_what_cannot_be_meant_is_told_for_that_metric(type_: str, field: str, raw: Any) -> None:
    with pytest.raises(BadField):
        read(type_, **{field: raw})


def test_text_that_is_no_utf8_is_told() -> None:
    broken = Payload.FromString(payload([metric("ab", "String", name="x")], 0).replace(b"ab", b"\xff\xfe"))
    with pytest.raises(BadField, match="UTF-8"):
        reader(NUMBER["String"])(broken.metrics[0])


def test_tck_id_payloads_dataset_types_value() -> None:
    made = Payload()
    dataset = made.metrics.add(name="x").dataset_value
    dataset.num_of_columns = 2
    dataset.columns.extend(["lot", "count"])
    dataset.types.extend([NUMBER["String"], NUMBER["Int8"]])
    row = dataset.rows.add()
    row.elements.add(string_value="B-17")
    row.elements.add(int_value=0xFF)
    expected = {"columns": ["lot", "count"], "types": ["String", "Int8"], "rows": [["B-17", -1]]}
    assert reader(NUMBER["DataSet"])(made.metrics[0]) == expected
    row.elements.add(int_value=1)  # tck-id-payloads-dataset-column-size
    with pytest.raises(BadField, match="2 values"):
        reader(NUMBER["DataSet"])(made.metrics[0])
    dataset.num_of_columns = 3
    with pytest.raises(BadField, match="as many types"):
        reader(NUMBER["DataSet"])(made.metrics[0])


def test_tck_id_payloads_template_instance_members() -> None:
    made = Payload()
    template = made.metrics.add(name="x").template_value
    template.template_ref, template.version, template.is_definition = "Motor", "v1", False
    template.parameters.add(name="kW", type=NUMBER["Float"], float_value=7.5)
    template.metrics.add(name="rpm", datatype=NUMBER["Int32"], int_value=1450)
    inner = template.metrics.add(name="bearing", datatype=NUMBER["Template"]).template_value
    inner.metrics.add(name="temperature", datatype=NUMBER["Double"])
    assert reader(NUMBER["Template"])(made.metrics[0]) == {
        "template": "Motor", "version": "v1", "parameters": {"kW": 7.5},
        "metrics": {"rpm": 1450, "bearing": {"metrics": {"temperature": None}}},
    }  # fmt: skip


def test_tck_id_payloads_propertyset() -> None:
    made = Payload.FromString(
        payload([metric(1.0, name="x", properties={"engUnit": "bar", "engHigh": 12.0, "Quality": 192})], 0)
    )
    assert properties(made.metrics[0].properties) == {"engUnit": "bar", "engHigh": 12.0, "Quality": 192}
    made.metrics[0].properties.keys.append("more")  # tck-id-payloads-propertyset-values-array-size
    with pytest.raises(BadField, match="as many values"):
        properties(made.metrics[0].properties)


def test_a_file_keeps_its_name() -> None:
    made = Payload()
    one = made.metrics.add(name="x", bytes_value=b"recipe")
    one.metadata.file_name = "r1.txt"
    assert reader(NUMBER["File"])(made.metrics[0]) == {
        "data": base64.b64encode(b"recipe").decode(),
        "file_name": "r1.txt",
    }


def test_whatever_bytes_come_a_payload_is_read_or_refused() -> None:
    rng = random.Random(seed_of_run())
    sound = payload(
        [metric(i, kind, name=f"m{i}") for i, kind in enumerate(FIELDS) if FIELDS[kind] in ("int_value", "long_value")],
        1,
    )
    read_ones = 0
    for _ in range(2_000):
        raw = bytearray(sound)
        for _ in range(rng.randrange(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            found = Payload.FromString(bytes(raw))
        except DecodeError:
            continue
        for one in found.metrics:
            try:
                reader(one.datatype % (len(TYPES) + 2))(one)
                read_ones += 1
            except BadField:
                pass
    assert read_ones > 1_000
