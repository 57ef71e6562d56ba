"""The bytes of a message as a Sparkplug payload; inflated when its edge library packed it. Pure; called by `source` for each message.

Packing is not in Sparkplug 3.0 but in the edge libraries of Eclipse Tahu and Cirrus Link: a payload whose uuid is ``SPBV1.0_COMPRESSED``
carries another one in its body, as zlib's DEFLATE or as GZIP; a metric ``algorithm`` names it, and without one it is DEFLATE.
"""

from __future__ import annotations

import zlib
from typing import Any

from google.protobuf.message import DecodeError

from shinkei_events.errors import BadField
from shinkei_gateway.sparkplug.schema import Payload

PACKED = "SPBV1.0_COMPRESSED"
ALGORITHMS = ("DEFLATE", "GZIP")
MOST_BYTES = 16 * 1024 * 1024
"""Of one inflated payload: as much as a whole packet may have."""
_EITHER = 32 + zlib.MAX_WBITS
"""zlib tells its own header from that of gzip."""


def unpacked(raw: bytes) -> Any:
    """The payload in ``raw``. Raises `BadField` for what is no Protobuf of a payload, or a body that cannot be inflated."""
    payload = _parsed(raw)
    if not payload.HasField("uuid") or payload.uuid != PACKED:
        return payload
    named = next((one.string_value for one in payload.metrics if one.name == "algorithm"), ALGORITHMS[0])
    if str(named).upper() not in ALGORITHMS:
        raise BadField("$.metrics.algorithm", named, " or ".join(ALGORITHMS))
    return _parsed(_inflated(payload.body))


def _inflated(body: bytes) -> bytes:
    inflating = zlib.decompressobj(_EITHER)
    try:
        found = inflating.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise BadField("$.body", body[:60], f"a packed payload ({error})") from error
    if not inflating.eof:
        raise BadField("$.body", f"{len(body)} bytes", f"a whole packed payload of at most {MOST_BYTES} bytes")
    return found


def _parsed(raw: bytes) -> Any:
    try:
        return Payload.FromString(raw)
    except DecodeError as error:
        raise BadField("$", raw[:60], f"a Sparkplug B payload ({error})") from error
