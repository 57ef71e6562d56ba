"""OP10 casting, OP20 machining, OP30 washing, OP40 press fit: what the work does to a part and what is measured."""

from __future__ import annotations

from shinkei_events.model.operation import Parameter, QualityReading, Resources, Unit
from shinkei_plant.catalog import (
    HOUSING_KG,
    HOUSINGS_PER_MELT,
    MELT_KG,
    PRODUCT,
    PRODUCTS,
    TOOL_LIFE_PARTS,
    Product,
    program,
    recipe,
)
from shinkei_plant.material import Feeder
from shinkei_plant.parts import Lot, Part, item
from shinkei_plant.station import Station, Stop

TOOL_CHANGE_S = 38.0
_CURVE = [round(0.6 * i, 2) for i in range(25)]
_RISE = [min(1.0, (i / 24) ** 1.6 * 0.82 + (0.18 if i == 24 else 0.0)) for i in range(25)]


class Casting(Station):
    """Housings by order, in melts of 60; the melt is a lot made from ingots."""

    _melt: str | None = None
    _left = 0
    porosity = 0.0
    ingots: Feeder

    def setup(self, time: int) -> None:
        self.ingots = Feeder(self, "ingot", MELT_KG)
        self.ingots.mount(time)

    def incoming(self, time: int) -> Part | None:
        order, product = self.line.orders.current(time)
        return Part("", item("HSG", product), product, order)

    def take(self, time: int) -> None:
        self.line.orders.begun_one(time)

    def needs(self, part: Part, time: int) -> Stop | None:
        return None if self._left else self.ingots.needs(time)

    def begun(self, part: Part, time: int) -> None:
        if not self._left:
            units, _lot = self.ingots.draw(time)
            self._melt, self._left = self.line.serials.new("MELT", 4), HOUSINGS_PER_MELT
            self.porosity = abs(self.random.gauss(0.0, 0.35))
            melt = Unit(self._melt, "lot", "MELT", MELT_KG, "kg")
            self.machine.operation(time, time, "process", inputs=units, outputs=[melt], result="pass", order=part.order)

    def work(self, part: Part, started: int, ended: int) -> Part:
        assert self._melt is not None
        self._left -= 1
        part.serial = self.line.serials.new("HS")
        part.porosity = self.porosity + abs(self.random.gauss(0.0, 0.4))
        size = part.product.size
        parameters = [Parameter("melt_temperature", round(self.random.gauss(705.0, 1.2), 1), "°C"),
                      Parameter("injection_pressure", round(self.random.gauss(84.0, 0.8) * (0.85 + 0.15 * size), 1), "bar")]  # fmt: skip
        self.machine.operation(
            ended, started, "process", inputs=[Unit(self._melt, "lot", "MELT", HOUSING_KG, "kg")], outputs=[part.unit],
            resources=Resources(recipe=self.machine.recipe), parameters=parameters,
            readings=self.readings(part.product, ended, housing_mass=-1.1 * part.porosity), result="pass",
            product=part.product.name, order=part.order,
        )  # fmt: skip
        return part


