"""Operations to edges: a pure fold, the same rows whatever the order in which the events came.

Every edge has one *holder*: what it went into – the product of an assembly, a box, a shipment. All that decides an edge are the
operations on its holder, taken in the order of (time, eid), so a late event asks for one holder to be folded again, not for the graph.
`versions` tells in addition from which event to which the record believed a row: that is what ``as_of`` asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shinkei_trace.facts import OperationFact, Part, UnitKey

CONSUMED, PACKED, SHIPPED, RELABELLED, REMOVED = "consumed", "packed", "shipped", "relabelled", "removed"
EDGE_KINDS = (CONSUMED, PACKED, SHIPPED, RELABELLED, REMOVED)
"""In this order they are numbered in the table, from 1."""
TAKING = frozenset({"unpack", "disassemble"})
_KIND_OF = {"pack": PACKED, "ship": SHIPPED, "relabel": RELABELLED}


class Edge(NamedTuple):
    """``src`` was in ``dst`` from ``t_from`` until ``t_to`` (ns UTC, None: still). ``eid``: the operation that says so."""

    src: UnitKey
    dst: UnitKey
    t_from: int
    t_to: int | None
    eid: str
    kind: str
    quantity: float
    certainty: float


class Version(NamedTuple):
    """``edge`` as believed from the event with number ``rec_from`` until the one with ``rec_to`` (None: now)."""

    edge: Edge
    rec_from: int
    rec_to: int | None


def holders(fact: OperationFact) -> tuple[UnitKey, ...]:
    """The holders whose edges ``fact`` decides: what it put things into, or took them out of."""
    parts = fact.inputs if fact.kind in TAKING else fact.outputs
    return tuple(part.key for part in parts)


def put(fact: OperationFact, holder: UnitKey) -> list[Edge]:
    """The edges that ``fact`` opens into ``holder``."""
    return [edge for edge in put_all(fact) if edge.dst == holder]


def put_all(fact: OperationFact) -> Iterator[Edge]:
    """The edges that ``fact`` opens; none for one that takes out."""
    if fact.kind in TAKING:
        return
    kind = _KIND_OF.get(fact.kind, CONSUMED)
    inputs = {part.key for part in fact.inputs}
    pairs = _aligned(fact) if kind == RELABELLED else ((into, part) for into in fact.outputs for part in fact.inputs)
    for into, part in pairs:
        if into.key != part.key and not (kind == CONSUMED and into.key in inputs and part.key in _kept(fact)):
            yield Edge(
                part.key,
                into.key,
                fact.time,
                None,
                fact.eid,
                kind,
                part.quantity,
                round(part.certainty * into.certainty, 6),
            )


def _aligned(fact: OperationFact) -> Iterator[tuple[Part, Part]]:
    """Relabelling pairs old and new names in the order given."""
    yield from zip(fact.outputs, fact.inputs, strict=False)


def _kept(fact: OperationFact) -> frozenset[UnitKey]:
    """Units that are both input and output: they went through side by side and did not go into each other."""
    return frozenset(part.key for part in fact.inputs) & frozenset(part.key for part in fact.outputs)


def fold_holder(holder: UnitKey, facts: Iterable[OperationFact]) -> list[Edge]:
    """All edges of ``holder``, of all its facts (any order; corrected ones and their corrections among them)."""
    known = list(facts)
    replaced = {fact.corrects for fact in known if fact.corrects != fact.eid}
    done: list[Edge] = []
    inside: dict[UnitKey, list[Edge]] = {}
    for fact in sorted((f for f in known if f.eid not in replaced), key=_order):
        if fact.kind in TAKING:
            done += _take(holder, fact, inside)
        else:
            for edge in put(fact, holder):
                inside.setdefault(edge.src, []).append(edge)
    return done + [edge for edges in inside.values() for edge in edges]


def _order(fact: OperationFact) -> tuple[int, str]:
    return fact.time, fact.eid


def _take(holder: UnitKey, fact: OperationFact, inside: dict[UnitKey, list[Edge]]) -> list[Edge]:
    """Close what ``fact`` takes out of ``holder``; an unpacking that names nothing empties it.

    What comes out and was never seen going in: out of a container it was inside at that moment; out of an assembly it comes from it.
    """
    if holder not in (part.key for part in fact.inputs):
        return []
    named = [part for part in fact.outputs if part.key != holder]
    taken = [part.key for part in named] if named or fact.kind == "disassemble" else list(inside)
    closed = [edge._replace(t_to=fact.time) for key in taken for edge in inside.pop(key, ())]
    found = {edge.src for edge in closed}
    return closed + [_unseen(holder, part, fact) for part in named if part.key not in found]


def _unseen(holder: UnitKey, part: Part, fact: OperationFact) -> Edge:
    """The edge of ``part``, which came out of ``holder`` and was never seen going in."""
    sure = round(part.certainty / len(fact.inputs), 6)
    if fact.kind == "unpack":
        return Edge(part.key, holder, fact.time, fact.time, fact.eid, PACKED, part.quantity, sure)
    return Edge(holder, part.key, fact.time, None, fact.eid, REMOVED, part.quantity, sure)


def versions(holder: UnitKey, facts: Iterable[OperationFact]) -> list[Version]:
    """What the record believed of ``holder`` after each of its facts, as rows with recorded times.

    Each fact's content is the first one recorded under its eid; callers pass no repeats. Cost: one fold per fact.
    """
    known = sorted(facts)
    open_rows: dict[Edge, int] = {}
    closed: list[Version] = []
    for at in range(len(known)):
        now = known[at].number
        believed = set(fold_holder(holder, known[: at + 1]))
        closed += [Version(edge, open_rows.pop(edge), now) for edge in [e for e in open_rows if e not in believed]]
        for edge in believed:
            open_rows.setdefault(edge, now)
    return closed + [Version(edge, since, None) for edge, since in open_rows.items()]


def fold(facts: Iterable[OperationFact]) -> list[Edge]:
    """The whole graph as believed now, sorted: the reference that every other way of making it must equal."""
    by_holder: dict[UnitKey, list[OperationFact]] = {}
    known = list(facts)
    target = {fact.eid: fact for fact in known}
    for fact in known:
        concerned = set(holders(fact))
        if fact.corrects in target:
            concerned |= set(holders(target[fact.corrects]))
        for holder in concerned:
            by_holder.setdefault(holder, []).append(fact)
    return sorted({edge for holder, some in by_holder.items() for edge in fold_holder(holder, some)}, key=repr)
