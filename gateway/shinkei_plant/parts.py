"""Parts, lots and their text serials as they move down the line, with the hidden properties that decide how they measure.

Hidden properties never leave the simulation; what is known about a part are the readings of its operations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shinkei_events.model.operation import Unit
from shinkei_plant.catalog import MATERIAL, PRODUCT, Product

if TYPE_CHECKING:
    from shinkei_plant.faults import Trouble

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letters that look like digits."""
_EPOCH_S = 1_767_225_600
"""2026-01-01, from which campaigns are counted."""


def campaign(origin: int) -> str:
    """Six characters that tell one start of the line (``origin``, ns UTC) from every other: no serial comes twice."""
    number, text = max(origin // 10**9 - _EPOCH_S, 0), ""
    while number or len(text) < 6:
        number, digit = divmod(number, 32)
        text = _DIGITS[digit] + text
    return text


class Serials:
    """Counts serial numbers by prefix: ``HS-0V7K3M-000001``."""

    def __init__(self, origin: int) -> None:
        self._campaign = campaign(origin)
        self._next: dict[str, int] = {}

    def new(self, prefix: str, width: int = 6) -> str:
        """The next serial of ``prefix``."""
        number = self._next.get(prefix, 0) + 1
        self._next[prefix] = number
        return f"{prefix}-{self._campaign}-{number:0{width}d}"


@dataclass(slots=True)
class Part:
    """What travels: a housing, then a body, then a pump. ``serial`` and ``item`` change at assembly.

    ``porosity``, ``bore`` (mm off target), ``seating`` and ``roughness`` (vibration from a bad bearing) are hidden.
    """

    serial: str
    item: str
    product: Product
    order: str
    porosity: float = 0.0
    bore: float = 0.0
    seating: float = 0.0
    roughness: float = 0.0
    leaks: int = 0

    @property
    def unit(self) -> Unit:
        """The part as an input or output of an operation."""
        return Unit(self.serial, "serial", self.item)


@dataclass(slots=True)
class Lot:
    """A supplier's lot and what is left of it. ``trouble``: the fault it carries."""

    id: str
    slot: str
    left: float
    trouble: Trouble | None = None


@dataclass(slots=True)
class Box:
    """A box being filled with pumps of one product, or a pallet being filled with boxes."""

    product: Product
    began: int
    content: list[str] = field(default_factory=list)


def lot_unit(lot: Lot, quantity: float, certainty: float = 1.0) -> Unit:
    """``quantity`` of ``lot`` as an input of an operation."""
    material = MATERIAL[lot.slot]
    return Unit(lot.id, "supplier_lot", material.item, quantity, material.unit, certainty)


def item(kind: str, product: Product) -> str:
    """The item number of a component of ``product``: ``HSG-60``."""
    return f"{kind}-{product.code}"


def product_of(name: str) -> Product:
    """The product with the item number ``name``."""
    return PRODUCT[name]
