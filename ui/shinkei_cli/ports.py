"""Free ports, taken for a while: several demos that start at the same moment must not choose the same ones.

A port is chosen seconds before its server listens. So that no other demo on this machine chooses it meanwhile, its number is held as a
name in Linux's abstract socket space, which frees it when the process ends, however it ends. (Elsewhere: only looked at.)
"""

from __future__ import annotations

import errno
import socket
import sys
from types import TracebackType

from shinkei_events.errors import BadConfig

LOOPBACK = "127.0.0.1"
PORTS_TO_TRY = 100


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class Ports:
    """The ports this process has chosen; given back at the end of the context."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> Ports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._held:
            name.close()
        self._held.clear()

    def take(self, wanted: int) -> int:
        """``wanted`` or the next free port after it; raises `BadConfig` when `PORTS_TO_TRY` in a row are taken."""
        for port in range(wanted, min(wanted + PORTS_TO_TRY, 65536)):
            if is_free(port) and self._hold(port):
                return port
        raise BadConfig(
            "--port",
            wanted,
            f"is taken, and so are the {PORTS_TO_TRY} after it; choose another with --port or SHINKEI_PORT",
        )

    def take_several(self, count: int, start: int) -> list[int]:
        """``count`` free ports from ``start`` on. Below 32768, where systems take the ports of outgoing connections from."""
        found: list[int] = []
        for _ in range(count):
            found.append(self.take(found[-1] + 1 if found else start))
        return found

    def _hold(self, port: int) -> bool:
        if sys.platform != "linux":
            return True
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0shinkei/port/{port}")
        except OSError as error:
            name.close()
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        self._held.append(name)
        return True
