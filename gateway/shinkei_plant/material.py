"""Supplier lots at a station's slots: drawn from, used up, changed – clearly, or at a moment that nobody saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shinkei_events.model.operation import Unit
from shinkei_plant.catalog import MATERIAL
from shinkei_plant.parts import Lot, lot_unit
from shinkei_plant.station import Station, Stop

if TYPE_CHECKING:
    from shinkei_plant.faults import Trouble

UNCLEAR_PARTS = 8
"""How many parts are made while it is not known which of two lots they got."""
CHANGE_S = 14.0


class Feeder:
    """The material of one slot of ``station``. Every ``unclear_every``-th change is made on the run (0: never)."""

    def __init__(self, station: Station, slot: str, per_part: float = 1.0, unclear_every: int = 0) -> None:
        self.station, self.material, self.per_part, self.unclear_every = (
            station,
            MATERIAL[slot],
            per_part,
            unclear_every,
        )
        self.lot = self._receive()
        self._new: Lot | None = None
        self._changes, self._began, self._unsure = 0, 0, 0
        self._next_trouble: tuple[Trouble, float] | None = None

    def mount(self, time: int) -> None:
        """Tell which lot the slot begins with."""
        self._tell_receipt(self.lot, time)
        self.station.machine.mount(time, self.material.slot, self.lot.id, "material", item=self.material.item)

    def needs(self, time: int) -> Stop | None:
        """A stop to change the lot when it is used up; on the run, when that is how it is done this time."""
        if self._new is not None:
            return None
        if self._next_trouble is not None:
            return Stop("HELD", "material_change", CHANGE_S, self._change)
        if self.lot.left >= self._margin:
            return None
        if self._unclear:
            self._new, self._began, self._unsure = self._receive(), time, 0
            self._tell_receipt(self._new, time)
            return None
        return Stop("HELD", "material_change", CHANGE_S, self._change)

    def draw(self, time: int) -> tuple[list[Unit], Lot]:
        """Material for one part: the inputs as the machine knows them (two candidates when unsure), and the lot it really is."""
        if self._new is None:
            self.lot.left -= self.per_part
            return [lot_unit(self.lot, self.per_part)], self.lot
        old, new = self.lot, self._new
        real = old if old.left >= self.per_part and self._unsure < UNCLEAR_PARTS // 2 else new
        real.left -= self.per_part
        self._unsure += 1
        units = [lot_unit(old, self.per_part, 0.5), lot_unit(new, self.per_part, 0.5)]
        if self._unsure >= UNCLEAR_PARTS:
            self._swap(new, time, 0.5, self._began, time)
        return units, real

    def plant(self, trouble: Trouble, quantity: float) -> None:
        """The next lot, mounted at once, is a bad one of ``quantity``."""
        self._next_trouble = (trouble, quantity)

    # ---- inside ----------------------------------------------------------------------------------------------------------
    @property
    def _unclear(self) -> bool:
        return self.unclear_every > 0 and self.lot.trouble is None and (self._changes + 1) % self.unclear_every == 0

    @property
    def _margin(self) -> float:
        return self.per_part * (UNCLEAR_PARTS // 2 if self._unclear else 1)

    def _receive(self, quantity: float | None = None) -> Lot:
        return Lot(
            self.station.line.serials.new(self.material.prefix, 4),
            self.material.slot,
            quantity or self.material.per_lot,
        )

    def _change(self, time: int) -> None:
        if self._next_trouble is not None:
            trouble, quantity = self._next_trouble
            self._next_trouble, self._new = None, None
            lot = self._receive(quantity)
            lot.trouble = trouble
            trouble.found(lot.id)
        else:
            lot = self._receive()
        self._tell_receipt(lot, time)
        self._swap(lot, time)

    def _swap(
        self, lot: Lot, time: int, certainty: float = 1.0, not_before: int | None = None, not_after: int | None = None
    ) -> None:
        self._changes += 1
        old, self.lot, self._new = self.lot, lot, None
        if old.trouble is not None:
            self.station.line.finish(old.trouble, time)
        machine = self.station.machine
        machine.mount(time, self.material.slot, lot.id, "material", item=self.material.item,
                      certainty=certainty, not_before=not_before, not_after=not_after)  # fmt: skip

    def _tell_receipt(self, lot: Lot, time: int) -> None:
        self.station.machine.operation(time, time, "receive", outputs=[lot_unit(lot, lot.left)], result="pass")
