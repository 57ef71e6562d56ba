"""Work orders of the line: one product after the other, each for a few hundred pumps, told as documents of an MES."""

from __future__ import annotations

import random
from collections.abc import Callable

from shinkei_events.model.order import Shipment, WorkOrder
from shinkei_plant.catalog import LINE_PATH, ORDER_QUANTITY, PRODUCTS, Product
from shinkei_plant.parts import Serials


class Orders:
    """Decides what is cast next. ``write`` takes each document as it becomes true."""

    def __init__(self, seed: int, serials: Serials, write: Callable[[WorkOrder | Shipment], None]) -> None:
        self._random = random.Random(f"{seed}/orders")
        self._serials, self._write = serials, write
        self._order, self._product, self._left = "", PRODUCTS[1], 0
        self._good: dict[str, int] = {}
        self._product_of: dict[str, str] = {}

    def current(self, time: int) -> tuple[str, Product]:
        """The order whose housings are cast now, and its product."""
        if self._left == 0:
            if self._order:
                self._product = self._random.choice([product for product in PRODUCTS if product is not self._product])
            self._order, self._left = self._serials.new("WO", 4), ORDER_QUANTITY
            self._product_of[self._order] = self._product.name
            self._write(
                WorkOrder(
                    order=self._order,
                    product=self._product.name,
                    quantity=ORDER_QUANTITY,
                    status="running",
                    time=time,
                    line=LINE_PATH,
                )
            )
        return self._order, self._product

    def begun_one(self, time: int) -> None:
        """Another housing of the current order is being cast."""
        self._left -= 1

    def finished_one(self, order: str, time: int) -> None:
        """A good pump of ``order`` reached packing; from 95 % on the order counts as done (rejects are not made again)."""
        good = self._good[order] = self._good.get(order, 0) + 1
        if good == ORDER_QUANTITY * 95 // 100:
            self._write(
                WorkOrder(
                    order=order,
                    product=self._product_of[order],
                    quantity=ORDER_QUANTITY,
                    status="done",
                    time=time,
                    line=LINE_PATH,
                    good=float(good),
                )
            )
