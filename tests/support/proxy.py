"""A TCP proxy that can be cut, made to hang, delayed and restored: the network's faults, on demand.

Threads, so that it works for blocking and asyncio clients alike and goes on while a test's own loop is busy.
"""

from __future__ import annotations

import contextlib
import enum
import selectors
import socket
import threading
import time
from collections import deque
from types import TracebackType

from tests.support.ports import free_port

_CHUNK = 65_536
_MOST_HELD = 64
"""Chunks of one direction that are held back; then the sender is slowed, as a full socket does."""


class State(enum.Enum):
    """What the network does now."""

    THROUGH = "through"
    CUT = "cut"  # connections are reset, new ones refused
    HANG = "hang"  # connections stay open and new ones are accepted, nothing passes and nothing is lost


class _Pipe:
    """One direction of one connection: what was read and not yet written, with the time when it may go on."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.held: deque[tuple[float, bytes]] = deque()
        self.ended = False


class Proxy:
    """Listens on a loopback ``port`` (None: a free one) and passes everything to ``target``. A context manager; all methods are thread-safe."""

    def __init__(self, target_port: int, target_host: str = "127.0.0.1", port: int | None = None) -> None:
        self._target = (target_host, target_port)
        self._listener: socket.socket | None = None
        self._lock = threading.RLock()
        self._state = State.THROUGH
        self._delay_s = 0.0
        self._pipes: list[_Pipe] = []
        self._closing = False
        self.connections = 0
        """Connections accepted so far."""
        self.passed_bytes = 0
        self._listen(port or free_port())
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection and refuse new ones; what was on the way is lost."""
        with self._lock:
            self._state = State.CUT
            self._stop_listening()
            self._drop_all()

    def hang(self) -> None:
        """Nothing passes any more, in either direction; no connection is closed."""
        with self._lock:
            self._state = State.HANG

    def delay(self, seconds: float) -> None:
        """Everything takes ``seconds`` longer each way (0: no longer)."""
        with self._lock:
            self._delay_s = seconds

    def restore(self) -> None:
        """Pass again: what `hang` held goes on, after `cut` new connections are accepted."""
        with self._lock:
            if self._listener is None:
                self._listen(self.port)
            self._state = State.THROUGH

    def drop(self) -> None:
        """Reset the connections there are; new ones pass at once."""
        with self._lock:
            self._drop_all()

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._stop_listening()
            self._drop_all()
        self._thread.join(60)

    def _listen(self, port: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listener.setblocking(False)
        self.port: int = listener.getsockname()[1]
        self._listener = listener

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _drop_all(self) -> None:
        for pipe in self._pipes:
            _reset(pipe.source)
        self._pipes.clear()

    def _run(self) -> None:
        while not self._closing:
            with self._lock:
                if self._state is State.THROUGH:
                    self._accept()
                    moved = [self._move(pipe) for pipe in list(self._pipes)]
                    self._forget_ended()
                else:
                    self._accept()
                    moved = []
            if not any(moved):
                self._wait()

    def _wait(self) -> None:
        """Until a socket has something, at most 5 ms (state and delays are looked at again)."""
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError, KeyError):
            if self._state is State.THROUGH:
                for pipe in list(self._pipes):
                    if not pipe.ended and len(pipe.held) <= _MOST_HELD:
                        selector.register(pipe.source, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            if selector.get_map():
                selector.select(0.005)
                return
        time.sleep(0.005)

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(self._target, timeout=30)
            except OSError:
                _reset(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.setblocking(False)
            self._pipes += [_Pipe(client, server), _Pipe(server, client)]

    def _move(self, pipe: _Pipe) -> bool:
        """Read what there is, write what is due; whether anything moved."""
        moved = self._read(pipe)
        now = time.monotonic()
        while pipe.held and pipe.held[0][0] <= now:
            due, content = pipe.held.popleft()
            try:
                sent = pipe.target.send(content) if content else self._end(pipe)
            except BlockingIOError:
                sent = 0
            except OSError:
                pipe.ended = True
                _reset(pipe.source)
                return True
            self.passed_bytes += sent
            if sent < len(content):
                pipe.held.appendleft((due, content[sent:]))
                return moved or sent > 0
            moved = True
        return moved

    def _read(self, pipe: _Pipe) -> bool:
        if pipe.ended or len(pipe.held) > _MOST_HELD:
            return False
        try:
            content = pipe.source.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            content = b""
        pipe.ended = not content
        pipe.held.append((time.monotonic() + self._delay_s, content))
        return True

    def _end(self, pipe: _Pipe) -> int:
        with contextlib.suppress(OSError):
            pipe.target.shutdown(socket.SHUT_WR)
        return 0

    def _forget_ended(self) -> None:
        """Close connections whose two directions have ended and are empty."""
        done = {pipe.source for pipe in self._pipes if pipe.ended and not pipe.held}
        for pipe in list(self._pipes):
            if pipe.source in done and pipe.target in done:
                pipe.source.close()
                self._pipes.remove(pipe)


def _reset(end: socket.socket) -> None:
    """Close with a TCP reset, as a pulled plug's peer sees it."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    end.close()
