"""What is mounted on a machine's slots, told by one node a slot, as mounted and unmounted changes. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shinkei_gateway.machine_json import SetupSaid, parse
from shinkei_gateway.opcua.settings import SetupNode


class Mounted(msgspec.Struct, frozen=True, kw_only=True):
    """A slot's content as a JSON object; nodes that hold plain text mean just ``unit``."""

    unit: str
    item: str | None = None
    certainty: float = 1.0
    not_before: int | None = None
    not_after: int | None = None


class Slots:
    """All slots of one machine."""

    def __init__(self, nodes: list[SetupNode]) -> None:
        self._nodes = {node.slot: node for node in nodes}
        self._units: dict[str, str] = {}

    def take(self, slot: str, time: int, value: Any) -> list[SetupSaid]:
        """``slot`` holds ``value`` since ``time``: what was unmounted and mounted. Raises `BadField` for broken JSON."""
        text = "" if value is None else str(value).strip()
        now = parse(Mounted, text) if text.startswith("{") else (Mounted(unit=text) if text else None)
        before = self._units.get(slot)
        if (now.unit if now else None) == before:
            return []
        kind = self._nodes[slot].type
        told = []
        span = {name: getattr(now, name) for name in ("certainty", "not_before", "not_after")} if now else {}
        if before is not None:
            told.append(SetupSaid(slot=slot, unit=before, unit_type=kind, action="unmounted", ts=time, **span))
            del self._units[slot]
        if now is not None:
            told.append(
                SetupSaid(slot=slot, unit=now.unit, unit_type=kind, action="mounted", ts=time, item=now.item, **span)
            )
            self._units[slot] = now.unit
        return told

    def state(self) -> dict[str, str]:
        """For the resume state."""
        return dict(self._units)

    def restore(self, state: dict[str, str]) -> None:
        """Go on from `state`."""
        self._units = {slot: unit for slot, unit in state.items() if slot in self._nodes}
