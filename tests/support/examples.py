"""One complete, valid event of every type: the golden payloads, and the seed of the fuzzers."""

from __future__ import annotations

from typing import Any

import msgspec

from shinkei_events.identity import StreamId
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
from shinkei_events.model.frame import Context, Frame, GapMark

EPOCH = "018bcfe5-6800-7002-ab54-a98ceb1f0ad2"
T = 1_700_000_000_000_000_000
SIGNALS = StreamId(EPOCH, "OP20", "signals")
PRODUCTION = StreamId(EPOCH, "OP20", "production")
N: dict[str, Any] = {"stream": PRODUCTION, "number": 7, "signals": 41, "time": T, "received": T + 5}
D: dict[str, Any] = {
    "id": "demo/ui/12",
    "actor": decision.Actor("p-17", "login"),
    "time": T,
    "subject": "OP20",
    "comment": "見た",
}
CONTEXT = Context("EXECUTE", "PUMP-A", "R12", "T-004", "OP20")

EXAMPLES: tuple[msgspec.Struct, ...] = (
    Frame(SIGNALS, 42, T, CONTEXT, ["torque", "label"], [0, 0, 1], [0, 100, 250], [1.5, 2**62, "ok"], [(2, 0), (1, 0x40920000)], [(3, T + 900)], 6,
          server_dt=[1, 101, 251], gap_before=GapMark("g1", "overflow", 40, 42), late=[2]),
    Frame(SIGNALS, 45, T, CONTEXT, [], [], [], [], [], [], 6, complete_until=T + 1000),
    numbered.StreamStarted(**N, gateway="gw-01", shard="0", follows=PRODUCTION, follows_number=99),
    numbered.StreamClosed(**N, reason="moved"),
    numbered.Gap(**N, id="g1", of=SIGNALS, cause="overflow", begin=40, end=42, t_from=T - 9, t_to=T, at_least=2, channels=["torque"], detail="queue"),
    numbered.ClockSkew(**N, source="op20", skew=-5_000_000_000, limit=1_000_000_000),
    numbered.SignalDescribed(**N, name="torque", source="op20", node="nsu=urn:x;s=t", data_type="Double", unit="Nm", unece="NU", low=0.0, high=90.0),
    machine.MachineStateChanged(**N, state="HELD", reason="tool_change", code="11", product="PUMP-A", recipe="R12", tool="T-004"),
    machine.SetupChanged(**N, slot="reel", unit="BL-77", unit_type="material", action="mounted", item="BRG", certainty=0.5, not_before=T - 9, not_after=T),
    machine.EnergyCounted(**N, medium="electricity", value=12.5, unit="kWh"),
    operation.Operation(
        **N, operation_id="o1", kind="assemble", station="OP40", started=T - 5, ended=T, inputs=[operation.Unit("H-1", "serial", "HOUSING"),
        operation.Unit("BL-77", "supplier_lot", "BRG", 1.0, "C62", 0.5)], outputs=[operation.Unit("H-1", "serial", "HOUSING")],
        resources=operation.Resources("T-004", "R12", "P3", "F1", "g2"), parameters=[operation.Parameter("speed", 12.0, "mm/s")],
        readings=[operation.QualityReading("press_force", 4.2, "kN"), operation.QualityReading("curve", [0.0, 1.5], "kN")], result="pass",
        product="PUMP-A", order="WO-1", corrects="o0", unknown=["depth"]),
    quarantine.Quarantined(stream=StreamId(EPOCH, "OP20", "quarantine"), number=1, signals=41, time=T, received=T, source="op20", where="a/b",
                           reason="not JSON", raw=b"\xff\x00{", path="$.v", content_type="application/json", size=3, sha256="00"),
    anomaly.AnomalyChanged(id="a1", revision=2, phase="closed", finding="anomaly", rule="level", machine="OP20", stream=SIGNALS, first=40, last=90,
                           began=T, time=T + 9, ended=T + 9, score=3.1, threshold=1.5, peak=4.0,
                           signals=[anomaly.Contribution("torque", 0.8, 55.0, 40.0, "Nm", T, "level")], context=CONTEXT, detector="1", model="m"),
    anomaly.SpcHit(id="s1", machine="OP60", characteristic="leak_rate", product="PUMP-A", chart="i_mr", rule="nelson_1", time=T, value=3.0, centre=1.0,
                   lower=0.0, upper=2.0, limits_version="1", operation_id="o1", unit_id="H-1"),
    anomaly.Summary(group="mill", machine="OP20", stream=SIGNALS, last=90, minute=T, context=CONTEXT,
                    signals=[anomaly.SignalSummary("torque", 600, 40.0, 30.0, 50.0, 2.0)]),
    alarm.AlarmChanged(id="al1", revision=1, dedup_key="k", condition="c", machine="OP20", line="demo/pumps/line1", state="ACTIVE_UNACK",
                       transition="raised", priority="P2", occurrence=1, time=T, since=T, causes=[alarm.Cause("anomaly", "a1")],
                       text={"ja": "振動", "en": "vibration"}, actor="p-17", comment="x", until=T),
    decision.Acknowledged(**D, alarm="al1", occurrence=1),
    decision.Shelved(**D, alarm="al1", until=T + 9, reason="known"),
    decision.FeedbackGiven(**D, anomaly="a1", verdict="true"),
    decision.StopReasonGiven(**D, machine="OP20", began=T, reason="tool_change"),
    decision.Held(**D, units=["H-1"], reason="leak", case="c1"),
    decision.Released(**D, units=["H-1"], disposition="rework", case="c1", holds=["demo/ui/11"]),
    decision.LimitsFrozen(**D, characteristic="leak_rate", product="PUMP-A", centre=1.0, lower=0.0, upper=2.0, valid_from=T),
    decision.Noted(**D, text="メモ"),
    decision.CauseAndRemedyGiven(**D, alarm="al1", cause="worn tool", remedy="changed"),
    master.Machine(name="OP20", version=2, valid_from=T, path="demo/pumps/line1/OP20", title={"en": "Machining"}, group="mill", operation="OP20", upstream=["OP10"]),
    master.Signal(name="OP20/torque", machine="OP20", signal="torque", unit="Nm", unece="NU", low=0.0, high=90.0),
    master.Product(name="PUMP-A", title={"en": "Pump A"}, finished=True),
    master.Characteristic(name="PUMP-A/OP60/leak_rate", product="PUMP-A", operation="OP60", characteristic="leak_rate", unit="ml/min", lsl=0.0, target=1.0, usl=3.0),
    master.Routing(name="PUMP-A", product="PUMP-A", operations=["OP10", "OP20"]),
    master.IdealCycle(name="OP20/PUMP-A", machine="OP20", product="PUMP-A", seconds=6.0),
    master.Shift(name="line1/06:00", line="line1", starts="06:00", ends="14:00", weekdays=(1, 2, 3), break_minutes=30.0, zone="Asia/Tokyo"),
    master.Reason(name="tool_change", title={"ja": "工具交換"}, category="planned", element="PDOT"),
    master.Condition(name="machine_fault", on="state", priority="P1", machines=["OP20"], states=["ABORTED"], reasons=["spindle"], title={"en": "Fault"}),
    order.WorkOrder(order="WO-1", product="PUMP-A", quantity=480.0, status="running", time=T, line="line1", good=12.0, scrap=1.0),
    order.Shipment(shipment="SH-1", customer="C3", containers=["PAL-1"], status="shipped", time=T, destination="Nagoya"),
    progress.Progress(recorder="recorder", log_id="l1", topic="shinkei.signals.v1", partition=3, position=55, streams=[progress.Recorded(SIGNALS, 42)], time=T),
    progress.Command(id="c1", gateway="gw-01", issuer="store/recorder", deadline=T, request=progress.SendAgain(stream=SIGNALS, number=42)),
    progress.Reply(id="r1", command="c1", gateway="gw-01", outcome="done", time=T, result={"from": 42}),
    progress.Claim(gateway="gw-01", shard="0", epoch=SIGNALS.epoch, instance="a1", host="h1", time=T, closed=[progress.Recorded(SIGNALS, 42)]),
    numbered.NodeWrite(**N, source="op40", handshake="cycle", operation_id="o1", node="nsu=urn:x;s=Ack", value=True, user="shinkei-answers", outcome="failed", detail="BadUserAccessDenied"),
    progress.Claim(gateway="gw-01", shard="0", epoch=SIGNALS.epoch, instance="a1", host="h1", time=T, place=(3, 4711), after=["a0"]),
    progress.Claim(gateway="gw-01", shard="0", epoch=SIGNALS.epoch, instance="a1", host="h1", time=T, closed=[progress.Recorded(SIGNALS, 42)], told={"M1": [SIGNALS.epoch]}),
)  # fmt: skip
