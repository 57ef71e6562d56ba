"""The books: what every source gave in each hour of receipt, and how far it has come. Pure but for the text of its file.

``received + own + replayed = numbered + quarantined + duplicate`` holds at any time; ``numbered + quarantined = sent = stored`` when all is
quiet and nothing was dropped. Stored means below the recorder's watermark: in the database, or covered by a gap record. Dropped is what is
lost for good: before it had a number (at least so many, as its gap says), or numbered and given up by the spool, and then neither sent nor
stored. Counted in values and events. After a kill -9 the spool says how much was numbered since the books were last written (2 s at most);
of these seconds nobody knows what was a duplicate or replayed: neither is in ``received`` then, and the sums hold.

The verdict is `balanced`, and stands here alone: the command, /metrics and the System page show it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

HOUR_NS = 3_600_000_000_000
KEPT_HOURS = 48
LATE_NS = 2 * HOUR_NS
"""An hour that began so long ago ended an hour ago: what is not on record by now is missing, not under way."""
COUNTED = (
    "offered",
    "received",
    "own",
    "replayed",
    "duplicate",
    "quarantined",
    "numbered",
    "dropped",
    "sent",
    "stored",
)
COLUMNS = ("source", "hour", *COUNTED, "balanced")
State = Mapping[str, tuple[int, int, int]]
"""Stream to (next in the spool, next to send, next to be recorded)."""


class Run(NamedTuple):
    """Numbers ``begin … end - 1`` of ``stream`` were given."""

    stream: str
    begin: int
    end: int


class _Page(msgspec.Struct):
    """One source in one hour. ``runs``: stream to ``[begin, end)`` pairs, joined where they touch; ``drops``: those of them that are lost.

    ``lost``: values that never had a number.
    """

    offered: int | None = None
    received: int = 0
    own: int = 0
    duplicate: int = 0
    replayed: int = 0
    lost: int = 0
    runs: dict[str, list[list[int]]] = {}
    drops: dict[str, list[list[int]]] = {}


class _Book(msgspec.Struct):
    pages: dict[str, dict[int, _Page]] = {}


class Books:
    """Thread-safe. ``source_of``: the source of a machine, for numbers given in the last seconds before a crash."""

    def __init__(self, stored: bytes | None = None) -> None:
        self._lock = threading.Lock()
        self._book = _Book()
        if stored:
            try:
                self._book = msgspec.json.decode(stored, type=_Book)
            except msgspec.MsgspecError:
                self._book = _Book()

    def enter(
        self,
        source: str,
        now: int,
        runs: Iterable[Run],
        *,
        received: int = 0,
        own: int = 0,
        duplicate: int = 0,
        offered: int = 0,
        replayed: int = 0,
        lost: int = 0,
    ) -> None:
        """``received`` values came from ``source`` at ``now`` (ns UTC), of which ``duplicate`` were known; ``runs`` were numbered.

        ``own``: what the gateway itself said; ``replayed``: what came out of quarantine; ``lost``: what a gap says never came.
        """
        with self._lock:
            page = self._page(source, now)
            page.received += received
            page.own += own
            page.duplicate += duplicate
            page.replayed += replayed
            page.lost += lost
            if offered:
                page.offered = (page.offered or 0) + offered
            for run in runs:
                _add(page.runs.setdefault(run.stream, []), run.begin, run.end)

    def drop(self, stream: str, begin: int, end: int) -> None:
        """Numbers ``begin … end - 1`` of ``stream`` are in the spool no more, and not on the log. Told again, it changes nothing."""
        with self._lock:
            for page in self._pages():
                for first, last in page.runs.get(stream, ()):
                    if max(first, begin) < min(last, end):
                        known = page.drops.setdefault(stream, [])
                        page.drops[stream] = _joined([*known, [max(first, begin), min(last, end)]])

    def recover(self, ends: dict[str, int], source_of: Callable[[str], str], now: int) -> int:
        """Enter numbers that the spool has and the books do not (a crash came between); returns how many.

        What the books have and the spool has not never became durable: it is struck out, and those numbers are given again.
        """
        known: dict[str, int] = {}
        with self._lock:
            for page in self._pages():
                for stream, runs in page.runs.items():
                    if stream in ends:
                        page.received -= _strike(runs, ends[stream])
                    known[stream] = max([known.get(stream, 1), *(end for _, end in runs)])
        found = 0
        for stream, end in ends.items():
            begin = known.get(stream, 1)
            if end > begin:
                found += end - begin
                self.enter(source_of(stream.split("/")[1]), now, [Run(stream, begin, end)], received=end - begin)
        return found

    def rows(self, state: State | None, now: int) -> list[dict[str, Any]]:
        """One row a source and hour, as of ``now`` (ns UTC). ``state`` None: what was sent and stored is not known, and is None in every row.

        ``balanced``: False when the books do not add up, or when less is stored `LATE_NS` after the hour began than was numbered and not
        dropped; None when nobody knows: no ``state``, or an old hour has numbers of a stream that is not in it (its spool is lost).
        """
        rows = []
        with self._lock:
            for source in sorted(self._book.pages):
                for hour, page in sorted(self._book.pages[source].items()):
                    rows.append(_row(source, hour, page, state, is_late=now - hour * HOUR_NS > LATE_NS))
        return rows

    def encode(self) -> bytes:
        """For the file beside the spool."""
        with self._lock:
            return msgspec.json.encode(self._book)

    def _pages(self) -> Iterator[_Page]:
        for hours in self._book.pages.values():
            yield from hours.values()

    def _page(self, source: str, now: int) -> _Page:
        hours, hour = self._book.pages.setdefault(source, {}), now // HOUR_NS
        page = hours.get(hour)
        if page is None:
            page = hours[hour] = _Page()
            for old in [h for h in hours if h <= hour - KEPT_HOURS]:
                del hours[old]
        return page


def _add(runs: list[list[int]], begin: int, end: int) -> None:
    if runs and runs[-1][1] == begin:
        runs[-1][1] = end
    elif end > begin:
        runs.append([begin, end])


def _joined(runs: list[list[int]]) -> list[list[int]]:
    """Sorted, and as one where they overlap or touch."""
    found: list[list[int]] = []
    for begin, end in sorted(runs):
        if found and begin <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([begin, end])
    return found


def _below(runs: list[list[int]], number: int) -> int:
    """How many numbers of ``runs`` are below ``number``."""
    return sum(max(0, min(end, number) - begin) for begin, end in runs)


def _strike(runs: list[list[int]], end: int) -> int:
    """Strike out all from ``end`` on; returns how many numbers that were."""
    struck = 0
    while runs and runs[-1][1] > end:
        begin, last = runs.pop()
        struck += last - max(begin, end)
        if begin < end:
            runs.append([begin, end])
    return struck


def verdict(rows: Iterable[Mapping[str, Any]]) -> bool | None:
    """Of several rows: False when one does not balance, else None when one is not known."""
    found = {row["balanced"] for row in rows}
    return False if False in found else None if None in found else True


def _row(source: str, hour: int, page: _Page, state: State | None, *, is_late: bool) -> dict[str, Any]:
    given = {False: 0, True: 0}
    gone = sent = stored = 0
    is_known = state is not None and not (is_late and page.runs.keys() - state.keys())
    for stream, runs in page.runs.items():
        _, next_sent, next_stored = (state or {}).get(stream, (0, 0, 0))
        drops = page.drops.get(stream, [])
        given[stream.endswith("/quarantine")] += sum(end - begin for begin, end in runs)
        gone += sum(end - begin for begin, end in drops)
        sent += _below(runs, next_sent) - _below(drops, next_sent)
        stored += _below(runs, next_stored) - _below(drops, next_stored)
    total = given[False] + given[True]
    adds_up = page.received + page.own + page.replayed == total + page.duplicate
    if is_known:
        adds_up = adds_up and max(sent, stored) <= total and not (is_late and stored < total - gone)
    return {
        "source": source, "hour": hour * HOUR_NS, "offered": page.offered, "received": page.received, "own": page.own,
        "replayed": page.replayed, "duplicate": page.duplicate, "quarantined": given[True], "numbered": given[False], "dropped": page.lost + gone,
        "sent": sent if is_known else None, "stored": stored if is_known else None, "balanced": None if adds_up and not is_known else adds_up,
    }  # fmt: skip
