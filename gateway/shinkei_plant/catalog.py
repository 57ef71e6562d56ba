"""What the pump line is made of: machines, signals, products, characteristics, materials, customers, reasons.

Constants only. The simulation reads them, the OPC UA servers describe their nodes by them, and the demo's plant.toml is written
from them, so that master data and machines never disagree.
"""

from __future__ import annotations

from typing import NamedTuple

MS = 1_000_000
S = 1_000_000_000

PUMPS_PER_BOX = 12
BOXES_PER_PALLET = 4
HOUSINGS_PER_MELT = 60
ORDER_QUANTITY = 300
TOOL_LIFE_PARTS = 150
MELT_KG = 54.0
HOUSING_KG = 0.86


class Stop(NamedTuple):
    """A kind of random stop: reason, PackML state, mean duration (s), relative weight."""

    reason: str
    state: str
    mean_s: float
    weight: float


class Machine(NamedTuple):
    """A station. ``cycle_s`` and ``changeover_s`` in s, ``buffer`` places before it, ``stops_every`` cycles on average; kW idle, run."""

    name: str
    ja: str
    en: str
    cycle_s: float
    buffer: int
    changeover_s: float
    stops_every: float
    stops: tuple[Stop, ...]
    idle_kw: float
    run_kw: float
    protocol: str = "opcua"


class Signal(NamedTuple):
    """A signal: unit (text and UNECE Rec. 20 code), EURange, sampling period (ms), and the shape of its values.

    ``idle``/``run``: level at rest and while executing; ``swing``: amplitude within a cycle; ``noise``/``wander``: fast and slow
    standard deviation; ``slow``: follows the machine's warmth, not its load; ``digits``: resolution; ``by_size``: share of
    the level that grows with the pump's size.
    """

    machine: str
    name: str
    unit: str
    unece: str
    low: float
    high: float
    period_ms: int
    idle: float
    run: float
    swing: float
    noise: float
    wander: float
    slow: bool
    digits: int
    by_size: float
    ja: str
    en: str


class Product(NamedTuple):
    """A finished pump. ``size``: 1.0 is the middle one; it scales flow, current and forces."""

    name: str
    size: float
    ja: str
    en: str

    @property
    def code(self) -> str:
        """The number in the names of its components."""
        return self.name.removeprefix("EP-")


class Characteristic(NamedTuple):
    """A measured characteristic at an operation; ``target`` for the middle pump, limits as distances from it (None: open)."""

    operation: str
    name: str
    unit: str
    target: float
    below: float | None
    above: float | None
    sigma: float
    by_size: float
    digits: int
    ja: str
    en: str


MACHINES = (
    Machine("OP10", "鋳造", "Casting", 5.4, 6, 60.0, 260.0, (Stop("die_lubrication", "HELD", 25.0, 3.0), Stop("casting_jam", "ABORTED", 140.0, 1.0)), 9.0, 46.0),
    Machine("OP20", "切削", "Machining", 5.9, 8, 75.0, 220.0, (Stop("chip_jam", "HELD", 30.0, 3.0), Stop("spindle_fault", "ABORTED", 160.0, 0.6)), 2.4, 14.5),
    Machine("OP30", "洗浄", "Washing", 5.3, 8, 0.0, 380.0, (Stop("filter_check", "HELD", 22.0, 1.0),), 3.0, 11.0, "sparkplug"),
    Machine("OP40", "圧入", "Press fit", 5.5, 8, 35.0, 210.0, (Stop("part_misplaced", "HELD", 18.0, 4.0), Stop("press_overload", "ABORTED", 90.0, 0.6)), 1.2, 6.5),
    Machine("OP50", "モーター組立", "Motor assembly", 5.5, 8, 40.0, 200.0, (Stop("screw_jam", "HELD", 20.0, 4.0), Stop("feeder_empty", "HELD", 35.0, 1.0)), 0.9, 3.8),
    Machine("OP60", "リーク検査", "Leak test", 5.4, 8, 20.0, 320.0, (Stop("adapter_check", "HELD", 16.0, 1.0),), 0.6, 1.9),
    Machine("OP70", "完成検査", "End-of-line test", 5.6, 8, 20.0, 300.0, (Stop("contact_fault", "HELD", 15.0, 1.0),), 0.8, 3.2),
    Machine("OP80", "梱包", "Packing", 4.8, 10, 15.0, 330.0, (Stop("label_empty", "HELD", 28.0, 1.0),), 0.4, 1.1, "mqtt"),
)  # fmt: skip

