"""What a person decides on a screen becomes an event through the store's outbox, in one transaction; the relay sends it.

Nothing here changes an alarm: the alarm part does that when it reads the decision.
"""

from __future__ import annotations

import time
from typing import Literal

import psycopg

from shinkei_events.errors import NotConnected
from shinkei_events.model.decision import Acknowledged, Actor, Decision, FeedbackGiven
from shinkei_store.outbox import decide
from shinkei_store.pool import connect
from shinkei_ui.installed import Installed

PART = "ui"
Verdict = Literal["true", "false", "known"]


def acknowledge(
    found: Installed, actor: Actor, alarm: str, occurrence: int, machine: str, comment: str = ""
) -> Decision:
    """``actor`` has seen the occurrences of ``alarm`` up to the one that was on the screen. Raises `NotConnected`."""
    return _decide(
        found,
        Acknowledged(
            id="",
            actor=actor,
            time=time.time_ns(),
            subject=machine,
            comment=comment,
            alarm=alarm,
            occurrence=occurrence,
        ),
    )


def give_feedback(
    found: Installed, actor: Actor, anomaly: str, verdict: Verdict, machine: str, comment: str = ""
) -> Decision:
    """Was the anomaly real (``true``), not (``false``), or known and accepted (``known``)? Raises `NotConnected`."""
    return _decide(
        found,
        FeedbackGiven(
            id="", actor=actor, time=time.time_ns(), subject=machine, comment=comment, anomaly=anomaly, verdict=verdict
        ),
    )


def _decide(found: Installed, decision: Decision) -> Decision:
    try:
        with connect(found.plant, PART) as conn:
            return decide(conn, found.plant.site.id, PART, decision, source=f"ui/{found.plant.site.id}")
    except psycopg.OperationalError as error:
        raise NotConnected(f"the database: {str(error).strip()}") from error
