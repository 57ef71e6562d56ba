"""An edge node whose payloads Eclipse Tahu encodes (`java_peer`, ``tahu/EdgeNode.java``)."""

from __future__ import annotations

from tests.support.java_peer import JavaPeer


class TahuNode:
    """Says ``count`` counters and one value of each type to the broker at ``port``; `kill` is its end."""

    def __init__(self, port: int, count: int) -> None:
        self._peer = JavaPeer("tahu", "EdgeNode", "tahu-core", [f"tcp://127.0.0.1:{port}", str(count)], heap_mb=128)

    def said(self) -> None:
        """Wait until everything is said."""
        self._peer.says("said")

    def kill(self) -> None:
        """kill -9: the broker says its will."""
        self._peer.kill()
