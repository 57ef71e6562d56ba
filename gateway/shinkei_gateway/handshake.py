"""From "cycle done" to one operation: which values belong to which edge. A pure state machine.

Notifications group values by node, so order across nodes is not time order: only source times count. A value belongs to an edge when
it is not newer than it and newer than the edge before; what names another cycle counter never belongs. Until an edge has all its
values it is pending (and part of the resume state); half of the timeout later (at once for what stands from cycle to cycle) the caller
reads the missing nodes once; at the timeout the operation goes out with them unknown. The same edge seen twice is one edge, and so are
edges closer than ``debounce``. An edge older than the last one is the first since the machine's clock was set back, unless a server tells
its queue after the newest value, as some do when listening begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shinkei_gateway.said import KEPT, NEVER, Found, Said, Taken, Window, newest

OPERATION = "@operation"
"""The role of the node that holds the whole operation."""
PRODUCT, RESULT = "@product", "@result"
IN, OUT, RESOURCE = "@in.", "@out.", "@resource."
"""How roles of parts (with their place in the list) and of resources (with their name) begin."""
REPLAY_NS = 10_000_000_000
"""After listening began anew, older edges may be told after the newest one for so long (by our clock)."""


class Edge(NamedTuple):
    """When the trigger rose (source time, ns), and the machine's counter if the trigger is one."""

    time: int
    counter: int | None


class Cycle(NamedTuple):
    """A finished edge. ``values``: role to what belongs to it; ``missed``: edges between ``previous`` and this that nobody saw.

    ``since``: where listening was interrupted before it, since when something may be missing (source time, ns); else None.
    ``set_back_from``: source time of the edge before it (which is no ``previous`` then) when the machine's clock was set back between them.
    """

    edge: Edge
    previous: Edge | None
    values: dict[str, Taken]
    unknown: list[str]
    missed: int
    since: int | None = None
    set_back_from: int | None = None
    torn: list[str] = []
    """Those of ``unknown`` that may be of the cycle before or after."""


