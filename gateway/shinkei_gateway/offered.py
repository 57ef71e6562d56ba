"""What sources offer to the gateway's intake: readings, drafts of events, gaps, in batches that carry the source's resume state.

Values only; numbering is the intake's. Every source makes these.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

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
    items: list[Reading | Draft]
    resume: Any = None
    history: bool = False
    replay_of: str | None = None
    maybe_again: bool = False
    fills: Filled | None = None


def machines_of(items: Iterable[Reading | Draft]) -> list[str]:
    """The machines, each once, in the order in which they first speak."""
    return list(dict.fromkeys(map(itemgetter(0), items)))


def drafts_of(items: Iterable[Reading | Draft]) -> list[Draft]:
    """The events among ``items``."""
    return [item for item in items if type(item) is Draft]


def by_machine(items: list[Reading | Draft]) -> dict[str, list[Reading | Draft]]:
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
