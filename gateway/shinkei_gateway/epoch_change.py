"""A spool that must not go on with its numbers begins an epoch of its own, and what already got numbers nobody may use gets new ones.

That is so when it went back in time (restored from a backup: the recorder has numbers above it), when it is a copy (another life claims
its epoch), and when its home is another one (its folder was moved or copied). What it spooled since its last contact with the log has
numbers that others may have given too: it is numbered again, in order, before anything new. Survives a crash at any point: where it
has come to is durable with what it numbered. The shell around `Intake` and `Spool`; `run` and `kafka_link` call it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from shinkei_events.codec import decode
from shinkei_events.errors import BadInput
from shinkei_events.identity import FIRST_NUMBER
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.intake import Intake
from shinkei_gateway.ownership import OWNERSHIP
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.spool import Cursor, Spool

ROOM_EVERY_S = 0.02

UNPROVED = "@unproved"
"""Place from which on nothing was numbered while the log could be asked whether these numbers were free."""

AGAIN = "@again"
"""Place from which, and to which, batches of an ended epoch are still to be numbered again."""

ENDED = "@ended"
"""Streams of ended epochs of which only the numbers below are the spool's own."""


class Evidence(NamedTuple):
    """Why a spool's numbers are not its own. ``recorded``: what the log has of its streams beyond what it gave.

    ``is_copy``: the numbers up to here are as good as the original's, none is given anew. ``sure``: another one gives them too, and nobody
    can tell whose were taken from these on; what was sent is not sent again under other numbers. ``parted``: all before is the other's too.
    ``states``: resume states that are durable with the new epoch.
    """

    detail: str
    recorded: dict[str, int] = {}
    is_copy: bool = False
    sure: dict[str, int] | None = None
    parted: Cursor = Cursor(0, 0)
    states: dict[str, Any] = {}

    def ends(self, own: dict[str, int]) -> dict[str, int]:
        """From which numbers on something may be missing; ``own``: where this spool's own numbers end."""
        if self.sure is not None:
            return {name: min(number, self.sure.get(name, FIRST_NUMBER)) for name, number in own.items()}
        return {name: max(number, self.recorded.get(name, FIRST_NUMBER)) for name, number in own.items()}


class EpochChange:
    """``new_epoch`` makes an id."""

    def __init__(
        self, spool: Spool, commit: GroupCommit, intake: Intake, forwarder: Forwarder, new_epoch: Callable[[], str]
    ) -> None:
        self._spool, self._commit, self._intake, self._forwarder = spool, commit, intake, forwarder
        self._new_epoch = new_epoch
        forwarder.end_streams(spool.resume(ENDED) or {})

    def open(self) -> Iterator[None]:
        """At the start, before any source: finish what a crash interrupted, and note that nothing is proved yet. Pauses as `steps` does."""
        here = {} if self._spool.resume(UNPROVED) is not None else {UNPROVED: list(self._spool.end())}
        self._commit.submit([], [], {OWNERSHIP: self._intake.ownership.state()} | here)
        self._intake.tell_ending()
        yield from self._number_again()

    def proved(self) -> None:
        """The log knows nothing that speaks against these numbers: they are this spool's."""
        if self._spool.resume(UNPROVED) is not None:
            self._commit.submit([], [], {UNPROVED: None})

    def doubt(self) -> None:
        """The log is away: what is numbered from now on is unproved again."""
        if self._spool.resume(UNPROVED) is None:
            self._commit.submit([], [], {UNPROVED: list(self._spool.end())})

    def begin(self, cause: str, evidence: Evidence) -> Future[str]:
        """End the epoch, in the writing thread, behind what was submitted so far; gives the old one. Let the intake hold before."""
        epoch, old = self._new_epoch(), Future[str]()
        sent = {} if evidence.sure is None else self._forwarder.sent_ever()

        def act() -> None:
            place = None if evidence.is_copy else self._spool.resume(UNPROVED)
            end = self._spool.end()
            begin = end if place is None else self._spool.clamp(min(end, max(Cursor(*place), evidence.parted)))
            self._ended = {
                name: max(first, sent.get(name, first)) for name, first in self._first_numbers(begin).items()
            }
            told = evidence.ends(self._spool.streams() | self._ended)
            states = {
                ENDED: (self._spool.resume(ENDED) or {}) | self._ended,
                AGAIN: [list(begin), list(self._spool.end())],
                UNPROVED: None,
                **evidence.states,
            }
            old.set_result(self._spool.begin_epoch(epoch, told, cause, evidence.detail, states))

        self._epoch = epoch
        self._commit.call(act).add_done_callback(lambda done: _pass_error(done, old))
        return old

    def steps(self) -> Iterator[None]:
        """In the event loop, when `begin` is done: new numbers for what needs them. Pauses where the caller should wait for room."""
        self._intake.begin(self._epoch)
        self._forwarder.end_streams(self._ended)
        self._intake.tell_ending()
        self._commit.submit([], [], {OWNERSHIP: self._intake.ownership.state()})
        yield from self._number_again()

    async def change(self, cause: str, evidence: Evidence) -> str:
        """`begin`, then `steps`; what sources put meanwhile waits. Returns the old epoch. Raises `Full`: nothing has changed then."""
        self._intake.hold()
        try:
            old = await asyncio.wrap_future(self.begin(cause, evidence))
            await self.run(self.steps())
        finally:
            self._intake.release()
        return old

    async def run(self, steps: Iterator[None]) -> None:
        """Do ``steps``, as fast as the disk takes them."""
        for _ in steps:
            while not self._commit.has_room():  # noqa: ASYNC110  the disk has no event
                await asyncio.sleep(ROOM_EVERY_S)

    def _first_numbers(self, begin: Cursor) -> dict[str, int]:
        """The first number of each stream of this epoch behind ``begin``."""
        found: dict[str, int] = {}
        at: Cursor = begin
        while (step := self._spool.read(at)) is not None:
            batch, at = step
            for entry in batch.index.entries:
                if entry.stream.startswith(self._spool.epoch):
                    found.setdefault(entry.stream, entry.first)
        return found

    def _number_again(self) -> Iterator[None]:
        """Submit everything between two places anew; each batch says with its numbers how far that has come."""
        span = self._spool.resume(AGAIN)
        if span is None:
            return
        at, end = Cursor(*span[0]), Cursor(*span[1])
        ended = self._spool.resume(ENDED) or {}
        while at < end and (step := self._spool.read(at)) is not None:
            batch, at = step
            events = []
            for entry, payload in zip(batch.index.entries, batch.payloads(), strict=True):
                if entry.first >= ended.get(entry.stream, 1 << 62):
                    with contextlib.suppress(BadInput):  # of a newer program: its numbers end with the old epoch's
                        events.append(decode(entry.type, payload))
            if events:
                self._intake.again(events, {AGAIN: [list(at), list(end)]})
                yield
        self._commit.submit([], [], {AGAIN: None})


def _pass_error(done: Future[None], waiting: Future[str]) -> None:
    error = done.exception()
    if error is not None and not waiting.done():
        waiting.set_exception(error)
