"""Which answer a machine is due after a handshake, and whether it may be written now. A pure state machine.

An answer is due once an operation id: what was begun is never begun again, also not by the next process, because nobody knows whether the
machine had it. Nothing is written that is not on the allow-list, that is too old, or that the machine has stopped waiting for: a later edge
would take it for its own. Each ends with one `Ended`, which becomes an event. Called by `cycles` (what is due) and `answering` (the rest).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from shinkei_events.errors import BadInput
from shinkei_events.identity import operation_id
from shinkei_events.model.operation import Operation
from shinkei_gateway.handshake import Cycle
from shinkei_gateway.offered import Draft
from shinkei_gateway.opcua.settings import Answers, HandshakeNodes, Writable, writable_key

KEPT = 64
"""Operations whose answers ended: an old edge told again is not answered again."""
Outcome = Literal["written", "failed", "unproven", "late", "superseded", "not_allowed"]
_INTEGERS = {2: (8, True), 3: (8, False), 4: (16, True), 5: (16, False), 6: (32, True), 7: (32, False), 8: (64, True), 9: (64, False)}  # fmt: skip
_BOOLEAN, _FLOATS, _STRING = 1, (10, 11), 12
"""Built-in types by their number (Part 6 §5.1.2): bits and sign of SByte 2 to UInt64 9; Float 10, Double 11."""


class Due(NamedTuple):
    """``value`` for ``node`` after the edge of ``handshake`` at source time ``edge`` (ns), given to the spool at ``since`` (our clock, ns)."""

    operation_id: str
    handshake: str
    edge: int
    node: str
    value: Writable
    since: int


class Ended(NamedTuple):
    """What became of an answer."""

    due: Due
    outcome: Outcome
    detail: str = ""


class Now(NamedTuple):
    """``clock``: ns; ``skew``: ns the machine's clock is ahead; ``newest``: source time of the newest edge of a handshake."""

    clock: int
    skew: int
    newest: Callable[[str], int]


def answer_of(handshake: HandshakeNodes, machine: str, cycle: Cycle, item: Draft, received: int) -> Due | None:
    """The answer to a finished cycle that became ``item``: good for an operation with nothing unknown, else bad; None where there is none."""
    answer, edge = handshake.answer, cycle.edge
    if answer is None:
        return None
    is_whole = item.type is Operation and not item.fields["unknown"]
    value = answer.good if is_whole else answer.bad
    if value is None:
        return None
    operation = operation_id(machine, handshake.name, edge.time, edge.counter)
    return Due(operation, handshake.name, edge.time, answer.node, value, received)


def fitting(value: Writable, type_: int) -> Writable:
    """``value`` for a node of the built-in type ``type_``; raises `BadInput` when it would become another one there."""
    if type_ == _BOOLEAN and isinstance(value, bool):
        return value
    if type_ == _STRING and isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if type_ in _FLOATS:
            return float(value)
        if type_ in _INTEGERS and isinstance(value, int):
            bits, signed = _INTEGERS[type_]
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
            if low <= value <= high:
                return value
    raise BadInput(f"{value!r} does not fit the node, whose built-in type is {type_}: correct the allow-list")


class Open:
    """The answers of one source that are not ended. ``settings`` None: nothing may be written. ``stored``: what `state` gave before."""

    def __init__(self, settings: Answers | None, stored: dict[str, Any] | None = None) -> None:
        nodes = settings.nodes if settings is not None else []
        self._allowed = {writable_key(one.node, value) for one in nodes for value in one.values}
        self._within = int(settings.within * 1e9) if settings is not None else 0
        known = stored or {}
        self._due = {raw[0]: Due(*raw) for raw in known.get("due", [])}
        self._begun: set[str] = set(known.get("begun", []))
        self._ended: dict[str, None] = dict.fromkeys(known.get("ended", []))

    def __len__(self) -> int:
        return len(self._due)

    def add(self, due: list[Due]) -> list[Due]:
        """Those that are new: an operation told twice is answered once."""
        new = [one for one in due if one.operation_id not in self._ended and one.operation_id not in self._due]
        self._due |= {one.operation_id: one for one in new}
        return new

    def first(self, ready: Callable[[str], bool]) -> Due | None:
        """The oldest that may be begun. ``ready``: whether an operation is durable."""
        return next((due for due in self._due.values() if due.operation_id not in self._begun and ready(due.operation_id)), None)  # fmt: skip

    def begin(self, due: Due) -> None:
        """It is about to be written: when this is durable it may be, once."""
        self._begun.add(due.operation_id)

    def judge(self, due: Due, now: Now) -> Ended | None:
        """Why ``due`` must not be written ``now``, or None."""
        if writable_key(due.node, due.value) not in self._allowed:
            return Ended(due, "not_allowed", "the allow-list has no such node and value")
        if now.newest(due.handshake) not in (
            0,
            due.edge,
        ):  # also an older one: the machine's clock may have been set back
            return Ended(due, "superseded", "the machine has raised a later edge")
        age = max(now.clock - due.since, now.clock - (due.edge - now.skew))
        if age > self._within:
            return Ended(due, "late", f"{age / 1e9:.1f} s after the edge, {self._within / 1e9:g} s are allowed")
        return None

    def hopeless(self, now: Now) -> list[Ended]:
        """Those that will not be written; those begun by a connection or a process that is gone may have been. Call it when none is under way."""
        unproven = "it was begun, and the connection or the gateway ended before the machine's answer"
        judged = [
            Ended(due, "unproven", unproven) if due.operation_id in self._begun else self.judge(due, now)
            for due in self._due.values()
        ]
        return [one for one in judged if one is not None]

    def end(self, due: Due) -> None:
        """Its event is given to the spool together with `state`."""
        self._due.pop(due.operation_id)
        self._begun.discard(due.operation_id)
        self._ended[due.operation_id] = None
        while len(self._ended) > KEPT:
            self._ended.pop(next(iter(self._ended)))

    def state(self) -> dict[str, Any]:
        """What must be durable with the operations and before a write; empty when there is nothing."""
        if not self._due and not self._ended:
            return {}
        return {"due": [list(due) for due in self._due.values()], "begun": sorted(self._begun), "ended": dict(self._ended)}  # fmt: skip
