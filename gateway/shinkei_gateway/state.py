"""A machine's state told by several nodes (state, reason, product, recipe, tool), as changes of one thing. Pure.

Companions that change within `TOGETHER_NS` of a new state belong to it: controllers write them one after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

from shinkei_events.errors import BadField
from shinkei_events.model.machine import State
from shinkei_gateway.machine_json import StateSaid
from shinkei_gateway.source_time import LATEST_NS

TOGETHER_NS = 50_000_000
COMPANIONS = ("reason", "product", "recipe", "tool")
STATES = frozenset(get_args(State))


class Change(NamedTuple):
    """``role`` (``state`` or one of `COMPANIONS`) has ``value`` since ``time``."""

    role: str
    time: int
    value: Any


class MachineState:
    """``mapping``: a plant's own code (as text) to a PackML state."""

    def __init__(self, mapping: dict[str, State]) -> None:
        self._mapping = mapping
        self._now: dict[str, str | None] = {}
        self._told: dict[str, str | None] | None = None
        self._told_time = 0

    def take(
        self, changes: list[Change], newest: int, received: int = 0
    ) -> tuple[list[StateSaid], list[tuple[Change, BadField]]]:
        """States to tell, in time order, and changes that could not be understood.

        ``newest``: the newest source time of the message; a state that is told again after the machine was lost holds from then on, or,
        where all of the machine's values are older than the loss, from when it was ``received``: in between nobody knew it.
        """
        bad: list[tuple[Change, BadField]] = []
        moments: list[tuple[int, dict[str, str | None]]] = []
        for change in sorted(changes, key=lambda c: (c.time, c.role != "state")):
            if change.role == "state":
                try:
                    moments.append((change.time, self._state(change.value)))
                except BadField as error:
                    bad.append((change, error))
        for change in sorted(changes, key=lambda c: c.time):
            if change.role != "state":
                self._attach(change, moments)
        return [
            said
            for time, fields in sorted(moments, key=lambda m: m[0])
            if (said := self._tell(time, fields, newest if newest > self._told_time else max(newest, received)))
        ], bad

    def lost(self, time: int) -> bool:
        """The machine's state is unknown from ``time`` on; whatever comes next is told again. False when nothing was known."""
        if self._told is None:
            return False
        self._told, self._told_time = None, time
        return True

    def clock_set(self, time: int) -> None:
        """The machine's clock was set, to ``time``: what was told later than that was told by the clock before."""
        if self._told is not None:
            self._told_time = min(self._told_time, time)

    def back(self, newest: int) -> StateSaid | None:
        """The machine goes on as if it had never been lost: its last state, from ``newest`` on; None when nothing has to be told."""
        return self._tell(0, {}, newest) if self._told is None else None

    def state(self) -> dict[str, Any]:
        """For the resume state."""
        return {
            "now": dict(self._now),
            "told": None if self._told is None else dict(self._told),
            "time": self._told_time,
        }

    def restore(self, state: dict[str, Any], now: int | None = None) -> None:
        """Go on from `state`; ``now``: ns UTC, what it says of later times is not believed (None: it is)."""
        self._now, self._told, self._told_time = dict(state["now"]), state["told"], state["time"]
        if now is not None and self._told_time > now + LATEST_NS:
            self._told_time = now

    def _state(self, value: Any) -> dict[str, str | None]:
        text = str(value).strip()
        if text in self._mapping:
            return {"state": self._mapping[text], "code": text}
        if text.upper() in STATES:
            return {"state": text.upper(), "code": None}
        raise BadField("$.state", value, "a PackML state, or a code that the source's state.map knows")

    def _attach(self, change: Change, moments: list[tuple[int, dict[str, str | None]]]) -> None:
        value = None if change.value is None or change.value == "" else str(change.value)
        near = [moment for moment in moments if abs(moment[0] - change.time) <= TOGETHER_NS and "state" in moment[1]]
        if near:
            min(near, key=lambda moment: abs(moment[0] - change.time))[1][change.role] = value
        else:
            moments.append((change.time, {change.role: value}))

    def _tell(self, time: int, fields: dict[str, str | None], newest: int) -> StateSaid | None:
        self._now |= fields
        if self._now.get("state") is None or (self._told is not None and _said(self._now) == _said(self._told)):
            return None
        if self._told is None and time <= self._told_time:
            time = newest
        elif "state" not in fields:
            time = max(time, self._told_time)  # the state that it belongs to holds since then only
        # A time that is not of now is told as it came, and says nothing of what comes after it.
        self._told, self._told_time = dict(self._now), min(time, newest)
        now = self._now
        return StateSaid(
            state=now["state"], ts=time, reason=now.get("reason"), product=now.get("product"),  # type: ignore[arg-type]
            recipe=now.get("recipe"), tool=now.get("tool"), code=now.get("code"),
        )  # fmt: skip


def _said(fields: dict[str, str | None]) -> dict[str, str]:
    """What is known; a companion that is empty says no more than one that was never heard of."""
    return {role: value for role, value in fields.items() if value is not None}
