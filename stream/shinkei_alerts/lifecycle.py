"""The life of one alarm after ISA-18.2 / IEC 62682: two memories (active, unacknowledged), shelving beside them. Pure.

An alarm belongs to one condition; while it is open, whatever makes the condition active again is another occurrence of the same alarm. An
acknowledgement covers the occurrences that were on the screen when the button was drawn. Every step gives the alarm as it is now and the
transitions to be recorded; times are source times (ns UTC), never a wall clock.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from shinkei_events.identity import digest
from shinkei_events.model.alarm import AlarmState, Cause, Priority, Transition


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An open or closed alarm. ``causes``: all of the current occurrence, ``active_causes``: those that still hold."""

    id: str
    dedup_key: str
    condition: str
    machine: str
    line: str | None
    priority: Priority
    state: AlarmState
    since: int
    text: dict[str, str]
    active_since: int | None = None
    returned_at: int | None = None
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None
    acknowledged_occurrence: int = 0
    shelved_until: int | None = None
    closed_at: int | None = None
    occurrence: int = 1
    revision: int = 0
    causes: tuple[Cause, ...] = ()
    active_causes: tuple[str, ...] = ()

    @property
    def is_active(self) -> bool:
        """The condition holds."""
        return self.state in ("ACTIVE_UNACK", "ACTIVE_ACK")


class Step(NamedTuple):
    """One transition: the alarm after it, and who did it when a person did. ``silent``: only its causes changed, nothing to record."""

    alarm: Alarm
    transition: Transition
    time: int
    actor: str | None = None
    comment: str | None = None
    silent: bool = False


def dedup_key(line: str | None, machine: str, condition: str, component: str = "") -> str:
    """What makes two activations the same alarm: never a value, a time or a text."""
    return digest("alarm", line or "", machine, condition, component)


def activate(alarm: Alarm | None, new: Alarm, cause: Cause, time: int, at: int | None = None) -> list[Step]:
    """The condition is active by ``cause`` since ``time``, which counts from ``at`` on (the end of its on-delay; default: at once).

    ``new`` is the alarm to open when none is. One more reason for what is active already is no transition.
    """
    told = time if at is None else at
    if alarm is None or alarm.closed_at is not None:
        raised = _next(
            new, state="ACTIVE_UNACK", active_since=time, since=time, causes=(cause,), active_causes=(cause.id,)
        )
        return [Step(raised, "raised", told)]
    if cause.id in alarm.active_causes:
        return []
    causes = (*[known for known in alarm.causes if known.id != cause.id], cause)
    if alarm.is_active:
        joined = msgspec.structs.replace(alarm, causes=causes, active_causes=(*alarm.active_causes, cause.id))
        return [Step(joined, "raised_again", told, silent=True)]
    again = _next(alarm, state="ACTIVE_UNACK", active_since=time, returned_at=None, occurrence=alarm.occurrence + 1, causes=(cause,),
                  active_causes=(cause.id,), text=new.text)  # fmt: skip
    return [Step(again, "raised_again", told)]


def deactivate(alarm: Alarm | None, cause_id: str, time: int) -> list[Step]:
    """``cause_id`` does not hold any more; the last one returns the condition to normal, and closes it when it was acknowledged."""
    if alarm is None or alarm.closed_at is not None or cause_id not in alarm.active_causes:
        return []
    left = tuple(known for known in alarm.active_causes if known != cause_id)
    if left:
        return [Step(msgspec.structs.replace(alarm, active_causes=left), "returned", time, silent=True)]
    acknowledged = alarm.state == "ACTIVE_ACK"
    back = _next(alarm, state="NORMAL" if acknowledged else "RTN_UNACK", active_causes=(), returned_at=time)
    steps = [Step(back, "returned", time)]
    return steps + _close(back, time) if acknowledged else steps


def acknowledge(alarm: Alarm | None, occurrence: int, actor: str, time: int, comment: str | None = None) -> list[Step]:
    """A person has seen occurrences up to ``occurrence``; a newer one stays unacknowledged."""
    if (
        alarm is None
        or alarm.closed_at is not None
        or occurrence < alarm.occurrence
        or alarm.state not in ("ACTIVE_UNACK", "RTN_UNACK")
    ):
        return []
    seen: AlarmState = "ACTIVE_ACK" if alarm.is_active else "NORMAL"
    done = _next(alarm, state=seen, acknowledged_at=time, acknowledged_by=actor, acknowledged_occurrence=occurrence)
    steps = [Step(done, "acknowledged", time, actor, comment)]
    return steps + _close(done, time) if seen == "NORMAL" else steps


def shelve(alarm: Alarm | None, until: int, actor: str, time: int, reason: str) -> list[Step]:
    """Put aside until ``until``: it lives on, nobody is paged."""
    if alarm is None or alarm.closed_at is not None or until <= time:
        return []
    return [Step(_next(alarm, shelved_until=until), "shelved", time, actor, reason)]


def unshelve(alarm: Alarm, time: int) -> list[Step]:
    """The shelving ended by itself at ``time``."""
    if alarm.closed_at is not None or alarm.shelved_until is None or time < alarm.shelved_until:
        return []
    return [Step(_next(alarm, shelved_until=None), "unshelved", alarm.shelved_until)]


def alarm_id(key: str, cause: Cause, time: int) -> str:
    """A pure function of what opened it."""
    return digest("alarm", key, cause.kind, cause.id, time)


def _close(alarm: Alarm, time: int) -> list[Step]:
    return [Step(_next(alarm, closed_at=time), "closed", time)]


def _next(alarm: Alarm, **changes: object) -> Alarm:
    return msgspec.structs.replace(alarm, revision=alarm.revision + 1, **changes)
