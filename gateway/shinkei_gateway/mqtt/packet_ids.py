"""The packet identifiers of one connection's own requests: which is free (MQTT 3.1.1, 2.3.1; MQTT 5, 2.2.1). Pure.

One is in use until the broker has said its last word on it, also when nobody waits for that any more: a late confirmation of an old request
must not pass for that of a new one.
"""

from __future__ import annotations

from shinkei_events.errors import NotConnected

MOST = 65_535


class PacketIds:
    """Numbers 1 to 65 535, given in turn."""

    def __init__(self) -> None:
        self._last = 0
        self._used: set[int] = set()

    def take(self) -> int:
        """One that is not in use. Raises `NotConnected` when all are."""
        if len(self._used) >= MOST:
            raise NotConnected(f"the broker has not confirmed {MOST} packets yet; nothing more can be sent")
        while True:
            self._last = self._last % MOST + 1
            if self._last not in self._used:
                self._used.add(self._last)
                return self._last

    def free(self, mid: int) -> None:
        """The broker is done with it; one that is not in use is none of ours."""
        self._used.discard(mid)
