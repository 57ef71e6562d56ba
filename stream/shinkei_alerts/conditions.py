"""Which conditions a fact makes active or inactive, from the master data. Pure.

A fact is an anomaly's revision, a machine's state or a gateway's silence. Delays are told, not waited for: `engine` keeps the timers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shinkei_events.model.alarm import Cause
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition
from shinkei_events.model.numbered import Numbered

GATEWAY_SILENT = Condition(
    name="gateway_silent", on="gateway", priority="P1", off_delay=0.0,
    title={"ja": "ゲートウェイ {machine} 応答なし", "en": "gateway {machine} silent"},
    action={"ja": "ゲートウェイの機器とネットワークを確認する (その間、全機械のデータとアラームは来ない)",
            "en": "Look at the gateway's computer and its network: none of its machines can raise an alarm meanwhile"},
)  # fmt: skip
"""What holds where the master data have no condition ``on = "gateway"``: a plant must not be blind because nobody thought of it."""


class Effect(NamedTuple):
    """``condition`` at ``machine`` is active (or not any more) because of ``cause`` since ``time``; its on-delay counts from ``told`` where
    that is later (both ns UTC).
    """

    condition: Condition
    machine: str
    cause: Cause
    active: bool
    time: int
    told: int = 0


def state_cause(event: Numbered) -> Cause:
    """A machine's state is known by its place in the stream."""
    return Cause("state", f"{event.stream}/{event.number}")


def of_anomaly(event: AnomalyChanged, conditions: Iterable[Condition]) -> list[Effect]:
    """An anomaly (or data-quality finding) is active from its begin until it is closed."""
    wanted = "anomaly" if event.finding == "anomaly" else "data_quality"
    closed = event.phase == "closed"
    cause = Cause("anomaly", event.id)
    found = [c for c in conditions if c.on == wanted and _concerns(c, event.machine)]
    effects = [Effect(c, event.machine, cause, True, event.began) for c in found]
    if closed:
        effects += [
            Effect(c, event.machine, cause, False, event.ended if event.ended is not None else event.time)
            for c in found
        ]
    return effects


def of_state(event: MachineStateChanged, held: Mapping[str, Cause], conditions: Iterable[Condition]) -> list[Effect]:
    """What the machine's new state ends and begins. ``held``: by condition, the state that made it active.

    A condition that goes on through a change of state or reason is one activation, by the state that began it. That nothing was heard
    while the gateway itself stood still is told when it runs again: a machine that answers within the on-delay from then is no alarm.
    """
    effects = []
    wanted = {c.name: c for c in conditions if c.on in ("state", "no_data") and _concerns(c, event.machine)}
    for name, condition in wanted.items():
        before, matches = held.get(name), _matches(condition, event)
        if before is not None and not matches:
            effects.append(Effect(condition, event.machine, before, False, event.time))
        elif before is None and matches:
            told = event.received if condition.on == "no_data" else 0
            effects.append(Effect(condition, event.machine, state_cause(event), True, event.time, told))
    return effects


def of_gateway(source: str, name: str, time: int, conditions: Iterable[Condition]) -> list[Effect]:
    """The gateway ``source``, called ``name``, is silent since ``time``."""
    cause = Cause("gateway", source)
    return [Effect(c, name, cause, True, time) for c in conditions if c.on == "gateway" and _concerns(c, name)]


def _concerns(condition: Condition, machine: str) -> bool:
    return not condition.retired and (not condition.machines or machine in condition.machines)


def _matches(condition: Condition, event: MachineStateChanged) -> bool:
    if condition.on == "no_data":
        return event.state == "NO_DATA"
    if condition.states and event.state not in condition.states:
        return False
    return not condition.reasons or event.reason in condition.reasons