class Machining(Station):
    """Bores the housing with a tool that wears; program and tool are setup."""

    uses = 0
    worn_out = False

    def setup(self, time: int) -> None:
        self._new_tool(time)

    def wear(self, time: int) -> float:
        """0 for a new tool, 0.1 at the end of its life, up to 1.6 and more when it wears too fast."""
        trouble = self.line.active("tool_wear")
        return 0.1 * self.uses / TOOL_LIFE_PARTS + (1.6 * trouble.strength * trouble.ramp(time) if trouble else 0.0)

    @property
    def half_used(self) -> bool:
        """A tool that begins to wear too fast has cut some parts before, and is not about to be changed anyway."""
        return 30 <= self.uses <= 105

    def prepare(self, product: Product, time: int) -> None:
        super().prepare(product, time)
        wrong = self.line.active("wrong_program")
        if wrong is None:
            self.machine.mount(time, "program", program(product), "program")
        elif self.machine.slots["program"] == program(product):
            self.line.finish(wrong, time)

    def needs(self, part: Part, time: int) -> Stop | None:
        due = self.worn_out or self.uses >= TOOL_LIFE_PARTS
        return Stop("HELD", "tool_change", TOOL_CHANGE_S, self._new_tool) if due else None

    def load_wrong(self, time: int) -> str:
        """Mount the program of another product; returns its id."""
        other = next(product for product in PRODUCTS if program(product) != self.machine.slots.get("program"))
        self.machine.mount(time, "program", program(other), "program")
        return program(other)

    def reload(self, time: int) -> None:
        """Mount the right program again."""
        if self.machine.product is not None:
            self.machine.mount(time, "program", program(PRODUCT[self.machine.product]), "program")

    def work(self, part: Part, started: int, ended: int) -> Part:
        self.uses += 1
        wear = self.wear(ended)
        wrong, worn, leak = (
            self.line.active("wrong_program"),
            self.line.active("tool_wear"),
            self.line.active("coolant_leak"),
        )
        part.bore = (
            0.004 * wear
            + (0.055 * wrong.strength if wrong else 0.0)
            + (0.004 * leak.ramp(ended) * leak.strength if leak else 0.0)
        )
        part.roughness = max(0.0, wear - 1.0) * 0.1
        for trouble in (wrong, worn, leak):
            if trouble is not None:
                trouble.hit(part.serial)
        readings = self.readings(part.product, ended, bore_diameter=part.bore, roundness=0.8 * wear)
        result = "pass" if -0.015 <= float(readings[0].value) - 22.0 <= 0.015 else "fail"  # type: ignore[arg-type]
        self.machine.operation(
            ended, started, "process", inputs=[part.unit],
            resources=Resources(tool=self.machine.tool, recipe=self.machine.recipe, program=self.machine.slots.get("program")),
            parameters=[Parameter("feed", round(0.12 / part.product.size, 4), "mm/rev"), Parameter("tool_uses", self.uses)],
            readings=readings, result=result, product=part.product.name, order=part.order,
        )  # fmt: skip
        return part

    def _new_tool(self, time: int) -> None:
        trouble = self.line.active("tool_wear")
        if trouble is not None:
            self.line.finish(trouble, time)
        self.uses, self.worn_out = 0, False
        self.machine.tool = self.line.serials.new("T", 4)
        self.machine.mount(time, "tool", self.machine.tool, "tool")


class Washing(Station):
    """Washes the housing; speaks MQTT."""

    def work(self, part: Part, started: int, ended: int) -> Part:
        self.machine.operation(
            ended, started, "process", inputs=[part.unit], resources=Resources(recipe=self.machine.recipe),
            readings=self.readings(part.product, ended, residual_dirt=0.0), result="pass", product=part.product.name, order=part.order,
        )  # fmt: skip
        return part


class PressFit(Station):
    """Presses a bearing and a seal from supplier lots into the housing: a body with a serial of its own."""

    bearings: Feeder
    seals: Feeder

    def setup(self, time: int) -> None:
        self.bearings = Feeder(self, "bearing", unclear_every=3)
        self.seals = Feeder(self, "seal")
        self.bearings.mount(time)
        self.seals.mount(time)

    def needs(self, part: Part, time: int) -> Stop | None:
        return self.bearings.needs(time) or self.seals.needs(time)

    def drift(self, time: int) -> float:
        """How far the press force is off, kN."""
        trouble = self.line.active("press_drift")
        return -2.3 * trouble.strength * trouble.ramp(time) if trouble else 0.0

    def work(self, part: Part, started: int, ended: int) -> Part:
        housing = part.unit
        bearing, lot = self.bearings.draw(ended)
        seal, _ = self.seals.draw(ended)
        part.serial, part.item = self.line.serials.new("BD"), item("BDY", part.product)
        shift = self.drift(ended) + self._bad(lot, part)
        for trouble in (self.line.active("press_drift"), self.line.active("network_cut")):
            if trouble is not None:
                trouble.hit(part.serial)
        part.seating = abs(shift) * 0.12 + 6.0 * abs(part.bore)
        readings = self.readings(
            part.product, ended, press_force=shift - 30.0 * part.bore, press_depth=-0.02 * shift, seal_force=0.0
        )
        self.machine.operation(
            ended, started, "assemble", inputs=[housing, *bearing, *seal], outputs=[part.unit],
            resources=Resources(recipe=recipe(self.name, part.product)), parameters=self._curve(readings), readings=readings, result="pass",
            product=part.product.name, order=part.order,
        )  # fmt: skip
        return part

    def _bad(self, lot: Lot, part: Part) -> float:
        if lot.trouble is None:
            return 0.0
        lot.trouble.hit(part.serial)
        part.roughness += 0.42 * lot.trouble.strength
        return -1.15 * lot.trouble.strength

    def _curve(self, readings: list[QualityReading]) -> list[Parameter]:
        peak = float(readings[0].value)  # type: ignore[arg-type]
        return [
            Parameter("press_position", list(_CURVE), "mm"),
            Parameter("press_curve", [round(peak * rise, 3) for rise in _RISE], "kN"),
        ]
