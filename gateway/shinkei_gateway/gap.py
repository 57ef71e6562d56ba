"""What may have been lost at a source while nobody listened, worked out from the first values after it. Pure.

A channel whose first value has the source time of the last one seen lost nothing: nothing was written in between. Every other
channel has a gap from its last value seen to its first one now. `shinkei_gateway.intake` gives gaps their ids and marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shinkei_gateway.source_time import Newest, believed

MAX_REMEMBERED = 256
"""Channels whose last source times fit into the resume state; of more only those of events are remembered, and one time for all others."""
MAX_NAMED = 1000
"""Channels that one gap record names."""
NAMED_BYTES = 200_000
"""Bytes of their names: a record holds twice as much."""
MAX_BREAKS = 32
"""Distinct spans that are told of one message."""
NEAR_NS = 1_000_000
"""Spans whose ends lie this near are the first to be made one when there are too many."""
NEVER = -(1 << 63)
_FLOOR = "@"
"""In a resume state; channels of events have a name behind it."""


ChannelSpan = tuple[str, int, int]
"""A channel and the source times between which something of it may be missing."""


class Break(NamedTuple):
    """Of ``channels`` (empty: of all there are) something may be missing at source times ``t_from … t_to``; ``spans``: what was put into it."""

    t_from: int
    t_to: int
    channels: list[str]
    spans: list[ChannelSpan]


class Continuity:
    """The last source time of each channel, by its place in ``channels``. ``resume``: what `state` gave before a restart, or None.

    ``slack``: ns that the values of one cycle lie apart at most, for what only one time for all is remembered of (`proved`); ``heard``: the
    newest of all that was remembered, too; ``now``: ns UTC, what ``resume`` says of later times is not believed (None: it is).
    """

    def __init__(
        self, channels: Sequence[str], resume: dict[str, int] | None = None, slack: int = 0,
        heard: Newest | None = None, now: int | None = None,
    ) -> None:  # fmt: skip
        self._channels = list(channels)
        known = dict(resume or {})
        newest = known.pop("", None)
        if newest is not None and now is not None:
            newest = believed(newest, now)
        self.slack = slack
        self._floor: int | None = known.pop(_FLOOR, None if newest is None else newest - slack)
        if self._floor is not None and now is not None:
            self._floor = believed(self._floor, now)
        self._proven = self._floor
        self.last = [known.get(name, NEVER) for name in self._channels]
        """Source time of the last value seen, `NEVER` when there was none; the hot path writes it itself."""
        self.odd: dict[int, int] = {}
        """Statuses of last values where they are not Good."""
        times = [time for time in (*self.last, NEVER if newest is None else newest) if time != NEVER]
        if now is not None:
            times = [time for time in times if time == believed(time, now)] or [believed(time, now) for time in times]
        self.heard = heard or Newest(max(times, default=None))
        """The newest source time heard of; who gives values says it with each message."""
        self._ahead: dict[int, int] = {}
        """Where the last value has a time that was not of now: since when something may be missing instead."""
        self._events = [at for at, name in enumerate(self._channels) if name.startswith("@")][:MAX_REMEMBERED]
        self._awaited: set[int] = set()
        self.watched: set[int] = set()
        """Channels whose next value has to be looked at with `seen`; for the others the hot path may write `last` itself."""
        if known or newest is not None:
            self.interrupted()

    @property
    def newest(self) -> int | None:
        """The newest source time seen."""
        return self.heard.time

    @property
    def is_settled(self) -> bool:
        """Whether every channel has proved itself, or said since when it cannot."""
        return not self._awaited

    def proved(self, received: int) -> None:
        """Everything was told that there was to tell, ``received`` then: from now on nothing older can be missing, but for `slack`.

        Not of channels that still have to prove themselves: while these are few, each is remembered with what it missed before. A source time
        that is years ahead counts for nothing.
        """
        if len(self._awaited) <= MAX_REMEMBERED and self.newest is not None:
            self._proven = min(self.newest, received) - self.slack

    def interrupted(self) -> None:
        """Messages may be missing: from now on the first value of each channel must prove that nothing is."""
        if self.newest is not None and max(self.last, default=NEVER) > self.newest:
            for at in range(len(self._channels)):
                self._bound(at)
        self._awaited = set(range(len(self._channels)))
        self.watched = set(self._awaited)

    def continued(self) -> None:
        """The same subscription goes on and no message is missing; the server may say current values once more."""
        self._ahead = {at: time for at, time in self._ahead.items() if at not in self._awaited}
        self._awaited.clear()
        self.may_repeat()

    def may_repeat(self) -> None:
        """The next value of each channel may be the one known already."""
        self.watched = self._awaited | {at for at, time in enumerate(self.last) if time != NEVER}

    def awaited(self) -> list[int]:
        """Channels that have not said anything since the interruption."""
        return sorted(self._awaited)

    def ignore(self, at: int) -> None:
        """Nothing is heard of a channel for now (its node is not there)."""
        self._bound(at)
        self._awaited.discard(at)
        self.watched.discard(at)

    def expect(self, at: int) -> None:
        """The channel is heard of again: its first value must prove that nothing is missing."""
        if self.last[at] != NEVER or self._floor is not None:
            self._bound(at)
            self._awaited.add(at)
            self.watched.add(at)

    def seen(self, at: int, time: int, status: int = 0) -> tuple[bool, int | None]:
        """A value of a channel: (is it the one known already, since when its continuity is unproven or None)."""
        last, since = self.last[at], None
        if at in self.watched:
            is_awaited = at in self._awaited
            self._awaited.discard(at)
            self.watched.discard(at)
            ahead = self._ahead.pop(at, last)
            if last == time and self.odd.get(at, status) == status:
                return True, None
            if is_awaited:
                since = ahead if last != NEVER else self._floor
        self.last[at] = time
        if status:
            self.odd[at] = status
        else:
            self.odd.pop(at, None)
        return False, since

    def _bound(self, at: int) -> None:
        """A last value that is newer than all that is of now does not say since when its channel may miss something."""
        if self.newest is not None and self.last[at] > self.newest:
            self._ahead.setdefault(at, self.newest)

    def state(self) -> dict[str, int]:
        """For the resume state; ``""`` is the newest of all when there are too many channels, with the floor of those that are not named."""
        if len(self._channels) > MAX_REMEMBERED:
            if self.newest is None:
                return {}
            rare = {self._channels[at]: self.last[at] for at in self._events if self.last[at] != NEVER}
            if self._proven is not None:
                rare[_FLOOR] = self._proven
            return rare | self._open() | {"": self.newest}
        state = {name: time for name, time in zip(self._channels, self.last, strict=True) if time != NEVER}
        if self._proven is not None and self._floor is not None and self.newest is not None:
            state |= {"": self.newest, _FLOOR: self._proven} | self._open()
        return state

    def _open(self) -> dict[str, int]:
        """The signals that have to prove themselves, while they are few, with since when."""
        if not self._awaited or len(self._awaited) > MAX_REMEMBERED:
            return {}
        since = {
            at: self._ahead.get(at, self.last[at]) if self.last[at] != NEVER else self._floor for at in self._awaited
        }
        names = self._channels
        return {names[at]: time for at, time in since.items() if time is not None and not names[at].startswith("@")}


def breaks(spans: Iterable[ChannelSpan], channels: int = 0) -> list[Break]:
    """A gap for each distinct span among ``spans`` of a source that has so many ``channels``.

    Of more than `MAX_BREAKS` those that lie nearest are made one. One that concerns all ``channels`` names none; of many the names are
    given in several records.
    """
    found: dict[tuple[int, int], list[ChannelSpan]] = {}
    for span in spans:
        found.setdefault((span[1], max(span[1], span[2])), []).append(span)
    return [
        Break(t_from, t_to, names, part)
        for (t_from, t_to), group in sorted(_few(found).items())
        for names, part in _parts(sorted(group), channels)
    ]


def _few(found: dict[tuple[int, int], list[ChannelSpan]]) -> dict[tuple[int, int], list[ChannelSpan]]:
    """Not more than `MAX_BREAKS`: on grids of growing width, what begins and ends in the same fields is one."""
    width = NEAR_NS
    while len(found) > MAX_BREAKS:
        fields: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for since, until in found:
            fields.setdefault((since // width, until // width), []).append((since, until))
        found = {
            (min(since for since, _ in near), max(until for _, until in near)): [s for one in near for s in found[one]]
            for near in fields.values()
        }
        width *= 2
    return found


def _parts(spans: list[ChannelSpan], channels: int) -> Iterator[tuple[list[str], list[ChannelSpan]]]:
    """``spans``, sorted, as records can name their channels."""
    if len({name for name, _, _ in spans}) == channels:
        yield [], spans
        return
    names, part, size = list[str](), list[ChannelSpan](), 0
    for span in spans:
        if not names or names[-1] != span[0]:
            size += len(span[0].encode())
            if names and (len(names) == MAX_NAMED or size > NAMED_BYTES):
                yield names, part
                names, part, size = [], [], len(span[0].encode())
            names.append(span[0])
        part.append(span)
    yield names, part
