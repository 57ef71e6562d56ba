"""MQTT messages into readings and events: topic templates, JSON pointers, formats, times. Pure.

Whatever a payload holds, `Mapping.take` gives items or raises `BadInput`: the message then goes to quarantine. What a topic means is
worked out once; a message of a known topic costs its decoding and little more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from shinkei_events.errors import BadField
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.machine_json import EnergySaid, OperationSaid, Said, SetupSaid, StateSaid, draft_of, parse
from shinkei_gateway.mqtt.filters import matches, minimal, overlapping
from shinkei_gateway.mqtt.formats import MOST_BYTES, bounded, decoder
from shinkei_gateway.mqtt.settings import TopicMap
from shinkei_gateway.mqtt.times import nanoseconds
from shinkei_gateway.quality import clean
from shinkei_gateway.strict import MACHINE

_SAID: dict[str, type[Said]] = {
    "state": StateSaid,
    "operation": OperationSaid,
    "setup": SetupSaid,
    "energy": EnergySaid,
}
_LEVEL = re.compile(r"\{(\d+)\}")
_MOST_TOPICS = 100_000
_Keys = tuple[str, ...]


class _Plan(NamedTuple):
    """What a topic means. ``signals``: pointers and names; ``quick``: one signal, its value and time members of a JSON object."""

    how: TopicMap
    machine: str
    decode: Callable[[bytes], Any]
    signals: tuple[tuple[_Keys, str], ...]
    time: _Keys | None
    status: _Keys | None
    zone: ZoneInfo | None
    quick: tuple[str, str, str, str | None] | None
    """(signal, value's key, time's key, status's key)."""


class TooMany(BadField):
    """One machine more than a source may bring."""

    def __init__(self, machine: str, most: int) -> None:
        super().__init__(
            "topic", machine, f"max_machines = {most} are known already: list machines, or raise max_machines"
        )


class Mapping:
    """All topic maps of a source; the first that matches a topic counts. ``machines``: only these (empty: any, but ``most`` at most, of
    which ``heard`` are known). A machine counts once something of it was understood.
    """

    def __init__(
        self, source: str, topics: list[TopicMap], machines: list[str], *, most: int = 1_000, heard: Iterable[str] = ()
    ) -> None:
        self._source, self._machines = source, frozenset(machines)
        self._most, self._heard = most, set(heard)
        self._maps = [(topic, topic.filter.split("/")) for topic in topics]
        self._found: dict[str, _Plan | None] = {}
        self._filters = minimal([topic.filter for topic in topics])
        self._overlaps = bool(overlapping(self._filters))
        self._doubled: dict[str, bool] = {}

    @property
    def filters(self) -> list[str]:
        """What to subscribe to: none that another one covers, for brokers send a message once for each subscription that matches."""
        return list(self._filters)

    def is_doubled(self, topic: str) -> bool:
        """Whether more than one subscription matches ``topic``, so that a copy of its message may follow."""
        if not self._overlaps:
            return False
        found = self._doubled.get(topic)
        if found is None:
            if len(self._doubled) >= _MOST_TOPICS:
                self._doubled.clear()
            levels = topic.split("/")
            found = self._doubled[topic] = sum(matches(one.split("/"), levels) for one in self._filters) > 1
        return found

    def machine(self, topic: str) -> str | None:
        """The machine that ``topic`` is about, or None where nothing of it was understood yet: a stranger's name makes no stream."""
        found = self._lookup(topic)
        return found.machine if found and (found.machine in self._heard or self._is_named(found)) else None

    def is_removal(self, topic: str, payload: bytes) -> bool:
        """Whether this only removes a retained message (no bytes: MQTT 5, 3.3.1.3; subscribers get it like any other) and says nothing.

        In no format but text are no bytes a value: there they are the empty text.
        """
        found = None if payload else self._lookup(topic)
        return found is not None and (found.how.format != "text" or found.how.as_ != "signal")

    def content_type(self, topic: str) -> str:
        """Of the payloads on ``topic``, for a quarantine record."""
        found = self._lookup(topic)
        return _CONTENT[found.how.format if found else "json"]

    def take(self, topic: str, payload: bytes, received: int) -> list[Reading | Draft]:
        """The readings or event of one message, perhaps with quarantine records of single values."""
        plan = self._found.get(topic) or self._lookup(topic)
        if plan is None:
            raise BadField("topic", topic, "a topic that one of the source's filters knows")
        if plan.quick is not None and plan.machine in self._heard:
            quick = _quick(plan, plan.quick, payload, received)
            if quick is not None:
                return [quick]
        self._check(plan, payload)
        items: list[Reading | Draft] = []
        if plan.how.as_ != "signal":
            items = [draft_of(plan.machine, _said(plan, payload), received)]
        else:
            for reading in _readings(plan, payload, received):
                cleaned, copy = clean(reading, self._source)
                items += [cleaned] if copy is None else [cleaned, copy]
        self._heard.add(plan.machine)
        return items

    def _is_named(self, plan: _Plan) -> bool:
        """Whether the settings themselves name this machine."""
        return plan.machine in self._machines or (not self._machines and "{" not in plan.how.machine)

    def _check(self, plan: _Plan, payload: bytes) -> None:
        if not MACHINE.fullmatch(plan.machine) or (self._machines and plan.machine not in self._machines):
            raise BadField("topic", plan.machine, "one of the source's machines")
        if len(self._heard) >= self._most and plan.machine not in self._heard and not self._is_named(plan):
            raise TooMany(plan.machine, self._most)
        if len(payload) > MOST_BYTES:
            raise BadField("$", len(payload), f"at most {MOST_BYTES} bytes of payload")

    def _lookup(self, topic: str) -> _Plan | None:
        if topic in self._found:
            return self._found[topic]
        if len(self._found) >= _MOST_TOPICS:
            self._found.clear()
        levels = topic.split("/")
        how = next((how for how, parts in self._maps if matches(parts, levels)), None)
        plan = self._found[topic] = None if how is None else self._plan(how, levels)
        return plan

    def _plan(self, how: TopicMap, levels: list[str]) -> _Plan:
        machine, signal = _fill(how.machine, levels), _fill(how.signal or "", levels)
        signals = tuple((keys(at), _fill(name, levels)) for at, name in how.values.items())
        time = None if how.time is None else keys(how.time)
        status = None if how.status is None else keys(how.status)
        if how.members != "none":
            signals = ((keys(how.value or ""), _fill(how.signal or "{member}", levels)),)
        elif not signals:
            signals = ((keys(how.value or ""), signal),)
        known, quick = MACHINE.fullmatch(machine) and (not self._machines or machine in self._machines), None
        if how.as_ == "signal" and known and signal and how.format == "json" and how.time_unit != "iso":
            value = signals[0][0] if not how.values and how.members == "none" else ()
            if time is not None and len(time) == len(value) == 1 and (status is None or len(status) == 1):
                quick = (signal, value[0], time[0], status[0] if status else None)
        zone = ZoneInfo(how.zone) if how.zone else None
        return _Plan(how, machine, decoder(how.format), signals, time, status, zone, quick)


_CONTENT = {
    "json": "application/json",
    "text": "text/plain",
    "cbor": "application/cbor",
    "msgpack": "application/msgpack",
}
_json = msgspec.json.Decoder()
_FACTOR = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_INFINITE = (float("inf"), float("-inf"))


def _quick(plan: _Plan, quick: tuple[str, str, str, str | None], payload: bytes, received: int) -> Reading | None:
    """The ordinary case without a detour: {"time": integer, "value": number}; None: whatever else it is, the long way says."""
    signal, value_at, time_at, status_at = quick
    try:
        document = _json.decode(payload)
        value, time = document[value_at], document[time_at]
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError, TypeError):
        return None
    kind = type(value)
    if type(time) is not int or not (kind is int or (kind is float and value not in _INFINITE) or kind is bool):
        return None
    status = 0 if status_at is None else document.get(status_at, 0)
    if type(status) is not int or not 0 <= status <= 0xFFFF_FFFF:
        return None
    return Reading(plan.machine, signal, time * _FACTOR[plan.how.time_unit], value, status, received)


