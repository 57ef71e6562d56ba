"""A host's facts into readings and events of machines. Pure: facts in, items, gaps and a resume state out.

Knows no connection and no sequence (`host`). A value that cannot be read goes to quarantine and its neighbours go on. What is historical
goes into the machine's history stream. A birth repeats what is known: only what it says anew is a reading, and what may have passed
unseen before it is a possible gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from shinkei_events.errors import BadField, BadInput
from shinkei_events.identity import Kind
from shinkei_events.model.numbered import ClockSkew
from shinkei_gateway.clock_watch import ClockWatch
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.machine_json import (
    EnergySaid,
    OperationSaid,
    Said,
    SetupSaid,
    draft_of,
    energy_draft,
    no_data_draft,
    parse,
    state_draft,
)
from shinkei_gateway.quality import BAD_DECODING, BAD_NO_DATA, GOOD, clean
from shinkei_gateway.quarantine import refused
from shinkei_gateway.sparkplug import host
from shinkei_gateway.sparkplug.host import LAST_MS, MS
from shinkei_gateway.sparkplug.machines import Channel, Machine, state_map
from shinkei_gateway.sparkplug.settings import SparkplugSource, machine_of
from shinkei_gateway.sparkplug.tables import Meanings, Metric, Table, announced, described, status_of
from shinkei_gateway.sparkplug.topic import NodeId
from shinkei_gateway.state import Change
from shinkei_gateway.strict import MACHINE

BAD_NO_COMMUNICATION = 0x8031_0000
"""What a metric is from a death on until a birth vouches for it again (OPC UA Part 6 A.2)."""
Span = tuple[int, int]


@dataclass(slots=True)
class Taken:
    """What a round of messages became. ``history`` goes into history streams; ``own`` of ``items`` are the gateway's own words."""

    items: list[Reading | Draft] = field(default_factory=list)
    history: list[Reading | Draft] = field(default_factory=list)
    gaps: list[Draft] = field(default_factory=list)
    strangers: list[tuple[NodeId, str]] = field(default_factory=list)
    repeats: int = 0
    own: int = 0