@dataclass(slots=True)
class _Pending:
    """``late``: source time of the edge before one that was told after a newer one."""

    edge: Edge
    previous: Edge | None
    since: int
    missed: int
    initial: bool
    floor: int | None = None
    set_back_from: int | None = None
    late: int | None = None
    heard: dict[str, int] | None = None
    """Of a first edge after the clock was set back: the newest value of each role that was told before it; None once they are parted."""
    asked: set[str] = field(default_factory=set)
    answers: dict[str, Taken] = field(default_factory=dict)

    @property
    def after(self) -> int:
        """Source time of the edge before."""
        return self.late if self.late is not None else self.previous.time if self.previous is not None else NEVER


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
    lag: int = 0
    """A value may be stamped so long after its edge (ns): servers that sample stamp one node after the other."""
    is_sure: bool = True
    """Whether the machine writes nothing of the next cycle within ``lag``; else what may be either's is unknown."""
    settle: int = 0
    """So long after an edge (our clock, ns) everything stamped up to twice ``lag`` after it has come."""
    last: Edge | None = None
    bounced: int = 0
    """Edges taken as one with the edge before."""
    _known: bool = False
    _value: Any = None
    _recent: deque[Edge] = field(default_factory=lambda: deque(maxlen=KEPT))
    _pending: deque[_Pending] = field(default_factory=deque)
    _said: dict[str, Said] = field(default_factory=dict)
    _heard: tuple[int, int] | None = None
    """Of the trigger since listening began: the newest source time, and when (our clock) the first value came."""

    # ---- what happens ------------------------------------------------------------------------------------------------
    def trigger(self, time: int, value: Any, now: int, since: int | None = None) -> None:
        """The trigger node has ``value``. A number: an edge is another number than before; a flag: an edge is its rise.

        ``since``: see `Cycle`.
        """
        is_counter = isinstance(value, int) and not isinstance(value, bool)
        changed = value != self._value
        initial, self._known, self._value = not self._known, True, value
        heard, last = self._heard, self.last
        self._heard = (time, now) if heard is None else (max(heard[0], time), heard[1])
        if not value or not (changed or initial):
            return
        edge = Edge(time, value if is_counter else None)
        if last is not None and (
            edge in self._recent or (is_counter and edge.time <= last.time and edge.counter == last.counter)
        ):
            return
        is_late = last is not None and edge.time < last.time and _is_late(edge, last, heard, now)
        before = max((seen.time for seen in self._recent if seen.time < edge.time), default=NEVER)
        self._recent.append(edge)
        if last is not None and 0 <= edge.time - last.time < self.debounce:
            self.bounced += 1
            self.last = last._replace(counter=edge.counter)  # its count is seen; the edge's time stays
            return
        pending = _Pending(edge, last, now, self._missed(edge), initial and last is None, since)
        if is_late:
            pending.previous, pending.late = None, before
        elif last is not None and edge.time < last.time:
            pending.previous, pending.set_back_from = None, last.time
            pending.heard = {role: said.told[-1].time for role, said in self._said.items() if said.told}
        self._pending.append(pending)
        if not is_late:  # that one does not take the mark back: the newest, told again, would be another one
            self.last = edge

    def value(self, role: str, time: int, value: Any, status: int) -> None:
        """A node of ``role`` has ``value`` since ``time``."""
        self._said.setdefault(role, Said()).add(Taken(time, value, status))

    def disconnected(self) -> None:
        """Values that follow come from a new connection; the first trigger value may be an edge that was missed."""
        self._known, self._heard = False, None
        for said in self._said.values():
            said.first = None

    def wait_again(self, now: int) -> None:
        """The machine was away, and what it said meanwhile comes now: unfinished edges wait again from ``now``."""
        self._heard = None
        for pending in self._pending:
            pending.since = now
            pending.asked.clear()

    # ---- what comes of it ----------------------------------------------------------------------------------------------
    def finished(self, now: int) -> list[Cycle]:
        """Edges that are complete or out of time, in order. ``now``: any monotonic ns."""
        done: list[Cycle] = []
        while self._pending:
            head = self._head()
            chosen = {role: self._belongs(role, head) for role in self.roles}
            found = {role: one.taken for role, one in chosen.items() if one.taken is not None}
            missing = [role for role in self.roles if role not in found]
            is_past = head.initial and OPERATION in missing and len(self._pending) > 1
            is_open = bool(missing) or (now - head.since < self.settle and not all(one.firm for one in chosen.values()))
            if is_open and not is_past and now - head.since < self.timeout:
                break
            self._pending.popleft()
            self._speak_for(head, found)
            if head.initial and OPERATION in missing:
                continue  # the counter of a machine met for the first time: nobody promised what was before
            torn = [role for role in missing if chosen[role].torn]
            done.append(
                Cycle(head.edge, head.previous, found, missing, head.missed, head.floor, head.set_back_from, torn)
            )
        return done

    def to_read(self, now: int) -> list[str]:
        """Roles to read once, now, because the oldest edge has waited half its time for them, or they stand; tell by `answer`."""
        if not self._pending:
            return []
        head = self._head()
        late = now - head.since >= self.timeout // 2
        asked = [
            role
            for role in self.roles
            if role not in head.asked and (late or is_standing(role)) and self._belongs(role, head).taken is None
        ]
        head.asked.update(asked)
        return asked

    def answer(self, role: str, time: int, value: Any, status: int) -> None:
        """A node was read: an old reading that the machine has not written again belongs to the edge as well."""
        if not self._pending or time <= self._pending[0].edge.time:
            self.value(role, time, value, status)
        if self._pending:
            self._pending[0].answers[role] = Taken(time, value, status)

    def is_open(self, role: str, time: int) -> bool:
        """Whether the value of ``role`` of then may belong to an edge that is not finished or not seen yet."""
        return role in self._said and self._said[role].is_open(time)

    @property
    def is_waiting(self) -> bool:
        """Whether an edge is not finished."""
        return bool(self._pending)

    # ---- over a restart --------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """What must be durable with the values: the last edge and those not finished."""
        pending = [
            [*p.edge, *(p.previous or (None, None)), p.missed, p.initial, p.floor, p.set_back_from, p.late]
            for p in self._pending
        ]
        state = {"last": list(self.last) if self.last else None, "pending": pending, "value": self._value}
        if self.lag:
            state["spoken"] = {
                role: [said.floor, said.doubt] for role, said in self._said.items() if role in self.roles
            }
        return state

    def restore(self, state: dict[str, Any], now: int) -> None:
        """Go on from `state`; unfinished edges wait again from ``now``."""
        self.last = Edge(*state["last"]) if state.get("last") else None
        self._value = state.get("value")
        self._recent.extend([] if self.last is None else [self.last])
        for role, (floor, doubt) in state.get("spoken", {}).items():
            said = self._said.setdefault(role, Said())
            said.floor, said.doubt = floor, doubt
        for time, counter, before, before_counter, missed, initial, *more in state.get("pending", []):
            previous = Edge(before, before_counter) if before is not None else None
            self._pending.append(_Pending(Edge(time, counter), previous, now, missed, initial, *more))
            self._pending[-1].heard = {}

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _missed(self, edge: Edge) -> int:
        if self.last is None or edge.counter is None or self.last.counter is None:
            return 0
        return max(0, edge.counter - self.last.counter - 1)

    def _head(self) -> _Pending:
        """The oldest edge that is not finished."""
        head = self._pending[0]
        for role, said in self._said.items() if head.set_back_from is not None else ():
            if head.heard is not None:
                said.set_back(head.set_back_from or 0, head.edge.time, head.heard.get(role))
            elif len(self._pending) == 1 or self._pending[1].set_back_from is None:
                said.step()
        head.heard = None
        return head

    def _speak_for(self, head: _Pending, found: dict[str, Taken]) -> None:
        for role in self.roles if head.late is None else ():
            said = self._said.setdefault(role, Said())
            said.spoken(head.edge.time, self.lag, found.get(role), is_sure=self.is_sure)

    def _window(self, role: str, pending: _Pending) -> Window:
        """``pending`` is the oldest."""
        later = self._pending[1] if len(self._pending) > 1 else None
        until = later.edge.time if later is not None and later.edge.time > pending.edge.time else None
        is_exact = (
            pending.initial or pending.late is not None
        )  # the edge is the machine's count when it was met, or long past
        lag = 0 if is_exact else self.lag
        is_reading = not is_own(role) and not is_standing(role)
        return Window(
            pending.after,
            pending.edge.time,
            until,
            lag,
            self.is_sure or not lag,
            role.startswith((IN, OUT)),
            is_reading,
        )

    def _belongs(self, role: str, pending: _Pending) -> Found:
        edge, said = pending.edge, self._said.get(role, _NOTHING)
        back = next((one for one in self._pending if one.set_back_from is not None and one is not pending), None)
        values = said.before_step() if back is not None else list(said.told)
        if role == OPERATION and edge.counter is not None:
            for taken in values:
                if self.counter_of(taken.value) == edge.counter and not (pending.initial and taken.time > edge.time):
                    return Found(
                        taken
                    )  # a counter met for the first time is no edge: what comes after it belongs to the next
            values = [taken for taken in values if self.counter_of(taken.value) is None]
        window = self._window(role, pending)
        found = (said if pending.late is None else _NOTHING).choose(values, window)
        if back is not None and not said.is_stepping and _is_doubtful(found.taken, back, role, window.lag):
            return Found(None, firm=False, torn=True)
        if found.torn or is_own(role):
            return found
        stood = newest([taken for taken in values if taken.time <= edge.time])
        if found.taken is None:
            if back is not None and not said.is_stepping and _is_doubtful(stood, back, role, window.lag):
                return Found(None, firm=False, torn=True)
            return Found(_stands(said, stood, pending.answers.get(role), edge.time), firm=not window.lag)
        is_change = role != RESULT and is_standing(role) and found.taken.time > edge.time
        if is_change and not window.is_sure and stood is not None and stood.value != found.taken.value:
            return Found(None, firm=False, torn=True)  # mounted for this cycle, or already for the next
        return found


