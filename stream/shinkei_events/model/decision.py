"""What people decide. An actor is a pseudonym and how it was proved; names live in one table that can be emptied."""

from __future__ import annotations

from typing import Literal

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """A pseudonym and its proof."""

    id: str
    proof: Literal["login", "link", "badge", "cli", "none"]


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base: ``id`` is ``site/part/number``; ``subject`` the thing decided about (Kafka key); ``time`` ns UTC."""

    id: str
    actor: Actor
    time: int
    subject: str
    comment: str = ""


class Acknowledged(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """An alarm was seen. Covers occurrences up to ``occurrence``, which was on the screen when the button was drawn."""

    alarm: str
    occurrence: int


class Shelved(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """An alarm is put aside until ``until`` (ns UTC), with a reason; ``one_shot``: until it returns to normal."""

    alarm: str
    until: int
    reason: str
    one_shot: bool = False


class FeedbackGiven(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """Was the anomaly real (true), not (false), or known and accepted (known)?"""

    anomaly: str
    verdict: Literal["true", "false", "known"]


class StopReasonGiven(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """The stop of ``machine`` that began at ``began`` (ns UTC) had this reason."""

    machine: str
    began: int
    reason: str


class Held(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """Units must not go on: blocked for ``reason``, within ``case`` if there is one."""

    units: list[str]
    reason: str
    case: str | None = None


class Released(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """Units may go on; ``disposition`` is what became of them."""

    units: list[str]
    disposition: Literal["use_as_is", "rework", "scrap", "return_to_supplier"]
    case: str | None = None
    holds: list[str] = []


class LimitsFrozen(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """Control limits of a characteristic's chart hold from ``valid_from`` (ns UTC)."""

    characteristic: str
    product: str | None
    centre: float
    lower: float
    upper: float
    valid_from: int


class Noted(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """A note on anything."""

    text: str


class CauseAndRemedyGiven(Decision, frozen=True, kw_only=True, omit_defaults=True):
    """At closing: what it was and what was done."""

    alarm: str
    cause: str
    remedy: str
