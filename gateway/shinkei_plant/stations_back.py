"""OP50 motor assembly, OP60 leak test with rework, OP70 end-of-line test, OP80 packing and shipping."""

from __future__ import annotations

from collections import deque

from shinkei_events.model.operation import Parameter, QualityReading, Resources, Unit
from shinkei_events.model.order import Shipment
from shinkei_plant.catalog import BOXES_PER_PALLET, CHARACTERISTIC, CUSTOMERS, MS, PUMPS_PER_BOX, S, limits
from shinkei_plant.material import Feeder
from shinkei_plant.parts import Box, Part, item
from shinkei_plant.station import Station, Stop

REWORK_S = 80
SHIP_AFTER_S = 60
MAX_TESTS = 2


class MotorAssembly(Station):
    """Builds a motor (a sub-assembly with its own serial) and screws it to the body: the pump gets its serial."""

    rotors: Feeder
    stators: Feeder
    _motor: Unit | None = None

    def setup(self, time: int) -> None:
        self.rotors, self.stators = Feeder(self, "rotor"), Feeder(self, "stator")
        self.rotors.mount(time)
        self.stators.mount(time)

    def needs(self, part: Part, time: int) -> Stop | None:
        return self.rotors.needs(time) or self.stators.needs(time)

    def begun(self, part: Part, time: int) -> None:
        self.line.at(time + self.cycle * 2 // 5 // MS * MS, lambda now: self._wind(part, time, now))

    def _wind(self, part: Part, started: int, time: int) -> None:
        rotor, _ = self.rotors.draw(time)
        stator, _ = self.stators.draw(time)
        self._motor = Unit(self.line.serials.new("MT"), "serial", item("MTR", part.product))
        self.machine.operation(
            time, started, "assemble", inputs=[*rotor, *stator], outputs=[self._motor], resources=Resources(recipe=self.machine.recipe),
            readings=self.readings(part.product, time, winding_resistance=0.0), result="pass", product=part.product.name, order=part.order,
        )  # fmt: skip

    def work(self, part: Part, started: int, ended: int) -> Part:
        assert self._motor is not None
        body, motor = part.unit, self._motor
        part.serial, part.item = self.line.serials.new("EP"), part.product.name
        self.machine.operation(
            ended, started, "assemble", inputs=[body, motor], outputs=[part.unit], resources=Resources(recipe=self.machine.recipe),
            parameters=[Parameter("screws", 4)], readings=self.readings(part.product, ended, screw_torque=0.0), result="pass",
            product=part.product.name, order=part.order,
        )  # fmt: skip
        return part


class LeakTest(Station):
    """Measures the leak rate; a reject is sealed again and comes back; who fails twice is scrapped."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._again: deque[Part] = deque()

    def incoming(self, time: int) -> Part | None:
        return self._again[0] if self._again else super().incoming(time)

    def take(self, time: int) -> None:
        if self._again:
            self._again.popleft()
        else:
            super().take(time)

    def offset(self) -> float:
        """What the tester shows beyond the truth, mL/min."""
        trouble = self.line.active("leak_tester_offset")
        return 0.30 * trouble.strength if trouble else 0.0

    def work(self, part: Part, started: int, ended: int) -> Part | None:
        trouble = self.line.active("leak_tester_offset")
        if trouble is not None:
            trouble.hit(part.serial)
        leak = (
            0.06 * part.porosity**2
            + 0.35 * part.seating
            + (0.45 if self.random.random() < 0.012 and not part.leaks else 0.0)
        )
        readings = self.readings(part.product, ended, leak_rate=leak + self.offset())
        good = _within(part, "OP60", readings)
        part.leaks += 1
        scrap = not good and part.leaks >= MAX_TESTS
        self._tested(part, started, ended, readings, "pass" if good else "scrap" if scrap else "rework")
        if good:
            return part
        if scrap:
            _scrap(self, part, ended)
        else:
            self.line.at(ended + REWORK_S * S, lambda now: self._reseal(part, ended, now))
        return None

    def _tested(self, part: Part, started: int, ended: int, readings: list[QualityReading], result: str) -> None:
        self.machine.operation(
            ended, started, "inspect", inputs=[part.unit], resources=Resources(recipe=self.machine.recipe),
            parameters=[Parameter("test_number", part.leaks), Parameter("test_pressure", 250.0, "kPa")], readings=readings, result=result,
            product=part.product.name, order=part.order,
        )  # fmt: skip

    def _reseal(self, part: Part, rejected: int, time: int) -> None:
        self.machine.operation(
            time, rejected, "rework", inputs=[part.unit], parameters=[Parameter("action", "reseal")], result="pass",
            product=part.product.name, order=part.order,
        )  # fmt: skip
        self._again.append(part)
        self.wake(time)


class EndOfLine(Station):
    """Runs the pump: flow, pressure, current, vibration. What fails is scrapped."""

    def work(self, part: Part, started: int, ended: int) -> Part | None:
        weak = 1.2 * max(0.0, abs(part.bore) - 0.012) * 100
        readings = self.readings(
            part.product,
            ended,
            flow=-weak,
            pressure=-1.5 * weak,
            current=0.25 * part.roughness,
            vibration=part.roughness,
        )
        good = _within(part, "OP70", readings)
        self.machine.operation(
            ended, started, "inspect", inputs=[part.unit], resources=Resources(recipe=self.machine.recipe), readings=readings,
            result="pass" if good else "scrap", product=part.product.name, order=part.order,
        )  # fmt: skip
        if good:
            return part
        _scrap(self, part, ended)
        return None


class Packing(Station):
    """12 pumps of one product to a box, 4 boxes to a pallet, pallets in turn to five customers; speaks MQTT."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._boxes: dict[str, Box] = {}
        self._pallets: dict[str, Box] = {}
        self._shipped = 0

    def work(self, part: Part, started: int, ended: int) -> None:
        name = part.product.name
        box = self._boxes.setdefault(name, Box(part.product, started))
        box.content.append(part.serial)
        self.line.orders.finished_one(part.order, ended)
        if len(box.content) < PUMPS_PER_BOX:
            return
        del self._boxes[name]
        serial = self.line.serials.new("BX", 5)
        self._pack(box, serial, [Unit(pump, "serial", name) for pump in box.content], part.order, ended)
        pallet = self._pallets.setdefault(name, Box(part.product, ended))
        pallet.content.append(serial)
        if len(pallet.content) == BOXES_PER_PALLET:
            del self._pallets[name]
            self._palletise(pallet, part.order, ended)

    def _palletise(self, pallet: Box, order: str, time: int) -> None:
        serial = self.line.serials.new("PL", 4)
        self._pack(
            pallet,
            serial,
            [Unit(box, "container", f"BOX-{pallet.product.code}") for box in pallet.content],
            order,
            time,
        )
        self.line.at(time + SHIP_AFTER_S * S, lambda now: self._ship(serial, order, now))

    def _pack(self, box: Box, serial: str, units: list[Unit], order: str, time: int) -> None:
        kind = "BOX" if units[0].type == "serial" else "PALLET"
        self.machine.operation(
            time, box.began, "pack", inputs=units, outputs=[Unit(serial, "container", f"{kind}-{box.product.code}")], result="pass",
            product=box.product.name, order=order,
        )  # fmt: skip

    def _ship(self, pallet: str, order: str, time: int) -> None:
        customer = CUSTOMERS[self._shipped % len(CUSTOMERS)]
        self._shipped += 1
        shipment = self.line.serials.new("SHP", 4)
        self.machine.operation(
            time, time, "ship", inputs=[Unit(pallet, "container")], result="pass", to=customer, order=shipment
        )
        self.line.write(
            Shipment(
                shipment=shipment, customer=customer, containers=[pallet], status="shipped", time=time, order=order
            )
        )


def _within(part: Part, operation: str, readings: list[QualityReading]) -> bool:
    for reading in readings:
        low, high = limits(CHARACTERISTIC[operation, reading.name], part.product)
        value = float(reading.value)  # type: ignore[arg-type]
        if (low is not None and value < low) or (high is not None and value > high):
            return False
    return True


def _scrap(station: Station, part: Part, time: int) -> None:
    station.machine.operation(
        time, time, "scrap", inputs=[part.unit], result="scrap", product=part.product.name, order=part.order
    )