_NOTHING = Said()


def _is_doubtful(taken: Taken | None, back: _Pending, role: str, lag: int) -> bool:
    """Whether a value may have been said before the clock was set back, for the edge ``back``, or after it."""
    heard = (back.heard or {}).get(role)
    return taken is not None and (taken.time <= back.edge.time + lag or heard is None or taken.time > heard)


def _stands(said: Said, best: Taken | None, read: Taken | None, edge: int) -> Taken | None:
    """What stands from an earlier cycle, once it was read: a server that stamps reads says it anew, but says what it said last."""
    if read is None or read.time <= edge:
        return None if read is None else best
    last = said.stands(edge)
    return last if last is not None and last.value == read.value else None


def _is_late(edge: Edge, last: Edge, heard: tuple[int, int] | None, now: int) -> bool:
    """Whether an edge older than ``last`` is one from the queue of a server that told the newest first, and not after a clock was set back."""
    if edge.counter is not None and last.counter is not None and edge.counter > last.counter:
        return False
    return heard is not None and edge.time < heard[0] and now - heard[1] < REPLAY_NS


def is_own(role: str) -> bool:
    """Whether the role says something new in every cycle: the serial number of the cycle before is never this one's."""
    return role == OPERATION or role.startswith((IN, OUT))


def is_standing(role: str) -> bool:
    """Whether the role's value usually stays from cycle to cycle, so that a server does not say it again."""
    return role in (PRODUCT, RESULT) or role.startswith(RESOURCE)
