"""Master data: versioned documents, one per name, with the time from which they hold."""

from __future__ import annotations

from typing import Literal

import msgspec

from shinkei_events.model.alarm import Priority


class MasterData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base: ``name`` is the compaction key within its type; ``version`` grows; ``valid_from`` ns UTC; ``retired`` ends it."""

    name: str
    version: int = 1
    valid_from: int = 0
    retired: bool = False


class Machine(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """A machine: its stable short id is ``name``; the ISA-95 path ``site/area/line/unit`` may change."""

    path: str
    title: dict[str, str] = {}
    group: str | None = None
    operation: str | None = None
    upstream: list[str] = []


class Signal(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """A signal ``machine/signal`` with unit and EURange; ``rows``: keep every reading as a row on plain PostgreSQL."""

    machine: str
    signal: str
    unit: str | None = None
    unece: str | None = None
    low: float | None = None
    high: float | None = None
    title: dict[str, str] = {}
    rows: bool = True
    watch: bool = True


class Product(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """A product (item number)."""

    title: dict[str, str] = {}
    finished: bool = False


class Characteristic(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """What is measured on a product at an operation, with specification limits."""

    product: str
    operation: str
    characteristic: str
    unit: str | None = None
    lsl: float | None = None
    target: float | None = None
    usl: float | None = None
    title: dict[str, str] = {}


class Routing(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """The operations a product goes through, in order."""

    product: str
    operations: list[str]


class IdealCycle(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """ISO 22400 planned run time per item, in seconds, of a product at a machine."""

    machine: str
    product: str
    seconds: float


class Shift(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """A shift on a line: local start and end (``HH:MM``), weekdays (ISO 1–7), planned breaks in minutes."""

    line: str
    starts: str
    ends: str
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5)
    break_minutes: float = 0.0
    zone: str = "UTC"


class Reason(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """A stop reason with its ISO 22400 time element."""

    title: dict[str, str] = {}
    category: Literal["availability", "performance", "quality", "planned", "external"] = "availability"
    element: str = "ADOT"


class Condition(MasterData, frozen=True, kw_only=True, omit_defaults=True):
    """When an alarm is active. ``on`` an anomaly, a machine state, missing data, or a gateway that is silent; delays in seconds."""

    on: Literal["anomaly", "state", "no_data", "data_quality", "spc", "gateway"]
    priority: Priority = "P3"
    machines: list[str] = []
    states: list[str] = []
    reasons: list[str] = []
    on_delay: float = 0.0
    off_delay: float = 60.0
    title: dict[str, str] = {}
    action: dict[str, str] = {}
