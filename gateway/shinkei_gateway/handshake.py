"""From "cycle done" to one operation: which values belong to which edge. A pure state machine.

Notifications group values by node, so order across nodes is not time order: only source times count. A value belongs to an edge when
it is not newer than it and newer than the edge before; what names another cycle counter never belongs. Until an edge has all its
values it is pending (and part of the resume state); half of the timeout later (at once for what stands from cycle to cycle) the caller
reads the missing nodes once; at the timeout the operation goes out with them unknown. The same edge seen twice is one edge, and so are
edges closer than ``debounce``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OPERATION = "@operation"
"""The role of the node that holds the whole operation."""
PRODUCT, RESULT = "@product", "@result"
IN, OUT, RESOURCE = "@in.", "@out.", "@resource."
"""How roles of parts (with their place in the list) and of resources (with their name) begin."""
KEPT = 64


class Edge(NamedTuple):
    """When the trigger rose (source time, ns), and the machine's counter if the trigger is one."""

    time: int
    counter: int | None


class Taken(NamedTuple):
    """A value of one node."""

    time: int
    value: Any
    status: int


class Cycle(NamedTuple):
    """A finished edge. ``values``: role to what belongs to it; ``missed``: edges between ``previous`` and this that nobody saw.

    ``since``: where listening was interrupted before it, since when something may be missing (source time, ns); else None.
    """

    edge: Edge
    previous: Edge | None
    values: dict[str, Taken]
    unknown: list[str]
    missed: int
    since: int | None = None


