"""Notifications of one machine into readings and events. Pure: samples and times in, drafts and a resume state out.

Plain values of signals take a fast path (one reading each, nothing else a value); what is odd in any way goes value by value. Knows no
connection: `source` calls `take` for every notification message, `idle` while none comes, `interrupted` or `continued` after a cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, NamedTuple

from shinkei_events.identity import Kind
from shinkei_events.model.frame import Value
from shinkei_gateway.gap import NEVER, ChannelSpan, Continuity, breaks
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.opcua.cycles import Cycles
from shinkei_gateway.opcua.decode import Undecoded
from shinkei_gateway.opcua.floors import Floors, slack
from shinkei_gateway.opcua.item_columns import Plain, plain
from shinkei_gateway.opcua.missing import Missing, missing_of
from shinkei_gateway.opcua.plan import EVENTS_HANDLE, Item
from shinkei_gateway.opcua.sample import Sample
from shinkei_gateway.opcua.sayings import Sayings, Taken
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.quality import is_no_value_yet, is_node_gone, is_overflow
from shinkei_gateway.source_time import LATEST_NS, Newest, is_of_now, newest_of_now

_SECOND = 1_000_000_000
_PLAIN = frozenset({float, int, bool, str})
Told = tuple[int, Value, int, int | None, int | None]
"""Client handle, value, status, source time, server time: what `decode` gives."""


class Translated(NamedTuple):
    """``gaps`` go to the spool first, then ``items`` with ``resume``. ``repeats``: values known already; ``own``: what the gateway itself says.

    ``gone``: client handles of nodes that are not there any more.
    """

    gaps: list[Draft]
    items: Sequence[Reading | Draft]
    resume: dict[str, Any]
    repeats: int
    own: int
    gone: list[int] = []
    missing: list[Missing] = []


class Translator:
    """One source. ``resume``: its last durable resume state; ``now``: any monotonic ns (handshake time-outs only); ``skew``: told before.

    ``at``: ns UTC, when it begins; a ``resume`` that says of later times is not believed.
    """

    def __init__(
        self,
        name: str,
        source: OpcuaSource,
        items: list[Item],
        resume: dict[str, Any] | None,
        now: int,
        skew: int | None = None,
        at: int | None = None,
    ) -> None:
        self._name, self._source, self._items = name, source, items
        self._machine = source.machine
        known = resume or {}
        slowest = max((item.sampling for item in items if item.role == "signal"), default=0.0)
        spread = _spread(slowest, source.publish)
        heard = Newest.restored(known.get("newest"), at)
        self._continuity = Continuity([item.channel for item in items], known.get("last"), spread, heard, at)
        self._floors = Floors(
            {handle: item.channel for handle, item in enumerate(items) if item.role != "signal"},
            slack(source.sampling, source.publish), int(source.clock_limit * _SECOND), known.get("floors"), len(items),
        )  # fmt: skip
        self._cause = "gateway_down"
        self.cycles = Cycles(name, source, items)
        """The handshakes, for what answers are due."""
        self._say = Sayings(name, source, self.cycles, skew)
        self._names = {handle: item.name for handle, item in enumerate(items) if item.role == "signal"}
        self._signals = len(self._names)
        self._is_back = False
        self._was_settled = bool(known) and known.get("settled", True)
        """Whether, at the last durable message before this process, nothing of an earlier interruption was open."""
        if known:
            self._say.restore(known, at)
            self.cycles.restore(known["handshakes"], now)
            self._floors.freeze(self._continuity.last)

    @property
    def newest(self) -> int | None:
        """The newest source time seen."""
        return self._continuity.newest

    @property
    def skew(self) -> int:
        """The clock's skew as last worked out, ns."""
        return self._say.skew

    # ---- what happens ------------------------------------------------------------------------------------------------
    def interrupted(self, cause: str) -> None:
        """The connection was lost for ``cause``; what comes next must prove that nothing is missing."""
        self._cause, self._was_settled = cause, False
        self._continuity.interrupted()
        self._floors.freeze(self._continuity.last)
        self.cycles.disconnected(cause)

    def continued(self, now: int) -> None:
        """The same subscription goes on: what was sent meanwhile is sent again, and current values may be said once more."""
        if self._was_settled:
            self._floors.thaw(self._continuity.awaited())
            self._continuity.continued()
        else:
            self._continuity.may_repeat()  # what is open stays open
        self._was_settled = False
        self.cycles.wait_again(now)
        self._is_back = True

    def returned(self, received: int) -> Draft | None:
        """The first sign of life of a continued subscription ends NO_DATA: what did not change meanwhile holds. Else None."""
        if not self._is_back:
            return None
        self._is_back = False
        return self._say.back(self._continuity.newest, received)

    def silent(self, handle: int) -> None:
        """Nothing is heard of a node (it is refused, or gone)."""
        self._floors.freeze(self._continuity.last, [handle])
        self._continuity.ignore(handle)

    def heard(self, handle: int) -> None:
        """The node is monitored anew."""
        self._continuity.expect(handle)

    def paced(self, sampling: float, publishing: float, signals: float = 0.0) -> None:
        """How often (s) the server looks at what is no signal, sends, and looks at the slowest signal, as revised."""
        self._floors.pace = slack(sampling, publishing)
        self.cycles.paced(sampling, publishing)
        self._floors.signals = slack(signals, publishing)
        self._continuity.slack = _spread(signals, publishing)

    def proved(self, sent: int | None) -> None:
        """A response that was sent then left nothing behind, and none before it is missing (ns by the server's clock; None: it does not say)."""
        self._floors.heard(sent)

    def unproven(self) -> list[int]:
        """Handles that have not proved since the last interruption that nothing is missing."""
        return self._continuity.awaited()

    def away(self, received: int, since: int = 0) -> Draft | None:
        """The machine was away for too long: NO_DATA from the last thing it said on, or ``since`` then. None when that is told already."""
        return self._say.away(max(self._continuity.newest or 0, since) or received, received)

    def hole(self, cause: str, received: int, detail: str) -> list[Draft]:
        """Notification messages are missing and cannot be had again: they may have held events. Readings prove themselves (`interrupted`)."""
        if self._signals == len(self._items):
            return []
        newest = self._continuity.newest
        since = received if newest is None else newest - self._floors.pace  # older ones may be sent after it
        until = max(since, received)
        return [gap(self._machine, cause, since, until, received, possible=True, detail=detail, kind="production")]

    def take(
        self, values: Sequence[Told], bad: Sequence[Undecoded], received: int, now: int, sent: int | None = None,
        *, is_all: bool = False,
    ) -> Translated:  # fmt: skip
        """All values of one notification message, in the order sent; ``bad``: those of them that could not be decoded.

        ``sent``: when, ns by the server's clock; ``is_all``: nothing more was ready then.
        """
        take, before = Taken(received, now, sent), self._continuity.newest
        if bad:
            errors = {one.place: one for one in bad}
            for at, told in enumerate(values):
                self._told(told, errors.get(at), take)
            for one in bad:
                if one.place < 0:
                    take.own += 1
                    self._say.quarantine(f"notification of type {one.type_id}", one.raw, one.error, take)
            take.gaps += [draft for one in bad if one.missing for draft in self._unplaced(one, before, take)]
        elif (found := plain(values, self._names, self._continuity.watched, self._machine, received)) is not None:
            self._columns(found, take)
        else:
            self._plain(values, take)
        is_back, self._is_back = self._is_back, False
        if self._say.skewed(take):
            self._continuity.heard.set(take.live if take.live != NEVER else take.far, received)
        self._say.states(take, self._continuity.newest, is_back)
        if take.live != NEVER:
            self._floors.flowed(take.live, sent)
        self._floors.look(self._continuity.last, sent)
        if is_all:
            self._floors.heard(sent)
            self._continuity.proved(received)
        self._finish(take)
        return self._result(take)

    def _columns(self, found: Plain, take: Taken) -> None:
        """The hot path: a message of nothing but plain values."""
        continuity = self._continuity
        last, odd = continuity.last, continuity.odd
        for handle, time in zip(found.handles, found.times, strict=True):
            last[handle] = time
        for handle in odd.keys() & found.handles if odd else ():
            del odd[handle]
        take.columns = found.readings
        self._came(found.newest, found.times, take)

    def _plain(self, values: Sequence[Told], take: Taken) -> None:
        """Messages with something odd in them, 0.4 µs a plain value: no calls, no look-ups but by handle."""
        machine, received, names = self._machine, take.received, self._names.get
        continuity = self._continuity
        last, odd, live, plain = continuity.last, continuity.odd, NEVER, _PLAIN
        watched = continuity.watched
        append, make = take.items.append, tuple.__new__
        for told in values:
            handle, value, status, time, server = told
            name, kind = names(handle), type(value)
            if (
                status or name is None or time is None or kind not in plain or (kind is float and not isfinite(value))  # type: ignore[arg-type]
                or (watched and handle in watched)
            ):  # fmt: skip
                self._told(told, None, take)
                continue
            if odd and handle in odd:
                del odd[handle]
            if time > live:
                live = time
            last[handle] = time
            append(make(Reading, (machine, name, time, value, 0, received, None if server == time else server)))
        if live != NEVER:
            self._came(live, (told[3] for told in values), take)

    def _came(self, newest: int, times: Iterable[int | None], take: Taken) -> None:
        """Plain values with these source times, of which ``newest`` is the newest."""
        found = newest_of_now(newest, times, take.received)
        if found is not None:
            take.live = max(take.live, found)
        else:
            take.far = max(take.far, newest)
        self._continuity.heard.take(newest if found is None else found, take.received)

    def idle(self, received: int, now: int) -> Translated | None:
        """Edges that have waited long enough; None when there is none."""
        take = Taken(received, now)
        self._finish(take)
        return self._result(take) if take.items or take.gaps else None

    def to_read(self, now: int) -> list[Item]:
        """Nodes to read once for edges that miss values; give the answers to `answer`."""
        return self.cycles.to_read(now)

    def answer(self, item: Item, sample: Sample) -> None:
        """A node that was read."""
        if sample.source_time is not None and sample.value is not None and sample.error is None:
            self.cycles.answer(item, sample, sample.source_time)

    @property
    def bounced(self) -> dict[str, int]:
        """Edges taken as one with the edge before, by handshake."""
        return self.cycles.bounced()

    def resume(self) -> dict[str, Any]:
        """What must be durable with the values."""
        return {
            "last": self._continuity.state(),
            "newest": self._continuity.heard.state(),
            "handshakes": self.cycles.state(),
            "settled": self._continuity.is_settled,
            "floors": self._floors.state(),
            **self._say.resume(),
        }

    # ---- one sample --------------------------------------------------------------------------------------------------
    def _told(self, told: Told, failed: Undecoded | None, take: Taken) -> None:
        handle, value, status, source_time, server_time = told
        if handle == EVENTS_HANDLE:
            return  # async-opcua answers the wish for events with a bad value
        if not 0 <= handle < len(self._items):
            raw = repr(told).encode()
            self._say.quarantine(f"client handle {handle}", raw, "nothing is monitored under this handle", take)
            take.own += 1
            return
        item = self._items[handle]
        if is_node_gone(status):
            take.gone.append(handle)
        if failed is not None:
            reason = f"{failed.error} (type {failed.type_id})"
            self._say.quarantine(item.node, failed.raw, reason, take, path="$.value", time=source_time)
        sample = Sample(value, status, source_time, server_time, None if failed is None else failed.error)
        self._sample(handle, item, sample, take)

    def _unplaced(self, one: Undecoded, before: int | None, take: Taken) -> list[Draft]:
        """Values were said to follow bytes that nobody can read: whose, and whether they were there at all, is not known.

        They were sampled after the messages ``before``, whose newest source time that is, or just before those were sent.
        """
        since = take.received if before is None else before - max(self._floors.pace, self._floors.signals)
        detail = f"{one.missing} values after what could not be read: {one.error}"[:500]
        kinds: tuple[Kind, ...] = ("signals", "production") if self._signals < len(self._items) else ("signals",)
        until = max(since, take.received)
        return [
            gap(self._machine, "decode_error", since, until, take.received, possible=True, detail=detail, kind=kind)
            for kind in kinds
        ]

    def _sample(self, handle: int, item: Item, sample: Sample, take: Taken) -> None:
        time = sample.source_time if sample.source_time is not None else (sample.server_time or take.received)
        last = self._continuity.last[handle]
        is_waiting = is_no_value_yet(sample.status)  # proves nothing: what is sent next does
        repeat, since = (False, None) if is_waiting else self._continuity.seen(handle, time, sample.status)
        take.repeats += repeat
        if not is_waiting and not repeat:
            self._continuity.heard.take(time, take.received)
        is_early = time <= take.received + LATEST_NS
        if since is not None and is_early:
            since = self._floors.since(handle, since, time)
        is_live = since is None and last != NEVER and not repeat and not is_waiting
        # A value that cannot be had is a value too, but of a node that never had one there is nothing to miss.
        if since is not None and (sample.value is not None or last != NEVER):
            first = time if is_early and time > since else max(since, take.received)
            self._unproven(item, sample, since, first, take)
        elif is_live and is_of_now(time, take.received):
            take.live = max(take.live, time)
        elif is_live:
            take.far = max(take.far, time)
        if is_overflow(sample.status) and not repeat:
            full_since = time if last == NEVER else min(self._floors.now(handle, last), time)
            self._overflowed(item, sample, full_since, time, take)
        if not is_waiting:
            self._floors.said(handle, time, take.sent, is_live=is_live)
        if item.role == "signal":
            if not repeat:
                self._say.signal(item, sample, time, take)
        elif sample.error is None:
            self._say.fact(item, sample, time, repeat, take, since)

    def _unproven(self, item: Item, sample: Sample, since: int, first: int, take: Taken) -> None:
        if item.role == "signal":
            take.unproven.append((item.channel, since, first))
        elif item.role in ("state", "setup") or (item.role == "trigger" and not self._counts_on(item, sample)):
            take.events.append((item.channel, since, first))

    def _overflowed(self, item: Item, sample: Sample, since: int, time: int, take: Taken) -> None:
        """The node's queue was full: what stood in it between ``since`` and ``time`` was thrown away."""
        if item.role == "signal":
            take.overflow.append((item.channel, since, time))
        elif item.role == "trigger" and self._counts_on(item, sample):
            self.cycles.overflowed(item, time)
        else:
            take.events_overflow.append((item.channel, since, time))

    def _counts_on(self, item: Item, sample: Sample) -> bool:
        """Whether a trigger tells itself, by its count, how many edges were missed."""
        return self.cycles.counts_on(item, sample.value)

    # ---- a whole message -----------------------------------------------------------------------------------------------
    def _finish(self, take: Taken) -> None:
        items, gaps = self.cycles.finish(take.received, take.now)
        take.items += items
        take.gaps += gaps

    def _result(self, take: Taken) -> Translated:
        """One gap for each distinct span: none claims more than may be missing, but where there are very many."""
        kinds: tuple[tuple[str, Kind, list[ChannelSpan], bool], ...] = (
            (self._cause, "signals", take.unproven, True), ("overflow", "signals", take.overflow, False),
            # What was thrown away of a state may have said once more what it said before: no event is missing then.
            (self._cause, "production", take.events, True), ("overflow", "production", take.events_overflow, True),
        )  # fmt: skip
        gaps, missing = list(take.gaps), list[Missing]()
        for cause, kind, spans, is_possible in kinds:
            for found in breaks(spans, self._signals if kind == "signals" else 0) if spans else ():
                gaps.append(
                    gap(self._machine, cause, found.t_from, found.t_to, take.received, channels=found.channels,
                        at_least=0 if is_possible else len(found.spans), possible=is_possible, kind=kind)
                )  # fmt: skip
                if kind == "signals":
                    missing.append(missing_of(gaps[-1], found.spans))
        items: Sequence[Reading | Draft] = take.items
        if take.columns is not None:
            items = [*take.columns, *items] if items else take.columns
        return Translated(gaps, items, self.resume(), take.repeats, take.own + len(gaps), take.gone, missing)


def _spread(sampling: float, publishing: float) -> int:
    """ns (of s) that source times of what is told together lie apart at most: a value may be as old as its node's sampling interval."""
    return _SECOND + int((max(0.0, sampling) + 5 * publishing) * _SECOND)