SIGNALS = (
    Signal("OP10", "melt_temperature", "°C", "CEL", 0, 900, 1000, 704.0, 705, 0.6, 0.5, 0.8, True, 2, 0, "溶湯温度", "Melt temperature"),
    Signal("OP10", "die_temperature", "°C", "CEL", 0, 400, 1000, 220.5, 222, 1.5, 0.5, 0.8, True, 2, 0, "金型温度", "Die temperature"),
    Signal("OP10", "injection_pressure", "bar", "BAR", 0, 200, 1000, 4, 84, 3.0, 0.9, 0.6, False, 2, 0.15, "射出圧力", "Injection pressure"),
    Signal("OP20", "torque", "N·m", "NU", 0, 60, 100, 0.4, 21.5, 0.9, 0.35, 0.12, False, 3, 0.25, "主軸トルク", "Spindle torque"),
    Signal("OP20", "vibration", "mm/s", "C16", 0, 20, 100, 0.15, 2.2, 0.15, 0.08, 0.02, False, 3, 0.05, "振動", "Vibration"),
    Signal("OP20", "spindle_current", "A", "AMP", 0, 50, 100, 1.1, 13.8, 0.5, 0.2, 0.07, False, 3, 0.25, "主軸電流", "Spindle current"),
    Signal("OP20", "coolant_temperature", "°C", "CEL", 0, 80, 100, 26.2, 26.5, 0.05, 0.06, 0.15, True, 3, 0, "クーラント温度", "Coolant temperature"),
    Signal("OP30", "bath_temperature", "°C", "CEL", 0, 100, 1000, 61.8, 62.0, 0.1, 0.12, 0.2, True, 2, 0, "浴温", "Bath temperature"),
    Signal("OP30", "conductivity", "mS/cm", "H61", 0, 20, 1000, 6.39, 6.4, 0.03, 0.04, 0.06, True, 3, 0, "導電率", "Conductivity"),
    Signal("OP30", "spray_pressure", "bar", "BAR", 0, 20, 1000, 0.2, 8.2, 0.15, 0.07, 0.05, False, 3, 0, "噴射圧力", "Spray pressure"),
    Signal("OP40", "press_force", "kN", "B47", 0, 40, 200, 0.2, 11.6, 0.7, 0.14, 0.05, False, 3, 0.2, "圧入力", "Press force"),
    Signal("OP40", "hydraulic_pressure", "bar", "BAR", 0, 300, 200, 38.0, 148.0, 4.0, 1.1, 0.5, False, 2, 0.1, "油圧", "Hydraulic pressure"),
    Signal("OP40", "ram_position", "mm", "MMT", 0, 250, 200, 5.0, 118.0, 6.0, 0.25, 0.05, False, 3, 0, "ラム位置", "Ram position"),
    Signal("OP50", "screw_torque", "N·m", "NU", 0, 10, 500, 0.02, 3.2, 0.12, 0.05, 0.02, False, 3, 0.1, "締付トルク", "Screw torque"),
    Signal("OP50", "winding_resistance", "mΩ", "E45", 0, 500, 500, 0.0, 182.0, 0.8, 0.6, 0.3, False, 2, -0.1, "巻線抵抗", "Winding resistance"),
    Signal("OP60", "chamber_pressure", "kPa", "KPA", 0, 400, 200, 101.3, 250.0, 2.5, 0.7, 0.3, False, 2, 0, "試験圧力", "Chamber pressure"),
    Signal("OP60", "leak_flow", "mL/min", "41", 0, 10, 200, 0.02, 0.42, 0.03, 0.02, 0.01, False, 4, 0, "漏れ流量", "Leak flow"),
    Signal("OP70", "flow", "L/min", "L2", 0, 100, 200, 0.1, 24.0, 0.8, 0.18, 0.08, False, 3, 0.9, "流量", "Flow"),
    Signal("OP70", "pressure", "kPa", "KPA", 0, 200, 200, 0.5, 92.0, 1.6, 0.5, 0.25, False, 2, 0.2, "吐出圧力", "Outlet pressure"),
    Signal("OP70", "motor_current", "A", "AMP", 0, 20, 200, 0.03, 5.1, 0.2, 0.05, 0.02, False, 3, 0.8, "モーター電流", "Motor current"),
    Signal("OP70", "vibration", "mm/s", "C16", 0, 10, 200, 0.05, 0.92, 0.06, 0.03, 0.012, False, 3, 0.1, "振動", "Vibration"),
    Signal("OP80", "belt_speed", "m/min", "2X", 0, 60, 1000, 0.0, 18.0, 0.1, 0.08, 0.05, False, 2, 0, "ベルト速度", "Belt speed"),
    Signal("OP80", "label_temperature", "°C", "CEL", 0, 200, 1000, 120.4, 121.0, 0.4, 0.4, 0.4, True, 2, 0, "ラベルヘッド温度", "Label head temperature"),
)  # fmt: skip

