"""Values that the language cannot carry as they are: what a reading becomes then. Pure.

A bad value is kept as bad, never replaced by the last good one: NaN and infinities become no value with status BadOutOfRange, and
the original goes to quarantine as well. Status codes are those of OPC UA Part 6 A.2.
"""

from __future__ import annotations

import math
from typing import Any

from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.quarantine import quarantined

GOOD = 0x0000_0000
BAD = 0x8000_0000
"""Status codes from here on are bad (Part 4 §7.39.1, severity)."""
BAD_DECODING = 0x8007_0000
BAD_OUT_OF_RANGE = 0x803C_0000
BAD_NO_DATA = 0x809B_0000
_OVERFLOW = 0x0480
"""InfoType DataValue and the Overflow bit (Part 4 §7.39.1)."""


def is_overflow(status: int) -> bool:
    """Whether the server says that values before this one were dropped from its queue."""
    return status & _OVERFLOW == _OVERFLOW


def is_node_gone(status: int) -> bool:
    """Whether a server says of a value that its node is not there any more: once, when it is deleted (Part 4 §7.39.2)."""
    return status & 0xFFFF_0000 in (0x8033_0000, 0x8034_0000)  # BadNodeIdInvalid, BadNodeIdUnknown


def is_no_value_yet(status: int) -> bool:
    """Whether a server has begun to watch a node and has not got its value (BadWaitingForInitialData, Part 4 §7.39.2)."""
    return status & 0xFFFF_0000 == 0x8032_0000


def is_finite(value: Any) -> bool:
    """Whether no number in ``value`` (nested lists and objects too) is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(is_finite(item) for item in value)
    if isinstance(value, dict):
        return all(is_finite(item) for item in value.values())
    return True


def clean(reading: Reading, source: str) -> tuple[Reading, Draft | None]:
    """``reading`` as it may be carried, and the quarantine record of what was changed in it."""
    if is_finite(reading.value):
        return reading, None
    copy = quarantined(
        source, reading.machine, reading.channel, repr(reading.value).encode(), "the value is not a finite number; kept as BadOutOfRange",
        reading.received, path="$.value", content_type="text/plain", time=reading.time,
    )  # fmt: skip
    return reading._replace(value=None, status=BAD_OUT_OF_RANGE), copy