class Translator:
    """One source. ``resume``: its last durable resume state."""

    def __init__(self, name: str, source: SparkplugSource, resume: dict[str, Any] | None) -> None:
        self._name, self._source = name, source
        self._meanings, self._map = Meanings(source), state_map(source)
        self._tables: dict[tuple[NodeId, str | None], Table] = {}
        self._clocks: dict[str, ClockWatch] = {}
        known = (resume or {}).get("machines", {})
        self.machines: dict[str, Machine] = {
            name: Machine(name, one["node"], self._map, one) for name, one in known.items()
        }
        self.nodes: list[str] = list((resume or {}).get("nodes", ()))

    def take(self, facts: list[host.Fact], out: Taken) -> None:
        """Add what ``facts`` say to ``out``."""
        for fact in facts:
            if type(fact) is host.Said:
                self._said(fact, out)
            elif type(fact) is host.Born:
                self._born(fact, out)
            elif type(fact) is host.Died:
                self._died(fact, out)
            elif type(fact) is host.Lost:
                self._lost(fact, out)

    def away(self, received: int) -> list[Draft]:
        """The host itself was away for too long: NO_DATA for every machine whose state was known."""
        return [
            no_data_draft(m.name, m.newest or received, received)
            for m in self.machines.values()
            if m.state.lost(m.newest or received)
        ]

    def blocked(self, cause: str, received: int, detail: str) -> list[Draft]:
        """Nothing was taken for a while: all machines may have lost something."""
        return [
            one
            for m in self.machines.values()
            for one in self._gaps(m, cause, m.newest, received, received, possible=True, detail=detail)
        ]

    def resume(self) -> dict[str, Any]:
        """What must be durable with the values."""
        return {
            "nodes": list(self.nodes),
            "machines": {name: machine.resume() for name, machine in self.machines.items()},
        }

    @property
    def skews(self) -> dict[str, float]:
        """Each machine's clock skew as last worked out, s."""
        return {machine: watch.skew / 1e9 for machine, watch in list(self._clocks.items())}

    # ---- data: the hot path ----------------------------------------------------------------------------------------------
    def _said(self, fact: host.Said, out: Taken) -> None:
        table = self._tables.get((fact.node, fact.device))
        if table is None:
            return  # its birth was refused, and told
        payload, received, machine = fact.payload, fact.received, table.machine
        default = payload.timestamp or received // MS
        by_alias, name, items = table.by_alias, machine.name, out.items
        changes: list[Change] = []
        newest = 0
        for message in payload.metrics:
            alias = message.alias
            metric = by_alias.get(alias) if alias else None  # 0 may be an alias, or none
            if metric is None:
                metric = self._find(table, fact, message, out)
                if metric is None:
                    continue
            channel = metric.channel
            if channel is None:
                continue
            ms = message.timestamp or default
            if ms > LAST_MS:
                self._refuse(
                    machine,
                    metric.name,
                    message,
                    BadField("$.timestamp", ms, "ms since 1970 before the year 2262"),
                    received,
                    out,
                )
                continue
            time = ms * MS
            if not metric.is_signal or message.is_historical:
                self._fact(machine, metric, message, time, received, changes, out)
                newest = newest if message.is_historical else max(newest, time)
                continue
            if message.HasField("properties"):
                status = status_of(message)
                channel.status = channel.status if status is None else status
            try:
                value = None if message.is_null else metric.read(message)
            except BadInput as error:
                self._bad_value(machine, metric, message, time, error, received, out)
                continue
            reading = Reading(
                name, channel.name, time, value, BAD_NO_DATA if message.is_null else channel.status, received
            )
            if type(value) is not int and not _is_plain(value):
                self._cleaned(reading, out)
            else:
                items.append(reading)
            channel.last, channel.value, channel.is_stale = time, value, False
            newest = max(newest, time)
        if newest:
            machine.newest = max(machine.newest, newest)
            self._skew(machine.name, newest, received, out)
        if changes:
            self._states(machine, changes, received, out)

    def _find(self, table: Table, fact: host.Said, message: Any, out: Taken) -> Metric | None:
        """The metric by its alias or name; one that no birth announced asks for a rebirth, and is kept when it says what it is."""
        if message.HasField("alias") and (found := table.by_alias.get(message.alias)) is not None:
            return found
        if message.name and (found := table.by_name.get(message.name)) is not None:
            return found
        shown = message.name or f"alias {message.alias}"
        out.strangers.append((fact.node, f"{shown!r} is in no birth"))
        try:
            if not message.name or not message.datatype:
                raise BadField(
                    "$.alias" if message.HasField("alias") else "$.name", shown, "a metric that the birth announced"
                )
            metric = announced(table.machine, message, self._meanings)
        except BadInput as error:
            self._refuse(table.machine, str(shown), message, error, fact.received, out)
            return None
        _add(table, metric, message)
        return metric

    # ---- facts other than live signals -----------------------------------------------------------------------------------
    def _fact(
        self,
        machine: Machine,
        metric: Metric,
        message: Any,
        time: int,
        received: int,
        changes: list[Change],
        out: Taken,
    ) -> None:
        try:
            value = None if message.is_null else metric.read(message)
            if message.is_historical:
                self._past(machine, metric, value, message, time, received, out)
                return
            if metric.channel is not None:
                metric.channel.last, metric.channel.value, metric.channel.is_stale = time, value, False
            if metric.how is None or value is None:
                return
            if metric.how.as_ in ("operation", "setup", "energy"):
                out.items.append(_event(machine.name, metric, value, time, received))
            else:
                changes.append(Change(metric.how.as_, time, value))
        except BadInput as error:
            self._refuse(machine, metric.name, message, error, received, out)

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
        elif metric.how is not None and value is not None:
            if metric.how.as_ in ("operation", "setup", "energy"):
                out.history.append(_event(machine.name, metric, value, time, received))
                return
            told, bad = machine.past.take([Change(metric.how.as_, time, value)], time)
            out.history += [state_draft(machine.name, said, received) for said in told]
            for _, error in bad:
                raise error

    def _states(self, machine: Machine, changes: list[Change], received: int, out: Taken) -> None:
        told, bad = machine.state.take(changes, machine.newest or received)
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

    # ---- births ----------------------------------------------------------------------------------------------------------
    def _born(self, fact: host.Born, out: Taken) -> None:
        machine = self._machine(fact, out)
        if machine is None:
            return
        table = self._tables[fact.node, fact.device] = Table(machine, {}, {})
        if fact.device is None and str(fact.node) not in self.nodes:
            self.nodes.append(str(fact.node))
        default = fact.payload.timestamp or fact.received // MS
        changes: list[Change] = []
        unproven: dict[str, Span] = {}
        events: dict[str, Span] = {}
        for message in fact.payload.metrics:
            try:
                metric = announced(machine, message, self._meanings)
                if message.timestamp > LAST_MS or default > LAST_MS:
                    raise BadField("$.timestamp", message.timestamp, "ms since 1970 before the year 2262")
                self._describe(machine, metric, message, default, fact.received, out)
            except BadInput as error:
                self._refuse(machine, message.name, message, error, fact.received, out)
                continue
            _add(table, metric, message)
            if metric.channel is not None:
                spans = unproven if metric.is_signal else events
                self._restated(machine, metric, message, default, fact, changes, spans, out)
        machine.is_stale = False
        self._unproven(machine, fact, unproven, events, out)
        if changes:
            self._states(machine, changes, fact.received, out)

    def _machine(self, fact: host.Born, out: Taken) -> Machine | None:
        name = machine_of(self._source, fact.node.group, fact.node.node, fact.device)
        if not MACHINE.fullmatch(name):
            path = str(fact.node) if fact.device is None else f"{fact.node}/{fact.device}"
            error = BadField("topic", name, f'a machine\'s short id; give it one: machines = {{ "{path}" = "…" }}')
            out.items.append(
                refused(self._name, self._name, path, fact.payload.SerializeToString(), error, fact.received, _CONTENT)
            )
            out.own += 1
            return None
        found = self.machines.get(name)
        if found is None:
            found = self.machines[name] = Machine(name, str(fact.node), self._map)
        found.node = str(fact.node)
        return found

    def _describe(
        self, machine: Machine, metric: Metric, message: Any, default: int, received: int, out: Taken
    ) -> None:
        draft = described(
            metric, message, machine.name, self._name, min(message.timestamp or default, received // MS) * MS, received
        )
        if draft is not None:
            out.items.append(draft)
            out.own += 1
        if metric.channel is not None:
            metric.channel.status = status_of(message) or GOOD

    def _restated(self, machine: Machine, metric: Metric, message: Any, default: int, fact: host.Born, changes: list[Change],
                  spans: dict[str, Span], out: Taken) -> None:  # fmt: skip
        """What a birth says of one metric, against what was known."""
        channel: Channel = metric.channel  # type: ignore[assignment]
        if message.is_null and (channel.last is None or channel.value is None):
            return  # never measured
        if message.is_historical or not (message.is_null or message.WhichOneof("value")):
            return
        time = (message.timestamp or default) * MS
        last = channel.last
        if last is None and machine.floor is not None:
            last = min(time, machine.floor)  # of so many channels only the newest time is remembered
        is_repeat = last is not None and time == last
        if not metric.is_signal:
            self._restated_fact(machine, metric, message, time, is_repeat, fact.received, changes, out)
        elif is_repeat and not channel.is_stale:
            out.repeats += 1
            channel.last = time
            channel.value = None if message.is_null else _quiet(metric, message)
        else:
            vouched = max(default * MS, time) if is_repeat else time
            before = channel.value
            self._restated_signal(machine, metric, message, vouched, fact.received, out)
            channel.last = time
            is_same = fact.cause is None and before == channel.value
            if is_repeat or is_same:
                return
        if last is not None and not is_repeat:
            spans[channel.name] = (last, max(time, last))

    def _restated_signal(
        self, machine: Machine, metric: Metric, message: Any, time: int, received: int, out: Taken
    ) -> None:
        channel: Channel = metric.channel  # type: ignore[assignment]
        try:
            value = None if message.is_null else metric.read(message)
        except BadInput as error:
            self._bad_value(machine, metric, message, time, error, received, out)
            return
        self._cleaned(
            Reading(
                machine.name, channel.name, time, value, BAD_NO_DATA if value is None else channel.status, received
            ),
            out,
        )
        channel.last, channel.value, channel.is_stale = time, value, False
        machine.newest = max(machine.newest, time)

    def _restated_fact(self, machine: Machine, metric: Metric, message: Any, time: int, is_repeat: bool, received: int,
                       changes: list[Change], out: Taken) -> None:  # fmt: skip
        if is_repeat and metric.how is not None and metric.how.as_ in ("operation", "setup", "energy"):
            out.repeats += 1
            if metric.channel is not None:
                metric.channel.last = time
            return
        self._fact(machine, metric, message, time, received, changes, out)
        machine.newest = max(machine.newest, time)

    def _unproven(
        self, machine: Machine, fact: host.Born, signals: dict[str, Span], events: dict[str, Span], out: Taken
    ) -> None:
        cause = fact.cause or "sparkplug_seq"
        all_signals = sum(not name.startswith("@") for name in machine.channels)
        kinds: tuple[tuple[Kind, dict[str, Span]], ...] = (("signals", signals), ("production", events))
        for kind, spans in kinds:
            if spans:
                t_from, t_to = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
                channels = [] if kind == "signals" and len(spans) == all_signals else sorted(spans)
                detail = "what changed before this birth is not known"
                more: dict[str, Any] = {"channels": channels, "possible": True, "detail": detail, "kind": kind}
                out.gaps.append(gap(machine.name, cause, t_from, t_to, fact.received, **more))

    # ---- deaths and losses -------------------------------------------------------------------------------------------------
    def _died(self, fact: host.Died, out: Taken) -> None:
        if fact.device is not None:
            table = self._tables.get((fact.node, fact.device))
            machines = [table.machine] if table is not None else []
        else:
            machines = [machine for machine in self.machines.values() if machine.node == str(fact.node)]
        time = fact.time if fact.time <= fact.received + 3_600 * 10**9 else fact.received
        for machine in machines:
            if machine.state.lost(time):
                out.items.append(no_data_draft(machine.name, time, fact.received))
                out.own += 1
            machine.is_stale = True
            for channel in machine.channels.values():
                if not channel.name.startswith("@") and channel.last is not None and not channel.is_stale:
                    channel.is_stale = True
                    out.items.append(
                        Reading(machine.name, channel.name, time, None, BAD_NO_COMMUNICATION, fact.received)
                    )
                    out.own += 1

    def _lost(self, fact: host.Lost, out: Taken) -> None:
        machines = [machine for machine in self.machines.values() if machine.node == str(fact.node)]
        whose = "" if len(machines) == 1 else "; which machine they told of is not known"
        for machine in machines:
            detail = f"{fact.messages} messages of {fact.node} are missing{whose}"
            until = max(fact.until, machine.newest)
            out.gaps += self._gaps(machine, "sparkplug_seq", machine.newest, until, fact.received,
                                   detail=detail, at_least=fact.messages if len(machines) == 1 else 0)  # fmt: skip

    def _gaps(self, machine: Machine, cause: str, since: int, until: int, received: int, **more: Any) -> list[Draft]:
        kinds: tuple[Kind, ...] = ("signals", "production") if machine.has_events else ("signals",)
        since = since or received
        return [gap(machine.name, cause, since, max(since, until), received, kind=kind, **more) for kind in kinds]

    # ---- what cannot be taken as it is -------------------------------------------------------------------------------------
    def _bad_value(
        self, machine: Machine, metric: Metric, message: Any, time: int, error: BadInput, received: int, out: Taken
    ) -> None:
        self._refuse(machine, metric.name, message, error, received, out)
        if metric.channel is not None:
            out.items.append(Reading(machine.name, metric.channel.name, time, None, BAD_DECODING, received))
            metric.channel.last, metric.channel.value, metric.channel.is_stale = time, None, False

    def _cleaned(self, reading: Reading, out: Taken) -> None:
        found, copy = clean(reading, self._name)
        out.items.append(found)
        if copy is not None:
            out.items.append(copy)
            out.own += 1

    def _refuse(self, machine: Machine, where: str, message: Any, error: BadInput, received: int, out: Taken) -> None:
        shown = where if isinstance(where, str) else repr(where)
        out.items.append(
            refused(self._name, machine.name, shown, message.SerializeToString(), error, received, _CONTENT)
        )
        out.own += 1

    def _skew(self, machine: str, newest: int, received: int, out: Taken) -> None:
        watch = self._clocks.get(machine)
        limit = int(self._source.clock_limit * 1e9)
        if watch is None:
            watch = self._clocks[machine] = ClockWatch(limit)
        found = watch.sample(newest, received)
        if found is not None:
            fields = {"source": self._name, "skew": found.skew, "limit": limit, "within": found.within}
            out.items.append(Draft(machine, received, received, ClockSkew, fields))
            out.own += 1


_CONTENT = "application/x-protobuf"
_SAID: dict[str, type[Said]] = {"operation": OperationSaid, "setup": SetupSaid}


def _is_plain(value: Any) -> bool:
    """Whether a value can be carried as it is without looking into it."""
    return isfinite(value) if type(value) is float else value is None or type(value) in (str, bool)


def _add(table: Table, metric: Metric, message: Any) -> None:
    table.by_name[metric.name] = metric
    if message.HasField("alias"):
        table.by_alias[message.alias] = metric


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


def _quiet(metric: Metric, message: Any) -> Any:
    try:
        return metric.read(message)
    except BadInput:
        return None
