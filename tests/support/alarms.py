"""Facts that alarms are made of, for tests: states, anomalies, decisions, and an engine that takes them."""

from __future__ import annotations

import itertools
from typing import Any

from shinkei_alerts.engine import Engine, Rules
from shinkei_events.identity import StreamId
from shinkei_events.model.anomaly import AnomalyChanged, Contribution
from shinkei_events.model.decision import Acknowledged, Actor, Shelved
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition

EPOCH = "018bcfe5-6800-7002-ab54-a98ceb1f0ad2"
T0 = 1_700_000_000_000_000_000
S = 1_000_000_000
_numbers = itertools.count(1)

FAULT = Condition(
    name="fault",
    on="state",
    priority="P1",
    states=["ABORTED"],
    on_delay=5.0,
    off_delay=60.0,
    title={"ja": "{machine} 異常停止", "en": "{machine} aborted"},
)
UNUSUAL = Condition(
    name="unusual", on="anomaly", priority="P2", title={"ja": "いつもと違う", "en": "unusual"}, action={"en": "look"}
)
SENSOR = Condition(name="sensor", on="data_quality", priority="P3")
SILENT = Condition(name="silent", on="no_data", priority="P2", off_delay=0.0)
RULES = Rules(
    {c.name: c for c in (FAULT, UNUSUAL, SENSOR, SILENT)},
    {"spindle": {"ja": "主軸", "en": "spindle"}},
    {"M1": "s/a/line1"},
)


def engine(rules: Rules = RULES) -> Engine:
    return Engine(rules, ("ja", "en"))


def state(to: str, at: float, machine: str = "M1", number: int | None = None, **more: Any) -> MachineStateChanged:
    time = T0 + round(at * S)
    return MachineStateChanged(
        stream=StreamId(EPOCH, machine, "production"),
        number=number or next(_numbers),
        signals=0,
        time=time,
        received=time,
        state=to,
        **more,
    )


def anomaly(
    phase: str,
    at: float,
    *,
    id: str = "a1",
    revision: int = 1,
    began: float = 0.0,
    machine: str = "M1",
    finding: str = "anomaly",
) -> AnomalyChanged:
    return AnomalyChanged(
        id=id, revision=revision, phase=phase, finding=finding, rule="level", machine=machine, stream=StreamId(EPOCH, machine, "signals"), first=1, last=9,
        began=T0 + round(began * S), time=T0 + round(at * S), ended=T0 + round(at * S) if phase == "closed" else None, score=3.0, threshold=1.0, peak=3.0,
        signals=[Contribution("torque", 0.9, 55.0, 40.0, "Nm")], detector="1",
    )  # fmt: skip


def seen(alarm: str, occurrence: int, at: float, id: str = "t/ui/1") -> Acknowledged:
    return Acknowledged(
        id=id, actor=Actor("p-1", "login"), time=T0 + round(at * S), subject="M1", alarm=alarm, occurrence=occurrence
    )


def aside(alarm: str, at: float, until: float) -> Shelved:
    return Shelved(
        id="t/ui/2",
        actor=Actor("p-1", "login"),
        time=T0 + round(at * S),
        subject="M1",
        alarm=alarm,
        until=T0 + round(until * S),
        reason="known",
    )
