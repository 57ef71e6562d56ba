"""From the one feed to all browsers: encoded once, handed to each listener's own queue, never waited for.

A listener that does not take its messages (a sleeping tablet) is let go and starts again with everything. Thread-safe: the feed and
the figures' reader call it from their threads, listeners live in the web server's loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from shinkei_ui.live.snapshot import Snapshot

QUEUE_MOST = 200
"""Messages a listener may be behind: 20 s of the busiest board."""
_END = b""


class Listener:
    """One browser's queue, in its own event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.gone = False

    def give(self, message: bytes) -> None:
        """From any thread. A loop that has ended takes nothing."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: bytes) -> None:
        if self._queue.qsize() >= QUEUE_MOST:
            self.gone = True
            message = _END
        self._queue.put_nowait(message)

    async def take(self, wait: float) -> bytes | None:
        """The next message; None when there was none for ``wait`` seconds. Raises EOFError when the listener was let go."""
        try:
            message = await asyncio.wait_for(self._queue.get(), wait)
        except TimeoutError:
            return None
        if message == _END:
            raise EOFError
        return message


class Hub:
    """The snapshot behind a lock, and its listeners."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._listeners: set[Listener] = set()
        self._encode = msgspec.json.Encoder().encode

    def put(self, section: str, key: str, fields: Mapping[str, Any]) -> None:
        """Change the snapshot; browsers hear of it with the next `flush`."""
        with self._lock:
            self._snapshot.put(section, key, fields)

    def keep(self, section: str, keys: Mapping[str, Mapping[str, Any]]) -> None:
        """Make a section hold exactly ``keys``."""
        with self._lock:
            for gone in set(self._snapshot.keys(section)) - set(keys):
                self._snapshot.drop(section, gone)
            for key, fields in keys.items():
                self._snapshot.put(section, key, fields)

    def drop(self, section: str, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._snapshot.drop(section, key)

    def get(self, section: str, key: str) -> dict[str, Any]:
        """A copy of what holds for a key."""
        with self._lock:
            return dict(self._snapshot.get(section, key))

    def keys(self, section: str) -> list[str]:
        """What is in a section."""
        with self._lock:
            return self._snapshot.keys(section)

    def flush(self) -> bool:
        """Send what changed to all listeners; whether there was something."""
        with self._lock:
            return self._flush()

    def _flush(self) -> bool:
        patch = self._snapshot.patch()
        if patch is None:
            return False
        message = self._encode(patch)
        for listener in self._listeners:
            listener.give(message)
        return True

    def full(self, now: int) -> bytes:
        """Everything, encoded, with the server's wall clock (ms)."""
        with self._lock:
            return self._full(now)

    def _full(self, now: int) -> bytes:
        self._flush()
        return self._encode(self._snapshot.full() | {"now": now})

    def join(self, loop: asyncio.AbstractEventLoop, now: int) -> tuple[Listener, bytes]:
        """A new listener, and everything up to its first message."""
        listener = Listener(loop)
        with self._lock:
            full = self._full(now)
            self._listeners.add(listener)
        return listener, full

    def leave(self, listener: Listener) -> None:
        """The browser has gone."""
        with self._lock:
            self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        """How many browsers listen."""
        return len(self._listeners)


async def server_sent_events(
    hub: Hub, clock_ms: Callable[[], int], stopped: Callable[[], bool], tick: float = 1.0
) -> AsyncIterator[bytes]:
    """The body of a Server-Sent Events answer: ``full`` once, then ``patch``; ``tick`` each second when the log is quiet, too.

    ``clock_ms()`` is the server's wall clock, so that a browser with a wrong clock still tells the right age; ``stopped()`` ends it.
    """
    listener, full = hub.join(asyncio.get_running_loop(), clock_ms())
    last_tick = 0.0
    loop = asyncio.get_running_loop()
    try:
        yield b"retry: 1000\nevent: full\ndata: " + full + b"\n\n"
        while not stopped():
            if loop.time() - last_tick >= tick:
                last_tick = loop.time()
                yield b'event: tick\ndata: {"now":%d}\n\n' % clock_ms()
            try:
                message = await listener.take(tick)
            except EOFError:
                return
            if message is not None:
                yield b"event: patch\ndata: " + message + b"\n\n"
    finally:
        hub.leave(listener)