def keys(path: str) -> _Keys:
    """The members that a JSON pointer (RFC 6901) goes through."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:])


def pointer(document: Any, path: str) -> Any:
    """What a JSON pointer points at; raises `BadField` when it is not there."""
    return _at(document, keys(path))


def _at(document: Any, path: _Keys) -> Any:
    for key in path:
        try:
            document = document[int(key)] if isinstance(document, list) else document[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BadField("".join(["$", *[f"/{each}" for each in path]]), "", "is not in the payload") from None
    return document


def _fill(template: str, levels: list[str]) -> str:
    return _LEVEL.sub(lambda found: levels[int(found[1])] if int(found[1]) < len(levels) else "", template)


def _said(plan: _Plan, payload: bytes) -> Said:
    if plan.how.format == "json":
        return parse(_SAID[plan.how.as_], payload)
    try:
        return parse(_SAID[plan.how.as_], msgspec.json.encode(plan.decode(payload)))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadField("$", payload[:60], f"an object in the language's own words ({error})") from error


def _readings(plan: _Plan, payload: bytes, received: int) -> list[Reading]:
    document, how = plan.decode(payload), plan.how
    status = _status(document, plan)
    time = received
    if plan.time is not None and how.time is not None:
        time = nanoseconds(_at(document, plan.time), how.time_unit, how.time, plan.zone)
    found = _members(document, plan) if how.members != "none" else _values(document, plan)
    for name, value in found:
        if not name:
            raise BadField("topic", name, "a level for the signal's name")
        bounded(value)
    return [Reading(plan.machine, name, time, value, status, received) for name, value in found]


def _values(document: Any, plan: _Plan) -> list[tuple[str, Any]]:
    """Of several signals those that are in the payload, at least one: devices often send what changed."""
    if not plan.how.values:
        path, name = plan.signals[0]
        return [(name, _at(document, path))]
    found = []
    for path, name in plan.signals:
        try:
            found.append((name, _at(document, path)))
        except BadField:
            continue
    if not found:
        raise BadField("$", "", f"at least one of {', '.join(sorted(plan.how.values))}")
    return found


def _members(document: Any, plan: _Plan) -> list[tuple[str, Any]]:
    """All (numeric) members of the object at ``value`` but the time and the status; ``{member}`` stands for their names."""
    base, name = plan.signals[0]
    inner = _at(document, base)
    if not isinstance(inner, dict):
        raise BadField(f"${plan.how.value or ''}", inner, "an object whose members are signals")
    left_out = {path[-1] for path in (plan.time, plan.status) if path and path[:-1] == base}
    found = [
        (name.replace("{member}", key), value)
        for key, value in inner.items()
        if key not in left_out and (plan.how.members == "all" or _is_number(value))
    ]
    if not found:
        raise BadField(f"${plan.how.value or ''}", list(inner)[:5], "an object with at least one number")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _status(document: Any, plan: _Plan) -> int:
    if plan.status is None or not isinstance(document, dict):
        return 0
    try:
        status = _at(document, plan.status)
    except BadField:
        return 0  # left out means good
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 0xFFFF_FFFF:
        raise BadField(f"${plan.how.status}", status, "a 32-bit status code")
    return status
