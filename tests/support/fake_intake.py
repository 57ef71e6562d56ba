"""An in-memory `Taker`: what sources gave, in order, durable at once or when the test says so. Survives "restarts" as a spool does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from shinkei_events.model.numbered import Gap
from shinkei_gateway.intake import Batch, Draft, Reading


class FakeIntake:
    """``hold``: nothing becomes durable until `release`. `crash` forgets what is not durable, as kill -9 does."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.hold = False
        self.room = True
        self.recorded = True
        self.last_run: int | None = None
        self.books: dict[str, int] = {"own": 0, "duplicate": 0, "offered": 0}
        self.until: dict[str, int] = {}
        self.before: dict[str, int] = {}
        self._waiting: list[tuple[Batch, asyncio.Future[None]]] = []
        self._resume: dict[str, Any] = {}

    # ---- the Taker -----------------------------------------------------------------------------------------------------
    def put(
        self, batch: Batch, *, own: int = 0, duplicate: int = 0, offered: int = 0, source: str = ""
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        for name, count in (("own", own), ("duplicate", duplicate), ("offered", offered)):
            self.books[name] += count
        if not self.hold:
            self.release()
        return future

    def resume(self, source: str) -> Any:
        return self._resume.get(source)

    def has_room(self) -> bool:
        return self.room

    def alive(self, machine: str, until: int) -> None:
        self.until[machine] = max(until, self.until.get(machine, 0))

    def backlog(self) -> int:
        return 0 if self.recorded else 1 << 40

    def skew(self, source: str, machine: str) -> int | None:
        return None

    def stopped(self, lost_after: float) -> int | None:
        return self.last_run

    def recorded_before(self, machine: str) -> int:
        return self.before.get(machine, 0)

    def has_heard(self) -> bool:
        return True

    # ---- the test --------------------------------------------------------------------------------------------------------
    @property
    def waiting(self) -> int:
        """Batches that are not durable."""
        return len(self._waiting)

    def release(self) -> None:
        """Everything given so far is on disk now."""
        for batch, future in self._waiting:
            self.batches.append(batch)
            if batch.resume is not None:
                self._resume[batch.source] = batch.resume
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def crash(self) -> None:
        """What was not durable never was."""
        self._waiting.clear()

    def items(self) -> Iterator[Reading | Draft]:
        for batch in self.batches:
            yield from batch.items

    def readings(self, channel: str | None = None) -> list[Reading]:
        return [item for item in self.items() if isinstance(item, Reading) and channel in (None, item.channel)]

    def drafts(self, kind: type[Any] | None = None) -> list[Draft]:
        return [item for item in self.items() if isinstance(item, Draft) and kind in (None, item.type)]

    def gaps(self, kind: str = "signals") -> list[dict[str, Any]]:
        return [draft.fields for draft in self.drafts(Gap) if draft.fields["of"] == kind]
