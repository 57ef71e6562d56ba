"""The Protobuf messages of a Sparkplug B payload, built from a table of their fields (Sparkplug 3.0, 6.4.1). No file of others.

Numbers and types are what the specification puts on the wire; unknown fields and extensions are skipped by the library. Fields keep
their presence, because an alias of 0 and no alias are two things.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "shinkei.sparkplug"
_SCALARS = {
    "u32": _Field.TYPE_UINT32, "u64": _Field.TYPE_UINT64, "f32": _Field.TYPE_FLOAT, "f64": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL, "text": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES,
}  # fmt: skip


def _values(first: int) -> str:
    """The numeric and text alternatives of a value, numbered from ``first`` in the order all messages share."""
    names = (
        "int_value:u32",
        "long_value:u64",
        "float_value:f32",
        "double_value:f64",
        "boolean_value:bool",
        "string_value:text",
    )
    return " ".join(f"{name}={first + at}" for at, name in enumerate(names))


_TABLE = {
    "Payload": ("timestamp:u64=1 metrics:*Metric=2 seq:u64=3 uuid:text=4 body:bytes=5", ""),
    "Metric": (
        "name:text=1 alias:u64=2 timestamp:u64=3 datatype:u32=4 is_historical:bool=5 is_transient:bool=6 is_null:bool=7 metadata:MetaData=8 properties:PropertySet=9",
        f"{_values(10)} bytes_value:bytes=16 dataset_value:DataSet=17 template_value:Template=18",
    ),
    "MetaData": (
        "is_multi_part:bool=1 content_type:text=2 size:u64=3 seq:u64=4 file_name:text=5 file_type:text=6 md5:text=7 description:text=8",
        "",
    ),
    "PropertySet": ("keys:*text=1 values:*PropertyValue=2", ""),
    "PropertySetList": ("propertyset:*PropertySet=1", ""),
    "PropertyValue": (
        "type:u32=1 is_null:bool=2",
        f"{_values(3)} propertyset_value:PropertySet=9 propertysets_value:PropertySetList=10",
    ),
    "DataSet": ("num_of_columns:u64=1 columns:*text=2 types:*u32=3 rows:*Row=4", ""),
    "Row": ("elements:*DataSetValue=1", ""),
    "DataSetValue": ("", _values(1)),
    "Template": (
        "version:text=1 metrics:*Metric=2 parameters:*Parameter=3 template_ref:text=4 is_definition:bool=5",
        "",
    ),
    "Parameter": ("name:text=1 type:u32=2", _values(3)),
}
"""Message: its plain fields, and the alternatives of its value; ``name:type=number``, ``*`` for repeated."""


def _field(message: Any, text: str, oneof: int | None) -> None:
    name, _, rest = text.partition(":")
    kind, _, number = rest.partition("=")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label, kind = _Field.LABEL_REPEATED, kind[1:]
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    if oneof is not None:
        field.oneof_index = oneof


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="shinkei/sparkplug_b", package=_PACKAGE, syntax="proto2")
    for name, (plain, alternatives) in _TABLE.items():
        message = file.message_type.add(name=name)
        for text in plain.split():
            _field(message, text, None)
        if alternatives:
            message.oneof_decl.add(name="value")
            for text in alternatives.split():
                _field(message, text, 0)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


Payload: Any = _build()
"""The class of a whole payload; its fields' classes are reached through it."""
