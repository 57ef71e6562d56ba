"""What the simulated line does, as plain frozen records in time order; times are int ns UTC of the plant's clock.

Knows no protocol: the OPC UA servers, MQTT devices, the history file and the ledger each write these in their own way.
"""

from __future__ import annotations

import msgspec

from shinkei_events.model.frame import Value
from shinkei_events.model.machine import State
from shinkei_events.model.operation import OperationKind, Parameter, QualityReading, Resources, Result, Unit
from shinkei_events.model.order import Shipment, WorkOrder

__all__ = ["Document", "EnergyCounter", "OperationDone", "Record", "SetupChange", "SignalSample", "StateChange"]


class SignalSample(msgspec.Struct, frozen=True):
    """One value of a machine's signal; ``status`` is the full OPC UA code."""

    machine: str
    signal: str
    time: int
    value: Value
    status: int = 0


class StateChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """From ``time`` on the machine is in the PackML state ``state``."""

    machine: str
    time: int
    state: State
    reason: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None


class OperationDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operation that ended: exactly the object that a machine hands out. ``counter``: the machine's cycle counter."""

    kind: OperationKind
    station: str
    started: int
    ended: int
    counter: int
    inputs: list[Unit] = []
    outputs: list[Unit] = []
    resources: Resources = Resources()
    parameters: list[Parameter] = []
    readings: list[QualityReading] = []
    result: Result = "unknown"
    product: str | None = None
    order: str | None = None
    to: str | None = None

    @property
    def machine(self) -> str:
        """The machine that did it."""
        return self.station

    @property
    def time(self) -> int:
        """When the machine says that it is done."""
        return self.ended


class SetupChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A unit was mounted on or unmounted from a slot; ``certainty`` below 1: the moment lies in ``not_before … not_after``."""

    machine: str
    time: int
    slot: str
    unit: str
    unit_type: str
    action: str
    item: str | None = None
    certainty: float = 1.0
    not_before: int | None = None
    not_after: int | None = None


class EnergyCounter(msgspec.Struct, frozen=True):
    """An energy counter stands at ``value``."""

    machine: str
    time: int
    medium: str
    value: float
    unit: str


class Document(msgspec.Struct, frozen=True):
    """What MES or ERP wrote about orders and deliveries; no machine emits it."""

    time: int
    document: WorkOrder | Shipment
    machine: str = "MES"


Record = SignalSample | StateChange | OperationDone | SetupChange | EnergyCounter | Document
