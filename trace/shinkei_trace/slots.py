"""What was mounted when: setup changes of one slot folded to intervals. Pure.

A clear change ends one interval and begins the next. A change that nobody saw exactly keeps both candidates in the doubtful span, each
with its certainty; several units mounted at one moment with certainty below 1 are candidates side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shinkei_trace.facts import SetupFact, UnitKey


class Interval(NamedTuple):
    """``unit`` was mounted in ``slot`` of ``machine`` from ``t_from`` until ``t_to`` (ns UTC, None: still), as far as known."""

    machine: str
    slot: str
    unit: UnitKey
    t_from: int
    t_to: int | None
    eid: str
    certainty: float


class IntervalVersion(NamedTuple):
    """``interval`` as believed from event ``rec_from`` until ``rec_to`` (None: now)."""

    interval: Interval
    rec_from: int
    rec_to: int | None


def order(fact: SetupFact) -> tuple[int, bool, str]:
    """Facts by time; at one moment what is unmounted goes before what is mounted."""
    return fact.time, fact.action == "mounted", fact.eid


def step(mounted: list[Interval], fact: SetupFact) -> tuple[list[Interval], list[Interval]]:
    """Intervals that end with ``fact``, and what is mounted after it. ``mounted``: open intervals before it."""
    if fact.action == "unmounted":
        leaving = [one for one in mounted if one.unit == fact.unit]
        ended = [part for one in leaving for part in _end(one, fact)]
        return ended, [one for one in mounted if one.unit != fact.unit]
    if fact.certainty >= 1.0 and [one.unit for one in mounted] == [fact.unit] and mounted[0].certainty >= 1.0:
        return [], mounted  # told again
    beside = fact.certainty < 1.0 and fact.begin == fact.end
    leaving = [one for one in mounted if not (beside and one.certainty < 1.0 and one.t_from == fact.time)]
    ended = [part for one in leaving for part in _end(one, fact)]
    staying = [one for one in mounted if one not in leaving]
    if fact.begin < fact.end:
        ended.append(Interval(fact.machine, fact.slot, fact.unit, fact.begin, fact.end, fact.eid, fact.certainty))
        return ended, [*staying, Interval(fact.machine, fact.slot, fact.unit, fact.end, None, fact.eid, 1.0)]
    return ended, [*staying, Interval(fact.machine, fact.slot, fact.unit, fact.time, None, fact.eid, fact.certainty)]


def _end(one: Interval, fact: SetupFact) -> list[Interval]:
    """``one`` until the change: surely before the doubtful span, perhaps within it."""
    if fact.begin == fact.end:
        return [one._replace(t_to=max(one.t_from, fact.time))]
    begin, end = max(one.t_from, fact.begin), max(one.t_from, fact.end)
    sure = [one._replace(t_to=begin)] if begin > one.t_from else []
    left = round(min(one.certainty, fact.certainty if fact.action == "unmounted" else 1.0 - fact.certainty), 6)
    return [*sure, one._replace(t_from=begin, t_to=end, certainty=left)] if end > begin else sure


def fold_slot(facts: Iterable[SetupFact]) -> list[Interval]:
    """All intervals of one slot, of all its facts in any order."""
    done: list[Interval] = []
    mounted: list[Interval] = []
    for fact in sorted(facts, key=order):
        ended, mounted = step(mounted, fact)
        done += ended
    return done + mounted


def slot_versions(facts: Iterable[SetupFact], before: dict[Interval, int] | None = None) -> list[IntervalVersion]:
    """What the record believed of one slot after each of its facts, in the order of their numbers.

    ``before``: open intervals with their ``rec_from``, when ``facts`` are only those after them, each later than all before it.
    Cost: one step for a fact that is the latest, a fold otherwise.
    """
    believed: dict[Interval, int] = dict(before or {})
    mounted = list(believed)
    closed: list[IntervalVersion] = []
    done: list[Interval] = []
    known: list[SetupFact] = []
    for fact in sorted(facts):
        late = bool(known) and order(fact) < order(known[-1])
        known.append(fact)
        if late:
            known.sort(key=order)
            done, mounted = [], []
        for one in known if late else [fact]:
            ended, mounted = step(mounted, one)
            done += ended
        now = {*done, *mounted}
        gone = [row for row in believed if row not in now]
        closed += [IntervalVersion(row, believed.pop(row), fact.number) for row in gone]
        for row in now:
            believed.setdefault(row, fact.number)
    return closed + [IntervalVersion(row, since, None) for row, since in believed.items()]
