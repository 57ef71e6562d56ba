"""Documents of MES and ERP about parts; only a ship operation moves a part."""

from __future__ import annotations

from typing import Literal

import msgspec


class WorkOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A production order as it stands now. Times ns UTC."""

    order: str
    product: str
    quantity: float
    status: Literal["planned", "released", "running", "done", "cancelled"]
    time: int
    line: str | None = None
    planned_start: int | None = None
    planned_end: int | None = None
    good: float | None = None
    scrap: float | None = None


class Shipment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A delivery document: which containers go to whom."""

    shipment: str
    customer: str
    containers: list[str]
    status: Literal["planned", "packed", "shipped", "delivered", "returned"]
    time: int
    order: str | None = None
    destination: str | None = None