PRODUCTS = (
    Product("EP-40", 0.8, "電動冷却水ポンプ 40 W", "Electric coolant pump 40 W"),
    Product("EP-60", 1.0, "電動冷却水ポンプ 60 W", "Electric coolant pump 60 W"),
    Product("EP-90", 1.3, "電動冷却水ポンプ 90 W", "Electric coolant pump 90 W"),
)

CHARACTERISTICS = (
    Characteristic("OP10", "housing_mass", "g", 860.0, 12.0, 12.0, 2.6, 0.5, 1, "ハウジング質量", "Housing mass"),
    Characteristic("OP20", "bore_diameter", "mm", 22.000, 0.015, 0.015, 0.0028, 0.0, 4, "内径", "Bore diameter"),
    Characteristic("OP20", "roundness", "µm", 4.2, None, 4.8, 0.7, 0.0, 2, "真円度", "Roundness"),
    Characteristic("OP30", "residual_dirt", "mg", 0.8, None, 1.2, 0.18, 0.0, 3, "残留異物", "Residual dirt"),
    Characteristic("OP40", "press_force", "kN", 11.6, 1.8, 1.8, 0.28, 0.2, 3, "圧入力", "Press force"),
    Characteristic("OP40", "press_depth", "mm", 14.50, 0.10, 0.10, 0.016, 0.0, 3, "圧入深さ", "Press depth"),
    Characteristic("OP40", "seal_force", "N", 420.0, 80.0, 80.0, 13.0, 0.1, 1, "シール圧入力", "Seal force"),
    Characteristic("OP50", "screw_torque", "N·m", 3.2, 0.35, 0.35, 0.06, 0.1, 3, "締付トルク", "Screw torque"),
    Characteristic("OP50", "winding_resistance", "mΩ", 182.0, 9.0, 9.0, 1.7, -0.1, 2, "巻線抵抗", "Winding resistance"),
    Characteristic("OP60", "leak_rate", "mL/min", 0.42, None, 0.38, 0.07, 0.0, 4, "漏れ量", "Leak rate"),
    Characteristic("OP70", "flow", "L/min", 24.0, 1.6, 1.6, 0.3, 0.9, 3, "流量", "Flow"),
    Characteristic("OP70", "pressure", "kPa", 92.0, 6.0, 6.0, 1.1, 0.2, 2, "吐出圧力", "Outlet pressure"),
    Characteristic("OP70", "current", "A", 5.1, 0.6, 0.6, 0.09, 0.8, 3, "モーター電流", "Motor current"),
    Characteristic("OP70", "vibration", "mm/s", 0.92, None, 0.7, 0.08, 0.1, 3, "振動", "Vibration"),
)

LINE_PATH = "demo/pumps/line1"
"""ISA-95: site/area/line."""

