"""The sources that run in this process, and what changes when the configuration does: only what is different is touched.

Knows no protocol: `make` builds a source from its settings. Called by `run` from the gateway's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec

END_S = 1.5
"""How long a source may take to end by itself."""


class RunningSource(Protocol):
    """What every kind of source is."""

    name: str

    def machines(self) -> list[str]:
        """Machines known to be behind it."""

    def health(self) -> dict[str, Any]:
        """Plain values for /health; called from another thread."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``."""


class Difference(NamedTuple):
    """Names of sources, sorted. ``gone``: machines that no source of this process speaks for any more."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    same: list[str]
    gone: list[str]


@dataclass(slots=True)
class _Running:
    source: RunningSource
    settings: msgspec.Struct
    task: asyncio.Task[None]
    files: bytes
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class RunningSources:
    """``settled``: done when everything the sources gave is durable, so that one made anew goes on from there.

    ``files``: a stamp of what the files say that settings only name (secrets, certificates): another one is a difference too.
    """

    def __init__(
        self,
        make: Callable[[str, Any], RunningSource],
        settled: Callable[[], Awaitable[object]],
        files: Callable[[Any], bytes] = lambda _settings: b"",
    ) -> None:
        self._make, self._settled, self._files = make, settled, files
        self._running: dict[str, _Running] = {}

    def get(self, name: str) -> RunningSource | None:
        """The running source of that name."""
        found = self._running.get(name)
        return found.source if found is not None else None

    def health(self) -> dict[str, dict[str, Any]]:
        """What each says of itself; also from another thread."""
        return {name: running.source.health() for name, running in list(self._running.items())}

    def machines(self) -> set[str]:
        """Machines known to be behind the running sources."""
        return {machine for running in self._running.values() for machine in running.source.machines()}

    async def apply(self, wanted: Mapping[str, msgspec.Struct]) -> Difference:
        """Run ``wanted`` and nothing else. Sources whose settings are equal go on undisturbed, their sessions with them."""
        now = {name: running.settings for name, running in self._running.items()}
        removed = sorted(set(now) - set(wanted))
        changed = sorted(
            name
            for name, settings in now.items()
            if name in wanted and (wanted[name] != settings or self._files(wanted[name]) != self._running[name].files)
        )
        before = self.machines()
        await self._end([*removed, *changed])
        if removed or changed:
            await self._settled()
        added = sorted(set(wanted) - set(now))
        for name in [*changed, *added]:
            self._start(name, wanted[name])
        same = sorted(set(now) - set(removed) - set(changed))
        return Difference(added, changed, removed, same, sorted(before - self.machines()))

    async def stop(self) -> None:
        """End all. Does not wait for the disk: it may be full."""
        await self._end(list(self._running))

    def _start(self, name: str, settings: msgspec.Struct) -> None:
        files = self._files(settings)  # before they are read: one that changes between is a difference, not overlooked
        source = self._make(name, settings)
        stop = asyncio.Event()
        task = asyncio.create_task(source.run(stop), name=name)
        self._running[name] = _Running(source, settings, task, files, stop)

    async def _end(self, names: list[str]) -> None:
        ending = [self._running.pop(name) for name in names]
        for running in ending:
            running.stop.set()
        await end_tasks([running.task for running in ending], END_S)


async def end_tasks(tasks: list[asyncio.Task[None]], within: float) -> None:
    """Wait for tasks to end by themselves, then cancel them."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
