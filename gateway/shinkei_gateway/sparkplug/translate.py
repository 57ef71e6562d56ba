"""A host's facts into readings and events of machines. Pure: facts in, items, gaps and a resume state out.

Knows no connection and no sequence (`host`). A value that cannot be read goes to quarantine and its neighbours go on. What is historical
goes into the machine's history stream. A birth repeats what is known: only what it says anew is a reading, and what may have passed
unseen before it is a possible gap.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from google.protobuf.message import DecodeError

from shinkei_events.errors import BadField, BadInput
from shinkei_events.identity import Kind
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.machine_json import no_data_draft
from shinkei_gateway.quality import BAD_NO_DATA
from shinkei_gateway.source_time import LATEST_NS, newest_of_now
from shinkei_gateway.sparkplug import facts
from shinkei_gateway.sparkplug.births import Births
from shinkei_gateway.sparkplug.host import LAST_MS, MS
from shinkei_gateway.sparkplug.machines import Machine, state_map
from shinkei_gateway.sparkplug.room import Room
from shinkei_gateway.sparkplug.sayings import Sayings, Taken
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.tables import Meanings, Metric, Table, announced, status_of
from shinkei_gateway.sparkplug.topic import NodeId
from shinkei_gateway.state import Change

BAD_NO_COMMUNICATION = 0x8031_0000
"""What a metric is from a death on until a birth vouches for it again (OPC UA Part 6 A.2)."""


class Translator:
    """One source. ``resume``: its last durable resume state; ``told``: a machine's clock skew told before a restart, or None.

    ``now``: ns UTC, what ``resume`` says of later times is not believed (None: it is).
    """

    def __init__(
        self,
        name: str,
        source: SparkplugSource,
        resume: dict[str, Any] | None,
        told: Callable[[str], int | None] = lambda _machine: None,
        now: int | None = None,
    ) -> None:
        self._meanings, self._map = Meanings(source), state_map(source)
        self._tables: dict[tuple[NodeId, str | None], Table] = {}
        self._full: set[tuple[NodeId, str | None]] = set()
        self._say = Sayings(name, int(source.clock_limit * 1e9), told)
        known = (resume or {}).get("machines", {})
        self.machines: dict[str, Machine] = {
            name: Machine(name, one["node"], self._map, one, now) for name, one in known.items()
        }
        self.nodes: list[str] = list((resume or {}).get("nodes", ()))
        self.room = Room(source, self.machines)
        self._births = Births(name, source, self._meanings, self._say, self.machines, self._map, self.room)

    def take(self, learnt: list[facts.Fact], out: Taken) -> None:
        """Add what was ``learnt`` to ``out``."""
        for fact in learnt:
            if type(fact) is facts.Said:
                self._said(fact, out)
            elif type(fact) is facts.Born:
                self._born(fact, out)
            elif type(fact) is facts.Died:
                self._died(fact, out)
            elif type(fact) is facts.Lost:
                self._lost(fact, out)
            elif type(fact) is facts.Refused:
                self._births.refuse(fact, self.room.refusal(fact.node, fact.device), out)

    def away(self, received: int, since: int = 0) -> list[Draft]:
        """The host itself was away for too long: NO_DATA for every machine whose state was known, from its last word on, or ``since`` then."""
        times = {m.name: max(m.newest, since) or received for m in self.machines.values()}
        return [
            no_data_draft(m.name, times[m.name], received)
            for m in self.machines.values()
            if m.state.lost(times[m.name])
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
        return self._say.skews

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """A quarantined metric (``raw``: its bytes) by what its machine's birth says of it now. Raises `BadInput`."""
        table = next((one for one in self._tables.values() if one.machine.name == record.machine), None)
        metric = table.by_name.get(record.where) if table is not None else None
        if table is None or metric is None:
            raise BadField("$.where", record.where, "a metric that the machine's birth announced")
        payload = Payload()
        try:
            message = payload.metrics.add()
            message.ParseFromString(raw)
        except DecodeError as error:
            raise BadField("$", raw[:60], f"a Sparkplug B metric ({error})") from error
        ms = message.timestamp if 0 < message.timestamp <= LAST_MS else record.time // MS
        taken, changes = Taken(), list[Change]()
        message.is_historical = True  # what is told late changes nothing live
        self._say.fact(table.machine, metric, message, ms * MS, record.received, changes, taken)
        return taken.items + taken.history

    # ---- data: the hot path ----------------------------------------------------------------------------------------------
    def _said(self, fact: facts.Said, out: Taken) -> None:
        table = self._tables.get((fact.node, fact.device))
        if table is None:  # its birth was refused, and told
            out.untaken += (fact.node, fact.device) in self._full
            return
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
                self._say.refuse(
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
                self._say.fact(machine, metric, message, time, received, changes, out)
                newest = newest if message.is_historical else max(newest, time)
                continue
            if message.HasField("properties"):
                status = status_of(message)
                channel.status = channel.status if status is None else status
            try:
                value = None if message.is_null else metric.read(message)
            except BadInput as error:
                self._say.bad_value(machine, metric, message, time, error, received, out)
                continue
            reading = Reading(
                name, channel.name, time, value, BAD_NO_DATA if message.is_null else channel.status, received
            )
            if type(value) is not int and not _is_plain(value):
                self._say.cleaned(reading, out)
            else:
                items.append(reading)
            channel.last, channel.value, channel.is_stale = time, value, False
            newest = max(newest, time)
        if newest:
            live = (one for one in payload.metrics if not one.is_historical)
            found = newest_of_now(newest, ((one.timestamp or default) * MS for one in live), received)
            self._say.heard(machine, newest if found is None else found, received, out)
        if changes:
            self._say.states(machine, changes, received, out)

    def _find(self, table: Table, fact: facts.Said, message: Any, out: Taken) -> Metric | None:
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
            self._say.refuse(table.machine, str(shown), message, error, fact.received, out)
            return None
        table.add(metric, message)
        return metric

    def _born(self, fact: facts.Born, out: Taken) -> None:
        key, refused = (fact.node, fact.device), len(out.full)
        table = self._births.born(fact, out)
        if fact.device is None and str(fact.node) not in self.nodes:
            self.nodes.append(str(fact.node))
        self._full.discard(key)
        if table is not None:
            self._tables[key] = table
            return
        self._tables.pop(key, None)
        if len(out.full) > refused:
            self._full.add(key)

    # ---- deaths and losses -------------------------------------------------------------------------------------------------
    def _died(self, fact: facts.Died, out: Taken) -> None:
        if fact.device is not None:
            table = self._tables.get((fact.node, fact.device))
            machines = [table.machine] if table is not None else []
        else:
            machines = [machine for machine in self.machines.values() if machine.node == str(fact.node)]
        time = fact.time if fact.time <= fact.received + LATEST_NS else fact.received
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

    def _lost(self, fact: facts.Lost, out: Taken) -> None:
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


def _is_plain(value: Any) -> bool:
    """Whether a value can be carried as it is without looking into it."""
    return isfinite(value) if type(value) is float else value is None or type(value) in (str, bool)
