"""MQTT messages into readings and events: topic templates, JSON pointers, time units. Pure.

Whatever a payload holds, `Mapping.take` gives items or raises `BadInput`: the message then goes to quarantine.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from shinkei_events.errors import BadField
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.machine_json import EnergySaid, OperationSaid, Said, SetupSaid, StateSaid, draft_of, parse
from shinkei_gateway.mqtt.settings import TopicMap
from shinkei_gateway.quality import clean
from shinkei_gateway.strict import MACHINE

_SAID: dict[str, type[Said]] = {
    "state": StateSaid,
    "operation": OperationSaid,
    "setup": SetupSaid,
    "energy": EnergySaid,
}
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_LEVEL = re.compile(r"\{(\d+)\}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_json = msgspec.json.Decoder()


class Mapping:
    """All topic maps of a source; the first that matches a topic counts. ``machines``: only these (empty: any)."""

    def __init__(self, source: str, topics: list[TopicMap], machines: list[str]) -> None:
        self._source, self._machines = source, frozenset(machines)
        self._maps = [(topic, topic.filter.split("/")) for topic in topics]
        self._found: dict[str, tuple[TopicMap, str, str] | None] = {}

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return list(dict.fromkeys(topic.filter for topic, _ in self._maps))

    def machine(self, topic: str) -> str | None:
        """The machine that ``topic`` is about, or None."""
        found = self._lookup(topic)
        return found[1] if found and MACHINE.fullmatch(found[1]) else None

    def take(self, topic: str, payload: bytes, received: int) -> list[Reading | Draft]:
        """The reading or event of one message, perhaps with the quarantine record of its value."""
        found = self._lookup(topic)
        if found is None:
            raise BadField("topic", topic, "a topic that one of the source's filters knows")
        how, machine, signal = found
        if not MACHINE.fullmatch(machine) or (self._machines and machine not in self._machines):
            raise BadField("topic", machine, "one of the source's machines")
        if how.as_ != "signal":
            return [draft_of(machine, parse(_SAID[how.as_], payload), received)]
        reading, copy = clean(_reading(how, machine, signal, payload, received), self._source)
        return [reading] if copy is None else [reading, copy]

    def _lookup(self, topic: str) -> tuple[TopicMap, str, str] | None:
        if topic not in self._found:
            if len(self._found) > 100_000:
                self._found.clear()
            levels = topic.split("/")
            self._found[topic] = next(
                (
                    (how, _fill(how.machine, levels), _fill(how.signal or "", levels))
                    for how, parts in self._maps
                    if matches(parts, levels)
                ),
                None,
            )
        return self._found[topic]


def matches(parts: list[str], levels: list[str]) -> bool:
    """Whether a topic's levels match a filter's (MQTT 3.1.1 §4.7; topics with $ match no wildcard at the first level)."""
    if levels[0].startswith("$") and parts[0] in ("+", "#"):
        return False
    for at, part in enumerate(parts):
        if part == "#":
            return True
        if at >= len(levels) or part not in ("+", levels[at]):
            return False
    return len(parts) == len(levels)


def pointer(document: Any, path: str) -> Any:
    """What a JSON pointer (RFC 6901) points at; raises `BadField` when it is not there."""
    for token in path.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        try:
            document = document[int(key)] if isinstance(document, list) else document[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BadField(f"${path}", "", "is not in the payload") from None
    return document


def _fill(template: str, levels: list[str]) -> str:
    return _LEVEL.sub(lambda found: levels[int(found[1])] if int(found[1]) < len(levels) else "", template)


def _reading(how: TopicMap, machine: str, signal: str, payload: bytes, received: int) -> Reading:
    try:
        document = _json.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadField("$", payload[:60], f"JSON ({error})") from error
    value = pointer(document, how.value or "")
    if not signal:
        raise BadField("topic", signal, "a level for the signal's name")
    time = received if how.time is None else nanoseconds(pointer(document, how.time), how.time_unit, how.time)
    status = 0
    if how.status is not None and isinstance(document, dict):
        try:
            status = pointer(document, how.status)
        except BadField:
            status = 0  # left out means good
        if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 0xFFFF_FFFF:
            raise BadField(f"${how.status}", status, "a 32-bit status code")
    return Reading(machine, signal, time, value, status, received)


def nanoseconds(value: Any, unit: str, path: str = "") -> int:
    """A payload's time in ns UTC. Raises `BadField`."""
    if unit == "iso":
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise BadField(f"${path}", value, "ISO 8601 text") from error
        if moment.tzinfo is None:
            raise BadField(f"${path}", value, "a time with its zone")
        delta = moment - _EPOCH
        return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadField(f"${path}", value, f"a number of {unit}")
    try:
        return value * _UNITS[unit] if isinstance(value, int) else round(value * _UNITS[unit])
    except (OverflowError, ValueError) as error:
        raise BadField(f"${path}", value, f"a number of {unit}") from error
