"""What a birth says against what was known: only what is new is a reading, and what may have passed unseen is a possible gap. Pure.

Called by `translate`, which keeps the tables that `Births.born` makes.
"""

from __future__ import annotations

from typing import Any

from shinkei_events.errors import BadField, BadInput
from shinkei_events.identity import Kind
from shinkei_gateway.intake import Reading, gap
from shinkei_gateway.quality import BAD_NO_DATA, GOOD
from shinkei_gateway.quarantine import refused
from shinkei_gateway.source_time import LATEST_NS
from shinkei_gateway.sparkplug import facts
from shinkei_gateway.sparkplug.host import LAST_MS, MS
from shinkei_gateway.sparkplug.machines import Channel, Machine
from shinkei_gateway.sparkplug.room import Room, TooMany
from shinkei_gateway.sparkplug.sayings import CONTENT, Sayings, Taken
from shinkei_gateway.sparkplug.settings import SparkplugSource, machine_of
from shinkei_gateway.sparkplug.tables import Meanings, Metric, Table, announced, described, status_of
from shinkei_gateway.state import Change
from shinkei_gateway.strict import MACHINE

Span = tuple[int, int]


class Births:
    """Of one source. ``machines``: all it knows, shared with its translator."""

    def __init__(
        self,
        name: str,
        source: SparkplugSource,
        meanings: Meanings,
        say: Sayings,
        machines: dict[str, Machine],
        map: dict[str, Any],
        room: Room,
    ) -> None:
        self._name, self._source, self._meanings, self._say = name, source, meanings, say
        self._machines, self._map, self._room = machines, map, room

    def born(self, fact: facts.Born, out: Taken) -> Table | None:
        """The metrics there are from now on; None when the machine has no id that may be one (told in quarantine)."""
        machine = self._machine(fact, out)
        if machine is None:
            return None
        table, known = Table(machine, {}, {}), machine.newest
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
                self._say.refuse(machine, message.name, message, error, fact.received, out)
                continue
            table.add(metric, message)
            if metric.channel is not None:
                spans = unproven if metric.is_signal else events
                self._restated(machine, metric, message, default, fact, changes, spans, out, known)
        if any(metric.channel is not None for metric in table.by_name.values()):
            machine.is_stale = False
        self._unproven(machine, fact, unproven, events, out)
        if changes:
            self._say.states(machine, changes, fact.received, out)
        return table

    def _machine(self, fact: facts.Born, out: Taken) -> Machine | None:
        name = machine_of(self._source, fact.node.group, fact.node.node, fact.device)
        if not MACHINE.fullmatch(name):
            path = str(fact.node) if fact.device is None else f"{fact.node}/{fact.device}"
            hint = f'a machine\'s short id; give it one: machines = {{ "{path}" = "…" }}'
            self.refuse(fact, BadField("topic", name, hint), out)
            return None
        found = self._machines.get(name)
        if found is None:
            try:
                self._room.check(fact.node, fact.device)
            except TooMany as error:
                self.refuse(fact, error, out)
                out.full.append(str(fact.node) if fact.device is None else f"{fact.node}/{fact.device}")
                out.untaken += 1
                return None
            found = self._machines[name] = Machine(name, str(fact.node), self._map)
        found.node = str(fact.node)
        return found

    def refuse(self, fact: facts.Born | facts.Refused, error: BadInput, out: Taken) -> None:
        """A birth that makes no machine, whole and under the source's name: a stranger's name makes no stream."""
        path = str(fact.node) if fact.device is None else f"{fact.node}/{fact.device}"
        out.items.append(
            refused(self._name, self._name, path, fact.payload.SerializeToString(), error, fact.received, CONTENT)
        )
        out.own += 1

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

    def _restated(self, machine: Machine, metric: Metric, message: Any, default: int, fact: facts.Born, changes: list[Change],
                  spans: dict[str, Span], out: Taken, known: int) -> None:  # fmt: skip
        """What a birth says of one metric, against what was known; ``known``: the machine's newest time then."""
        channel: Channel = metric.channel  # type: ignore[assignment]
        if message.is_null and (channel.last is None or (metric.is_signal and channel.value is None)):
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
            since = min(last, known or last)  # a last value that was not of now does not say since when
            is_after = since < time <= fact.received + LATEST_NS
            spans[channel.name] = (since, time if is_after else max(since, fact.received))

    def _restated_signal(
        self, machine: Machine, metric: Metric, message: Any, time: int, received: int, out: Taken
    ) -> None:
        channel: Channel = metric.channel  # type: ignore[assignment]
        try:
            value = None if message.is_null else metric.read(message)
        except BadInput as error:
            self._say.bad_value(machine, metric, message, time, error, received, out)
            return
        self._say.cleaned(
            Reading(
                machine.name, channel.name, time, value, BAD_NO_DATA if value is None else channel.status, received
            ),
            out,
        )
        channel.last, channel.value, channel.is_stale = time, value, False
        machine.heard.take(time, received)

    def _restated_fact(self, machine: Machine, metric: Metric, message: Any, time: int, is_repeat: bool, received: int,
                       changes: list[Change], out: Taken) -> None:  # fmt: skip
        if is_repeat and metric.how is not None and metric.how.as_ in ("operation", "setup", "energy"):
            out.repeats += 1
            if metric.channel is not None:
                metric.channel.last = time
            return
        self._say.fact(machine, metric, message, time, received, changes, out)
        machine.heard.take(time, received)

    def _unproven(
        self, machine: Machine, fact: facts.Born, signals: dict[str, Span], events: dict[str, Span], out: Taken
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


def _quiet(metric: Metric, message: Any) -> Any:
    try:
        return metric.read(message)
    except BadInput:
        return None
