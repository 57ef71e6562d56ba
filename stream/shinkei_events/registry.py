"""Every type of the language: its ``ce_type``, struct, topic and how it is encoded.

A new event type is one line here. Released types are never renamed; a breaking change is a new version in a new topic.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from shinkei_events import topics
from shinkei_events.errors import UnknownType, UnknownVersion
from shinkei_events.model import (
    alarm,
    anomaly,
    decision,
    machine,
    master,
    numbered,
    operation,
    order,
    progress,
    quarantine,
)
from shinkei_events.model.frame import Frame
from shinkei_events.topics import Topic


@dataclass(frozen=True, slots=True)
class EventType:
    """``name`` without version (``shinkei.machine_state``), the struct, its home topic and version."""

    name: str
    struct: type[msgspec.Struct]
    topic: Topic
    version: int = 1

    @property
    def ce_type(self) -> str:
        """The CloudEvents type, e.g. ``shinkei.machine_state.v1``."""
        return f"{self.name}.v{self.version}"


FRAME = EventType("shinkei.frame", Frame, topics.SIGNALS)

EVENT_TYPES: tuple[EventType, ...] = (
    FRAME,
    EventType("shinkei.stream_started", numbered.StreamStarted, topics.PRODUCTION),
    EventType("shinkei.stream_closed", numbered.StreamClosed, topics.PRODUCTION),
    EventType("shinkei.gap", numbered.Gap, topics.PRODUCTION),
    EventType("shinkei.clock_skew", numbered.ClockSkew, topics.PRODUCTION),
    EventType("shinkei.node_write", numbered.NodeWrite, topics.PRODUCTION),
    EventType("shinkei.signal", numbered.SignalDescribed, topics.PRODUCTION),
    EventType("shinkei.machine_state", machine.MachineStateChanged, topics.PRODUCTION),
    EventType("shinkei.setup", machine.SetupChanged, topics.PRODUCTION),
    EventType("shinkei.energy", machine.EnergyCounted, topics.PRODUCTION),
    EventType("shinkei.operation", operation.Operation, topics.PRODUCTION),
    EventType("shinkei.quarantined", quarantine.Quarantined, topics.QUARANTINE),
    EventType("shinkei.anomaly", anomaly.AnomalyChanged, topics.ANOMALIES),
    EventType("shinkei.spc_hit", anomaly.SpcHit, topics.ANOMALIES),
    EventType("shinkei.summary", anomaly.Summary, topics.SUMMARIES),
    EventType("shinkei.alarm", alarm.AlarmChanged, topics.ALERTS),
    EventType("shinkei.decision.acknowledged", decision.Acknowledged, topics.DECISIONS),
    EventType("shinkei.decision.shelved", decision.Shelved, topics.DECISIONS),
    EventType("shinkei.decision.feedback", decision.FeedbackGiven, topics.DECISIONS),
    EventType("shinkei.decision.stop_reason", decision.StopReasonGiven, topics.DECISIONS),
    EventType("shinkei.decision.held", decision.Held, topics.DECISIONS),
    EventType("shinkei.decision.released", decision.Released, topics.DECISIONS),
    EventType("shinkei.decision.limits_frozen", decision.LimitsFrozen, topics.DECISIONS),
    EventType("shinkei.decision.noted", decision.Noted, topics.DECISIONS),
    EventType("shinkei.decision.cause_and_remedy", decision.CauseAndRemedyGiven, topics.DECISIONS),
    EventType("shinkei.master.machine", master.Machine, topics.CONFIG),
    EventType("shinkei.master.signal", master.Signal, topics.CONFIG),
    EventType("shinkei.master.product", master.Product, topics.CONFIG),
    EventType("shinkei.master.characteristic", master.Characteristic, topics.CONFIG),
    EventType("shinkei.master.routing", master.Routing, topics.CONFIG),
    EventType("shinkei.master.ideal_cycle", master.IdealCycle, topics.CONFIG),
    EventType("shinkei.master.shift", master.Shift, topics.CONFIG),
    EventType("shinkei.master.reason", master.Reason, topics.CONFIG),
    EventType("shinkei.master.condition", master.Condition, topics.CONFIG),
    EventType("shinkei.work_order", order.WorkOrder, topics.ORDERS),
    EventType("shinkei.shipment", order.Shipment, topics.ORDERS),
    EventType("shinkei.progress", progress.Progress, topics.PROGRESS),
    EventType("shinkei.command", progress.Command, topics.COMMANDS),
    EventType("shinkei.reply", progress.Reply, topics.REPLIES),
    EventType("shinkei.claim", progress.Claim, topics.PROGRESS),
)

BY_CE_TYPE: dict[str, EventType] = {entry.ce_type: entry for entry in EVENT_TYPES}
BY_STRUCT: dict[type[msgspec.Struct], EventType] = {entry.struct: entry for entry in EVENT_TYPES}


def event_type(ce_type: str) -> EventType:
    """The entry of a ``ce_type``; raises `UnknownType`, or `UnknownVersion` when only the version is not known."""
    entry = BY_CE_TYPE.get(ce_type)
    if entry is not None:
        return entry
    name, dot, version = ce_type.rpartition(".v")
    if dot and version.isdigit() and any(known.name == name for known in EVENT_TYPES):
        raise UnknownVersion(f"{ce_type}: this program knows {name} up to v1; run a newer one, or read the older topic")
    raise UnknownType(f"{ce_type}: not a type of this language")


def type_of(event: msgspec.Struct) -> EventType:
    """The entry of an event object."""
    try:
        return BY_STRUCT[type(event)]
    except KeyError:
        raise UnknownType(f"{type(event).__name__}: not a type of this language") from None
