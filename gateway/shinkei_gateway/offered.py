"""What sources offer to the gateway's intake: readings, drafts of events, gaps, in batches that carry the source's resume state.

Values only; numbering is the intake's. Every source makes these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, overload

from shinkei_events.identity import Kind
from shinkei_events.model.frame import Value
from shinkei_events.model.numbered import Gap, Numbered


class Reading(NamedTuple):
    """One value of one channel. Times in ns UTC; ``status`` the full 32-bit OPC UA code."""

    machine: str
    channel: str
    time: int
    value: Value
    status: int
    received: int
    server_time: int | None = None


class ReadingColumns(Sequence[Reading]):
    """Readings of one machine that came in one message, all Good, column by column: a fifth of the time that one object a value takes.

    For who looks at each it is a sequence of `Reading`. ``servers``: None when each server time is the source time.
    """

    __slots__ = ("channels", "machine", "received", "servers", "times", "values")

    def __init__(
        self, machine: str, channels: Sequence[str], times: Sequence[int], values: Sequence[Value],
        servers: Sequence[int | None] | None, received: int,
    ) -> None:  # fmt: skip
        self.machine, self.channels, self.times, self.values = machine, channels, times, values
        self.servers, self.received = servers, received

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> Reading: ...
    @overload
    def __getitem__(self, at: slice) -> ReadingColumns: ...
    def __getitem__(self, at: int | slice) -> Reading | ReadingColumns:
        servers = self.servers
        if isinstance(at, slice):
            of_servers = servers[at] if servers is not None else None
            return ReadingColumns(
                self.machine, self.channels[at], self.times[at], self.values[at], of_servers, self.received
            )
        time, server = self.times[at], servers[at] if servers is not None else None
        server = None if server == time else server
        return Reading(self.machine, self.channels[at], time, self.values[at], 0, self.received, server)

    def picked(self, order: Sequence[int]) -> ReadingColumns:
        """Those at the places ``order`` (two at least), in that order."""
        pick = itemgetter(*order)
        servers = pick(self.servers) if self.servers is not None else None
        return ReadingColumns(
            self.machine, pick(self.channels), pick(self.times), pick(self.values), servers, self.received
        )


class Draft(NamedTuple):
    """An event without its numbers: ``type`` is the struct, ``fields`` all of it but stream, number, signals, time, received."""

    machine: str
    time: int
    received: int
    type: type[Numbered]
    fields: dict[str, Any]


class Filled(NamedTuple):
    """A gap of a machine's signals, as `gap` was told of it: what its id is made of."""

    cause: str
    t_from: int
    t_to: int
    channels: list[str]


class Batch(NamedTuple):
    """What a source took in one go. ``resume``: where the source goes on after a restart, durable together with the items.

    ``replay_of``: the items are what a quarantine record was; they change no present context. ``maybe_again``: they may have been taken before, which cannot
    be proven: they are kept, and marked so. ``fills``: the gap that history fills.
    """

    source: str
    items: Sequence[Reading | Draft]
    resume: Any = None
    history: bool = False
    replay_of: str | None = None
    maybe_again: bool = False
    fills: Filled | None = None


def machines_of(items: Iterable[Reading | Draft]) -> list[str]:
    """The machines, each once, in the order in which they first speak."""
    if isinstance(items, ReadingColumns):
        return [items.machine]
    return list(dict.fromkeys(map(itemgetter(0), items)))


def drafts_of(items: Iterable[Reading | Draft]) -> list[Draft]:
    """The events among ``items``."""
    if isinstance(items, ReadingColumns):
        return []
    return [item for item in items if type(item) is Draft]


def by_machine(items: Sequence[Reading | Draft]) -> Mapping[str, Sequence[Reading | Draft]]:
    """What each machine said, in the order given."""
    machines = machines_of(items)
    if len(machines) == 1:
        return {machines[0]: items}
    found: dict[str, list[Reading | Draft]] = {machine: [] for machine in machines}
    for item in items:
        found[item.machine].append(item)
    return found


def gap(machine: str, cause: str, t_from: int, t_to: int, received: int, *, at_least: int = 0, channels: list[str] | None = None,
        possible: bool = False, detail: str = "", kind: Kind = "signals") -> Draft:  # fmt: skip
    """A gap lost before numbering: source times ``t_from … t_to`` of a machine (of some ``channels``, or all)."""
    fields = {"cause": cause, "t_from": t_from, "t_to": t_to, "at_least": at_least, "channels": sorted(channels or []),
              "possible": possible, "detail": detail, "of": kind}  # fmt: skip
    return Draft(machine, t_to, received, Gap, fields)
