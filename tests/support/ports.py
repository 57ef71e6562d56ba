"""Free loopback ports, and what listens on one."""

from __future__ import annotations

import socket
import threading

_given: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """A loopback port that nobody listens on now and that this process has not given away before.

    For servers that can't bind port 0 themselves. Another process may take it in between: start the server at once.
    """
    with _lock:
        while True:
            with socket.socket() as found:
                found.bind(("127.0.0.1", 0))
                port: int = found.getsockname()[1]
            if port not in _given:
                _given.add(port)
                return port


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
