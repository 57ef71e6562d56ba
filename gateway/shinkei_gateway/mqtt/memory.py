"""What an MQTT source must know over disconnections and restarts: last times, last states, messages that may come again. Pure."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any

from shinkei_events.identity import Kind
from shinkei_events.model.machine import MachineStateChanged
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.machine_json import no_data_draft

_DIGEST = 8
_TOLD = ("state", "reason", "product", "recipe", "tool", "code", "by")


class Memory:
    """``window``: how many messages back a redelivery is recognised (it must cover what a broker has in flight)."""

    def __init__(self, window: int, resume: dict[str, Any] | None = None) -> None:
        known = resume or {}
        digests = known.get("window", b"")
        self._window: deque[bytes] = deque(
            (digests[at : at + _DIGEST] for at in range(0, len(digests), _DIGEST)), maxlen=max(1, window)
        )
        self._last: dict[str, int] = dict(known.get("last", {}))
        self._states: dict[str, dict[str, Any]] = dict(known.get("states", {}))
        self._away: set[str] = set(known.get("away", ()))
        self.had_session: bool = known.get("session", False)
        self.filters: list[str] = list(known.get("filters", []))

    @property
    def machines(self) -> dict[str, int]:
        """Machines heard of, with the newest source time of each."""
        return self._last

    def is_repeat(self, topic: str, payload: bytes, is_again: bool) -> bool:
        """Remember a message; whether it is one of the last ones again (asked only when the broker says that it may be)."""
        digest = hashlib.blake2b(payload, digest_size=_DIGEST, key=topic.encode()[:64]).digest()
        if is_again and digest in self._window:
            return True
        self._window.append(digest)
        return False

    def took(self, items: list[Reading | Draft]) -> None:
        """These came."""
        for item in items:
            if isinstance(item, Reading) or item.type.__name__ != "Quarantined":
                self._last[item.machine] = max(self._last.get(item.machine, 0), item.time)
            if isinstance(item, Draft) and item.type is MachineStateChanged:
                self._states[item.machine] = {name: item.fields.get(name) for name in _TOLD}
                self._away.discard(item.machine)

    def gaps(self, cause: str, received: int, detail: str, *, possible: bool) -> list[Draft]:
        """For every machine: readings and events since its last are, or may be, missing."""
        kinds: tuple[Kind, ...] = ("signals", "production")
        return [
            gap(machine, cause, last, max(last, received), received, possible=possible, detail=detail, kind=kind)
            for machine, last in sorted(self._last.items())
            for kind in kinds
        ]

    def away(self, received: int) -> list[Draft]:
        """NO_DATA for every machine whose state was known."""
        lost = [machine for machine in sorted(self._states) if machine not in self._away]
        self._away.update(lost)
        return [no_data_draft(machine, self._last.get(machine, received), received) for machine in lost]

    def back(self, received: int) -> list[Draft]:
        """The last state of machines that told no newer one since they were away: the session kept every change, so it holds."""
        found = []
        for machine in sorted(self._away):
            time = max(received, self._last.get(machine, 0))
            found.append(Draft(machine, time, received, MachineStateChanged, dict(self._states[machine])))
        self._away.clear()
        return found

    def state(self) -> dict[str, Any]:
        """For the resume state."""
        return {
            "window": b"".join(self._window), "last": dict(self._last), "states": {m: dict(s) for m, s in self._states.items()},
            "away": sorted(self._away), "session": self.had_session, "filters": list(self.filters),
        }  # fmt: skip
