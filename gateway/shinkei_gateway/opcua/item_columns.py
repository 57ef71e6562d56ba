"""The values of one message in columns, as long as there is nothing odd about them: from a notification's bytes to readings. Pure.

A message of some hundred numbers is the hot path of a gateway, and one object a value its largest cost. `runs` makes the columns, `translate`
asks whether they are readings as they stand; what is odd in any way is looked at value by value as ever, of which a column is a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import repeat
from math import isfinite
from typing import NamedTuple, overload

from shinkei_events.model.frame import GOOD, Value
from shinkei_gateway.offered import ReadingColumns

Item = tuple[int, Value, int, int | None, int | None]
"""Client handle, value, status, source time and server time (ns UTC)."""
WORTH_IT = 16
"""Values from which columns cost less than one value after the other (measured: 8 cost the same)."""
_PLAIN = frozenset({float, int, bool, str})


class ItemColumns(Sequence[Item]):
    """Values of one message. ``statuses`` None: all Good; ``times``, ``servers`` None: none has one. ``servers`` may be ``times`` itself."""

    __slots__ = ("handles", "servers", "statuses", "times", "values")

    def __init__(
        self, handles: Sequence[int], values: Sequence[Value], statuses: Sequence[int] | None,
        times: Sequence[int | None] | None, servers: Sequence[int | None] | None,
    ) -> None:  # fmt: skip
        self.handles, self.values, self.statuses, self.times, self.servers = handles, values, statuses, times, servers

    def __len__(self) -> int:
        return len(self.handles)

    def __iter__(self) -> Iterator[Item]:
        nothing: Iterator[None] = repeat(None)
        return zip(
            self.handles, self.values, repeat(GOOD) if self.statuses is None else self.statuses,
            nothing if self.times is None else self.times, nothing if self.servers is None else self.servers,
            strict=False,
        )  # fmt: skip

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> list[Item]: ...
    def __getitem__(self, at: int | slice) -> Item | list[Item]:
        return list(self)[at]


class Plain(NamedTuple):
    """``readings`` as they stand; ``handles``, ``times`` of each; the newest of them."""

    readings: ReadingColumns
    handles: Sequence[int]
    times: Sequence[int]
    newest: int


def plain(
    items: Sequence[Item], names: Mapping[int, str], watched: AbstractSet[int], machine: str, received: int
) -> Plain | None:
    """The readings that ``items`` are; None when one of them is anything but a Good value with a source time of a signal in ``names``,
    has a handle that is ``watched``, or when they are too few."""
    if len(items) < WORTH_IT:
        return None
    if not isinstance(items, ItemColumns):
        items = ItemColumns(*zip(*items, strict=True))
    handles, values, statuses, times = items.handles, items.values, items.statuses, items.times
    if times is None or None in times or (statuses is not None and any(statuses)) or not are_plain(values):
        return None
    if watched and not watched.isdisjoint(handles):
        return None
    try:
        channels = list(map(names.__getitem__, handles))
    except KeyError:
        return None
    told: Sequence[int] = times  # type: ignore[assignment]  # there is no None in it
    servers = None if items.servers is times or items.servers == times else items.servers
    return Plain(ReadingColumns(machine, channels, told, values, servers, received), handles, told, max(told))


def are_plain(values: Sequence[Value]) -> bool:
    """Whether they are finite numbers, flags and texts; False leaves it open (a sum may overflow)."""
    kinds = set(map(type, values))
    if not kinds <= _PLAIN:
        return False
    numbers = values if len(kinds) == 1 else [value for value in values if type(value) is float]
    return float not in kinds or isfinite(sum(numbers))  # type: ignore[arg-type]
