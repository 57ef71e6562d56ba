"""The life of an alarm after ISA-18.2 / IEC 62682 and OPC UA Part 9."""

from __future__ import annotations

from typing import Literal

import msgspec

AlarmState = Literal["NORMAL", "ACTIVE_UNACK", "ACTIVE_ACK", "RTN_UNACK", "LATCHED_RTN"]
Transition = Literal[
    "raised", "raised_again", "acknowledged", "returned", "closed", "shelved", "unshelved", "suppressed", "unsuppressed",
    "out_of_service", "in_service", "chattering", "chattering_ended", "priority_changed",
]  # fmt: skip
Priority = Literal["P1", "P2", "P3"]


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """What led to the alarm: an anomaly, a machine's state, a gap … by id."""

    kind: Literal["anomaly", "state", "gap", "spc", "gateway", "test"]
    id: str


class AlarmChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transition. ``id`` belongs to the alarm from raised to closed; ``dedup_key`` to its condition for ever.

    ``revision`` counts the alarm's transitions, ``occurrence`` how often it became active. ``text`` is in the languages of the plant
    (``{"ja": …, "en": …}``). ``time``: ns UTC of what caused the transition, ``actor``: who, for people's transitions.
    """

    id: str
    revision: int
    dedup_key: str
    condition: str
    machine: str
    line: str | None
    state: AlarmState
    transition: Transition
    priority: Priority
    occurrence: int
    time: int
    since: int
    causes: list[Cause] = []
    text: dict[str, str] = {}
    actor: str | None = None
    comment: str | None = None
    until: int | None = None