@dataclass(slots=True)
class _Pending:
    edge: Edge
    previous: Edge | None
    since: int
    missed: int
    initial: bool
    floor: int | None = None
    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Handshake:
    """``roles``: `OPERATION`, names of readings, parts, resources. ``timeout``, ``debounce``: ns. ``counter_of``: the counter an operation names.

    What `is_own` of a cycle must have been written for it; other roles may stand unchanged from an earlier one, once they were read.
    """

    name: str
    roles: list[str]
    timeout: int
    counter_of: Callable[[Any], int | None] = lambda _value: None
    debounce: int = 0
    last: Edge | None = None
    bounced: int = 0
    """Edges taken as one with the edge before."""
    _known: bool = False
    _value: Any = None
    _recent: deque[Edge] = field(default_factory=lambda: deque(maxlen=KEPT))
    _pending: deque[_Pending] = field(default_factory=deque)
    _values: dict[str, deque[Taken]] = field(default_factory=dict)

    # ---- what happens ------------------------------------------------------------------------------------------------
    def trigger(self, time: int, value: Any, now: int, since: int | None = None) -> None:
        """The trigger node has ``value``. A number: an edge is another number than before; a flag: an edge is its rise.

        ``since``: see `Cycle`.
        """
        is_counter = isinstance(value, int) and not isinstance(value, bool)
        changed = value != self._value
        initial, self._known, self._value = not self._known, True, value
        if not value or not (changed or initial):
            return
        edge = Edge(time, value if is_counter else None)
        if self.last is not None and (
            edge in self._recent or (edge.time <= self.last.time and edge.counter == self.last.counter)
        ):
            return
        self._recent.append(edge)
        if self.last is not None and 0 <= edge.time - self.last.time < self.debounce:
            self.bounced += 1
            self.last = self.last._replace(counter=edge.counter)  # its count is seen; the edge's time stays
            return
        newest = self.last is None or edge.time >= self.last.time
        self._pending.append(
            _Pending(edge, self.last if newest else None, now, self._missed(edge), initial and self.last is None, since)
        )
        if newest:  # an older edge told late does not take the mark back: the newest, told again, would be another one
            self.last = edge

    def value(self, role: str, time: int, value: Any, status: int) -> None:
        """A node of ``role`` has ``value`` since ``time``."""
        kept = self._values.setdefault(role, deque(maxlen=KEPT))
        if kept and kept[-1].time == time:
            kept.pop()
        kept.append(Taken(time, value, status))

    def disconnected(self) -> None:
        """Values that follow come from a new connection; the first trigger value may be an edge that was missed."""
        self._known = False

    def wait_again(self, now: int) -> None:
        """The machine was away, and what it said meanwhile comes now: unfinished edges wait again from ``now``."""
        for pending in self._pending:
            pending.since = now
            pending.asked.clear()

    # ---- what comes of it ----------------------------------------------------------------------------------------------
    def finished(self, now: int) -> list[Cycle]:
        """Edges that are complete or out of time, in order. ``now``: any monotonic ns."""
        done: list[Cycle] = []
        while self._pending:
            head = self._pending[0]
            found = {role: taken for role in self.roles if (taken := self._belongs(role, head)) is not None}
            missing = [role for role in self.roles if role not in found]
            is_past = head.initial and OPERATION in missing and len(self._pending) > 1
            if missing and not is_past and now - head.since < self.timeout:
                break
            self._pending.popleft()
            if head.initial and OPERATION in missing:
                continue  # the counter of a machine met for the first time: nobody promised what was before
            done.append(Cycle(head.edge, head.previous, found, missing, head.missed, head.floor))
        return done

    def to_read(self, now: int) -> list[str]:
        """Roles to read once, now, because the oldest edge has waited half its time for them, or they stand; tell by `answer`."""
        if not self._pending:
            return []
        head = self._pending[0]
        late = now - head.since >= self.timeout // 2
        asked = [
            role
            for role in self.roles
            if role not in head.asked and (late or is_standing(role)) and self._belongs(role, head) is None
        ]
        head.asked.update(asked)
        return asked

    def answer(self, role: str, time: int, value: Any, status: int) -> None:
        """A node was read: an old reading that the machine has not written again belongs to the edge as well."""
        self.value(role, time, value, status)
        if self._pending:
            self._pending[0].answered.add(role)

    @property
    def is_waiting(self) -> bool:
        """Whether an edge is not finished."""
        return bool(self._pending)

    # ---- over a restart --------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """What must be durable with the values: the last edge and those not finished."""
        pending = [[*p.edge, *(p.previous or (None, None)), p.missed, p.initial, p.floor] for p in self._pending]
        return {"last": list(self.last) if self.last else None, "pending": pending, "value": self._value}

    def restore(self, state: dict[str, Any], now: int) -> None:
        """Go on from `state`; unfinished edges wait again from ``now``."""
        self.last = Edge(*state["last"]) if state.get("last") else None
        self._value = state.get("value")
        self._recent.extend([] if self.last is None else [self.last])
        for time, counter, before, before_counter, missed, initial, *floor in state.get("pending", []):
            previous = Edge(before, before_counter) if before is not None else None
            self._pending.append(_Pending(Edge(time, counter), previous, now, missed, initial, *floor))

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _missed(self, edge: Edge) -> int:
        if self.last is None or edge.counter is None or self.last.counter is None:
            return 0
        return max(0, edge.counter - self.last.counter - 1)

    def _belongs(self, role: str, pending: _Pending) -> Taken | None:
        edge, after = pending.edge, pending.previous.time if pending.previous is not None else -1
        values: list[Taken] = list(self._values.get(role, ()))
        if role == OPERATION and edge.counter is not None:
            for taken in values:
                if self.counter_of(taken.value) == edge.counter and not (pending.initial and taken.time > edge.time):
                    return taken  # a counter met for the first time is no edge: what comes after it belongs to the next
            values = [taken for taken in values if self.counter_of(taken.value) is None]
        best = max((taken for taken in values if taken.time <= edge.time), key=lambda taken: taken.time, default=None)
        if best is None or best.time > after:
            return best
        return best if role in pending.answered and not is_own(role) else None


def is_own(role: str) -> bool:
    """Whether the role says something new in every cycle: the serial number of the cycle before is never this one's."""
    return role == OPERATION or role.startswith((IN, OUT))


def is_standing(role: str) -> bool:
    """Whether the role's value usually stays from cycle to cycle, so that a server does not say it again."""
    return role in (PRODUCT, RESULT) or role.startswith(RESOURCE)
