"""Free loopback ports, and what listens on one."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_given: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """A loopback port that nobody listens on now and that this process has not given away before.

    For servers that can't bind port 0 themselves. It lies below those that the kernel gives to connections: else, while a server is
    down, a client that tries again and again can be given the server's own port, and be connected to itself.
    """
    with _lock:
        while True:
            port = _candidate()
            if port not in _given and _is_free(port):
                _given.add(port)
                return port


def _candidate() -> int:
    """Not the same in each process (`random` of a test may be seeded): several runs may share a machine."""
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 0
    return random.SystemRandom().randrange(_LOWEST, first) if first > 2 * _LOWEST else _from_kernel()


def _from_kernel() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
