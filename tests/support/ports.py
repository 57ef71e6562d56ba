"""Free loopback ports, and what listens on one."""

from __future__ import annotations

import random
import socket
import sys
import threading
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_given: dict[int, socket.socket] = {}
"""Port to the name that is held for it until this process ends."""
_lock = threading.Lock()


def free_port() -> int:
    """A loopback port that nobody listens on now and that nobody else is given while this process lives.

    For servers that can't bind port 0 themselves. It lies below those that the kernel gives to connections: else, while a server is
    down, a client that tries again and again can be given the server's own port, and be connected to itself. It stays this process's
    own: between the choice and the server's start, and while a server is down, neither another run of the tests nor a demo takes it.
    """
    with _lock:
        while True:
            port = _candidate()
            if port not in _given and _is_free(port) and (name := _hold(port)) is not None:
                _given[port] = name
                return port


def _hold(port: int) -> socket.socket | None:
    """The name by which demos tell each other what they have chosen (`shinkei_cli.ports`); None when it is held already."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        try:
            name.bind(f"\0shinkei/port/{port}")
        except OSError:
            name.close()
            return None
    return name


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
