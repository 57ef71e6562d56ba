"""The ``[trace]`` section of plant.toml."""

from __future__ import annotations

import msgspec

from shinkei_events.settings import Duration


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``batch``: events in one transaction. ``sweep``: how often it looks without being told. ``http``: where health is served."""

    batch: int = 2_000
    sweep: Duration = Duration(1.0)
    http: str = "127.0.0.1:0"

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 100_000:
            raise ValueError("batch is between 1 and 100000 events")
