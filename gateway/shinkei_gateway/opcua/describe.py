"""What a server says about its signals: engineering units and ranges, description, data type, and what it made of the wished sampling.

Read after a connection is there, in the background of the values; what is new or has changed since it was last told becomes a `SignalDescribed`
event. `Told` is pure; `describe` asks through `asking`. Called by `source`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec

from shinkei_events.model.frame import Value
from shinkei_events.model.numbered import SignalDescribed
from shinkei_gateway.intake import Draft
from shinkei_gateway.opcua.asking import NODES_A_CALL, Asks, Reference, browse, read
from shinkei_gateway.opcua.definitions import learn
from shinkei_gateway.opcua.standard_types import BUILT_IN
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.quality import BAD

BROWSE_NAME, DESCRIPTION, VALUE, DATA_TYPE = 3, 5, 13, 14
"""Attribute ids (Part 6 §A.1)."""
HAS_PROPERTY = "i=46"
UNITS, RANGE, INSTRUMENT = "EngineeringUnits", "EURange", "InstrumentRange"
"""Properties of an AnalogItem (Part 8 §5.3.2.3)."""
CEFACT = "http://www.opcfoundation.org/UA/units/un/cefact"
MAX_TEXT = 1_000
_NAMES = {f"i={number}": name for name, number in BUILT_IN.items()}


class Description(NamedTuple):
    """One node. ``unit`` its text, ``unece`` the code of UN/CEFACT recommendation 20; ``low``/``high`` EURange; None: not said."""

    node: str
    data_type: str
    description: str = ""
    unit: str | None = None
    unece: str | None = None
    low: float | None = None
    high: float | None = None
    instrument_low: float | None = None
    instrument_high: float | None = None


class Revised(NamedTuple):
    """What the server made of a wish: sampling interval in s, queue size."""

    sampling: float
    queue: int


def unece(unit_id: int) -> str | None:
    """The code in a UnitId: its two or three characters as one number (Part 8 §5.6.4.3).

    >>> unece(4408652), unece(20053), unece(-1)
    ('CEL', 'NU', None)
    """
    if not 0 < unit_id < 1 << 24:
        return None
    code = unit_id.to_bytes(3, "big").lstrip(b"\0")
    return code.decode() if code.isalnum() and code.isascii() and len(code) > 1 else None


def unit_of(value: Value) -> tuple[str | None, str | None]:
    """Text and UNECE code of an EUInformation; a code only from the namespace that means it (or from a server that names none)."""
    if not isinstance(value, dict) or not isinstance(value.get("UnitId"), int):
        return None, None
    name = value.get("DisplayName") or value.get("Description")
    code = unece(value["UnitId"]) if value.get("NamespaceUri") in (CEFACT, None, "") else None
    return _text(name) or code, code


def range_of(value: Value) -> tuple[float | None, float | None]:
    """Low and high of a Range; none of one that is no range (0 to 0 is what a server says that was not told)."""
    if not isinstance(value, dict):
        return None, None
    low, high = value.get("Low"), value.get("High")
    is_range = (
        isinstance(low, float) and isinstance(high, float) and math.isfinite(low) and math.isfinite(high) and low < high
    )
    return (low, high) if is_range else (None, None)


async def describe(
    asks: Asks, structures: Structures, nodes: Sequence[str], refused: dict[str, int] | None = None
) -> AsyncIterator[list[Description]]:
    """What the server says about each node, some nodes at a time; one that it refuses is left out.

    ``refused`` gets the nodes whose properties it does not list, with the status: what they are is told without units.

    Definitions of structures that the nodes hold are learnt on the way. Raises `NotConnected`, and `BadInput` for answers that cannot be read.
    """
    names = dict(_NAMES)
    for at in range(0, len(nodes), NODES_A_CALL):
        part = nodes[at : at + NODES_A_CALL]
        attributes = await read(
            asks, structures, [(node, attribute) for node in part for attribute in (DATA_TYPE, DESCRIPTION)]
        )
        types = [str(attributes[2 * at][1]) if attributes[2 * at][2] < BAD else None for at in range(len(part))]
        await _name(asks, structures, names, [type_ for type_ in types if type_ is not None])
        browsed = await browse(asks, part, HAS_PROPERTY)
        values = await _properties(asks, structures, part, [one.references for one in browsed])
        if refused is not None:
            refused |= {
                node: one.status
                for node, type_, one in zip(part, types, browsed, strict=True)
                if type_ is not None and one.status >= BAD
            }
        yield [
            _description(node, names.get(type_, type_), attributes[2 * at + 1][1], values[at])
            for at, (node, type_) in enumerate(zip(part, types, strict=True))
            if type_ is not None
        ]


async def learn_types(asks: Asks, structures: Structures, nodes: Sequence[str]) -> None:
    """Learn the definitions of the structures that ``nodes`` hold, before their values come. Raises as `describe` does."""
    types = await read(asks, structures, [(node, DATA_TYPE) for node in nodes])
    await learn(asks, structures, {str(item[1]) for item in types if item[2] < BAD} - set(_NAMES))


async def _name(asks: Asks, structures: Structures, names: dict[str, str], types: list[str]) -> None:
    """Browse names of the data types that have none yet; what they are made of is learnt."""
    new = sorted(set(types) - set(names))
    found = await read(asks, structures, [(type_, BROWSE_NAME) for type_ in new])
    for type_, item in zip(new, found, strict=True):
        names[type_] = _text(item[1]).rpartition(";")[2] or type_
    await learn(asks, structures, new)


async def _properties(
    asks: Asks, structures: Structures, nodes: Sequence[str], references: list[list[Reference]]
) -> list[dict[str, Value]]:
    wanted = [
        (at, one) for at, found in enumerate(references) for one in found if one.name in (UNITS, RANGE, INSTRUMENT)
    ]
    values = await read(asks, structures, [(one.node, VALUE) for _, one in wanted])
    found: list[dict[str, Value]] = [{} for _ in nodes]
    for (at, one), item in zip(wanted, values, strict=True):
        if item[2] < BAD:
            found[at][one.name] = item[1]
    return found


def _description(node: str, data_type: str, description: Value, values: dict[str, Value]) -> Description:
    unit, code = unit_of(values.get(UNITS))
    low, high = range_of(values.get(RANGE))
    return Description(
        node, data_type[:MAX_TEXT], _text(description), unit, code, low, high, *range_of(values.get(INSTRUMENT))
    )


def _text(value: Value) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


class Told:
    """What was last told of one source's signals. ``stored``: what `state` gave before a restart."""

    def __init__(self, source: str, machine: str, stored: dict[str, str] | None) -> None:
        self._source, self._machine = source, machine
        self._marks = dict(stored or {})

    def state(self) -> dict[str, str]:
        """For the resume state: signal to a mark of what was told of it."""
        return dict(self._marks)

    def take(self, found: Sequence[tuple[str, Description, Revised | None]], received: int) -> list[Draft]:
        """Events for the signals (name, description, revised) that are new or have changed; ``received`` in ns UTC."""
        drafts = []
        for name, description, revised in found:
            fields = self._fields(name, description, revised)
            mark = hashlib.blake2b(msgspec.json.encode(fields), digest_size=8).hexdigest()
            if self._marks.get(name) != mark:
                self._marks[name] = mark
                drafts.append(Draft(self._machine, received, received, SignalDescribed, fields))
        return drafts

    def _fields(self, name: str, description: Description, revised: Revised | None) -> dict[str, Any]:
        return {
            "name": name, "source": self._source, **description._asdict(),
            "sampling_ms": revised.sampling * 1000 if revised is not None else None,
            "queue_size": revised.queue if revised is not None else None,
        }  # fmt: skip
