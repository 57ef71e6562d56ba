"""What one metric of a machine says becomes a reading, an event, or a record of why it could not be understood. Pure.

Called by `translate` for data and by `births` for births. Adds to a `Taken`; raises nothing for what a node may send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.numbered import ClockSkew
from shinkei_gateway.clock_watch import ClockWatch
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.machine_json import (
    EnergySaid,
    OperationSaid,
    Said,
    SetupSaid,
    draft_of,
    energy_draft,
    parse,
    state_draft,
)
from shinkei_gateway.quality import BAD_DECODING, BAD_NO_DATA, GOOD, clean
from shinkei_gateway.quarantine import refused
from shinkei_gateway.source_time import is_of_now
from shinkei_gateway.sparkplug.machines import Machine
from shinkei_gateway.sparkplug.tables import Metric, status_of
from shinkei_gateway.sparkplug.topic import NodeId
from shinkei_gateway.state import COMPANIONS, Change

CONTENT = "application/x-protobuf"
_SAID: dict[str, type[Said]] = {"operation": OperationSaid, "setup": SetupSaid}


@dataclass(slots=True)
class Taken:
    """What a round of messages became. ``history`` goes into history streams; ``own`` of ``items`` are the gateway's own words.

    ``full``: whose birth made no machine because there are too many; ``untaken``: messages of such.
    """

    items: list[Reading | Draft] = field(default_factory=list)
    history: list[Reading | Draft] = field(default_factory=list)
    gaps: list[Draft] = field(default_factory=list)
    strangers: list[tuple[NodeId, str]] = field(default_factory=list)
    full: list[str] = field(default_factory=list)
    untaken: int = 0
    repeats: int = 0
    own: int = 0


class Sayings:
    """Of one source. ``clock_limit``: ns; ``told``: a machine's clock skew that was told before a restart, or None."""

    def __init__(self, name: str, clock_limit: int, told: Callable[[str], int | None]) -> None:
        self._name, self._clock_limit, self._told = name, clock_limit, told
        self._clocks: dict[str, ClockWatch] = {}

    @property
    def skews(self) -> dict[str, float]:
        """Each machine's clock skew as last worked out, s."""
        return {machine: watch.skew / 1e9 for machine, watch in list(self._clocks.items())}

    def fact(
        self,
        machine: Machine,
        metric: Metric,
        message: Any,
        time: int,
        received: int,
        changes: list[Change],
        out: Taken,
    ) -> None:
        """What a state, an operation, a set-up, a counter, or anything historical says at ``time`` (ns UTC)."""
        try:
            value = None if message.is_null else metric.read(message)
            if message.is_historical:
                self._past(machine, metric, value, message, time, received, out)
                return
            if metric.channel is not None:
                metric.channel.last, metric.channel.value, metric.channel.is_stale = time, value, False
            if metric.how is None or (value is None and metric.how.as_ not in COMPANIONS):
                return
            if metric.how.as_ in ("operation", "setup", "energy"):
                out.items.append(_event(machine.name, metric, value, time, received))
            else:
                changes.append(Change(metric.how.as_, time, value))
        except BadInput as error:
            self.refuse(machine, metric.name, message, error, received, out)

    def _past(
        self, machine: Machine, metric: Metric, value: Any, message: Any, time: int, received: int, out: Taken
    ) -> None:
        """Something that happened while nobody listened (is_historical)."""
        if metric.channel is None:
            return
        if metric.is_signal:
            status = BAD_NO_DATA if value is None else (status_of(message) or GOOD)
            reading, copy = clean(Reading(machine.name, metric.channel.name, time, value, status, received), self._name)
            out.history += [reading] if copy is None else [reading, copy]
        elif metric.how is not None and (value is not None or metric.how.as_ in COMPANIONS):
            if metric.how.as_ in ("operation", "setup", "energy"):
                out.history.append(_event(machine.name, metric, value, time, received))
                return
            told, bad = machine.past.take([Change(metric.how.as_, time, value)], time)
            out.history += [state_draft(machine.name, said, received) for said in told]
            for _, error in bad:
                raise error

    def states(self, machine: Machine, changes: list[Change], received: int, out: Taken) -> None:
        """Changes of one message as states of the machine."""
        told, bad = machine.state.take(changes, machine.newest or received, received)
        out.items += [state_draft(machine.name, said, received) for said in told]
        for change, error in bad:
            out.items.append(
                refused(
                    self._name,
                    machine.name,
                    f"state {change.role}",
                    str(change.value).encode(),
                    error,
                    received,
                    "text/plain",
                )
            )
            out.own += 1

    def bad_value(
        self, machine: Machine, metric: Metric, message: Any, time: int, error: BadInput, received: int, out: Taken
    ) -> None:
        """A signal's value that cannot be read: quarantined, and a reading without value."""
        self.refuse(machine, metric.name, message, error, received, out)
        if metric.channel is not None:
            out.items.append(Reading(machine.name, metric.channel.name, time, None, BAD_DECODING, received))
            metric.channel.last, metric.channel.value, metric.channel.is_stale = time, None, False

    def cleaned(self, reading: Reading, out: Taken) -> None:
        """A reading whose value may have to be looked into."""
        found, copy = clean(reading, self._name)
        out.items.append(found)
        if copy is not None:
            out.items.append(copy)
            out.own += 1

    def refuse(self, machine: Machine, where: str, message: Any, error: BadInput, received: int, out: Taken) -> None:
        """The metric goes to quarantine with its bytes."""
        shown = where if isinstance(where, str) else repr(where)
        out.items.append(
            refused(self._name, machine.name, shown, message.SerializeToString(), error, received, CONTENT)
        )
        out.own += 1

    def heard(self, machine: Machine, newest: int, received: int, out: Taken) -> None:
        """The newest time of a live message: watch the machine's clock by it."""
        machine.heard.take(newest, received)
        watch = self._clocks.get(machine.name)
        if watch is None:
            watch = self._clocks[machine.name] = ClockWatch(self._clock_limit, told=self._told(machine.name))
        found = watch.sample(newest, received)
        if found is not None:
            if found.step is not None or not is_of_now(newest, received):
                machine.heard.set(newest, received)
                machine.state.clock_set(newest)
            fields = {
                "source": self._name,
                "skew": found.skew,
                "limit": self._clock_limit,
                "within": found.within,
                "step": found.step,
            }
            out.items.append(Draft(machine.name, received, received, ClockSkew, fields))
            out.own += 1


def _event(machine: str, metric: Metric, value: Any, time: int, received: int) -> Draft:
    """An operation, a set-up change or an energy counter. Raises `BadField`."""
    how = metric.how
    if how is not None and how.as_ == "energy" and how.medium is not None and how.unit is not None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise BadField("$.value", value, "a number")
        return energy_draft(machine, EnergySaid(medium=how.medium, value=float(value), unit=how.unit), received, time)
    if not isinstance(value, str):
        raise BadField("$.value", value, "a JSON object as text")
    said = parse(_SAID[how.as_ if how is not None else ""], value)
    return draft_of(machine, said, received)