CUSTOMERS = ("Kitano Motors", "Aoba EV", "Rheinwerk Automobil", "Laurent Mobilité", "Sierra Electric")


class Material(NamedTuple):
    """A supplier's material: slot at a station, prefix of its lot ids, item, quantity per lot and per part, unit."""

    machine: str
    slot: str
    prefix: str
    item: str
    per_lot: float
    unit: str | None


MATERIALS = (
    Material("OP10", "ingot", "ING", "ALSI9CU3", 1080.0, "kg"),
    Material("OP40", "bearing", "BRG", "BEARING-608", 240, None),
    Material("OP40", "seal", "SEL", "SEAL-22", 330, None),
    Material("OP50", "rotor", "ROT", "ROTOR", 180, None),
    Material("OP50", "stator", "STA", "STATOR", 150, None),
)


class Reason(NamedTuple):
    """A stop reason with ISO 22400 time element and words."""

    name: str
    category: str
    element: str
    ja: str
    en: str


REASONS = (
    Reason("STARVED", "external", "ADOT", "部品待ち", "Waiting for parts"),
    Reason("BLOCKED", "external", "ADOT", "後工程満杯", "Next station full"),
    Reason("changeover", "availability", "AUST", "段取り替え", "Change-over"),
    Reason("tool_change", "availability", "AUST", "工具交換", "Tool change"),
    Reason("material_change", "availability", "AUST", "材料交換", "Material change"),
    Reason("die_lubrication", "availability", "ADOT", "離型剤塗布", "Die lubrication"),
    Reason("casting_jam", "availability", "ADOT", "鋳造品詰まり", "Casting jammed"),
    Reason("chip_jam", "availability", "ADOT", "切粉詰まり", "Chips jammed"),
    Reason("spindle_fault", "availability", "ADOT", "主軸異常", "Spindle fault"),
    Reason("filter_check", "availability", "ADOT", "フィルター点検", "Filter check"),
    Reason("part_misplaced", "availability", "ADOT", "ワーク位置ずれ", "Part misplaced"),
    Reason("press_overload", "availability", "ADOT", "プレス過負荷", "Press overload"),
    Reason("screw_jam", "availability", "ADOT", "ねじ詰まり", "Screw jammed"),
    Reason("feeder_empty", "availability", "ADOT", "フィーダー空", "Feeder empty"),
    Reason("adapter_check", "availability", "ADOT", "アダプター点検", "Adapter check"),
    Reason("contact_fault", "availability", "ADOT", "接触不良", "Contact fault"),
    Reason("label_empty", "availability", "ADOT", "ラベル切れ", "Out of labels"),
    Reason("coolant_low", "availability", "ADOT", "クーラント不足", "Coolant low"),
    Reason("guard_open", "availability", "ADOT", "安全扉開", "Guard open"),
    Reason("wrong_program", "availability", "ADOT", "プログラム違い", "Wrong program"),
)

MACHINE = {machine.name: machine for machine in MACHINES}
PRODUCT = {product.name: product for product in PRODUCTS}
SIGNAL = {(signal.machine, signal.name): signal for signal in SIGNALS}
CHARACTERISTIC = {(entry.operation, entry.name): entry for entry in CHARACTERISTICS}
MATERIAL = {material.slot: material for material in MATERIALS}


def target(entry: Characteristic, product: Product) -> float:
    """The target of a characteristic on ``product``, rounded to its resolution."""
    return round(entry.target * (1.0 + entry.by_size * (product.size - 1.0)), entry.digits)


def limits(entry: Characteristic, product: Product) -> tuple[float | None, float | None]:
    """Lower and upper specification limit on ``product``."""
    middle = target(entry, product)
    lower = None if entry.below is None else round(middle - entry.below, entry.digits)
    upper = None if entry.above is None else round(middle + entry.above, entry.digits)
    return lower, upper


def program(product: Product) -> str:
    """The machining program of ``product``."""
    return f"PRG-{product.code}-R3"


def recipe(machine: str, product: Product) -> str:
    """The recipe of ``product`` at ``machine``."""
    return f"RC-{machine}-{product.code}"
