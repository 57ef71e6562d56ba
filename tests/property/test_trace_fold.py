"""The lineage's folds: any order gives the same rows, what was believed then is the fold of what was known then, and both ways agree."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from shinkei_events.model.numbered import Numbered
from shinkei_trace import closure, fold, slots
from shinkei_trace.facts import Fact, OperationFact, SetupFact, fact_of
from shinkei_trace.query.walk import ENDLESS, Label, Neighbour, walk
from tests.support.lineage import some_operations

seeds = st.integers(0, 10**9)


def facts_of(events: Iterable[Numbered]) -> list[Fact]:
    return [fact for number, event in enumerate(events, 1) if (fact := fact_of(number, event)) is not None]


def operations(seed: int) -> list[OperationFact]:
    return [fact for fact in facts_of(some_operations(random.Random(seed))) if isinstance(fact, OperationFact)]


def renumbered(facts: list[OperationFact]) -> list[OperationFact]:
    return [fact._replace(number=number) for number, fact in enumerate(facts, 1)]


@settings(max_examples=150)
@given(seeds, st.randoms(use_true_random=False))
def test_any_shuffle_gives_the_same_edges(seed: int, rng: random.Random) -> None:
    facts = operations(seed)
    shuffled = list(facts)
    rng.shuffle(shuffled)
    assert fold.fold(renumbered(shuffled)) == fold.fold(facts) != []


@settings(max_examples=100)
@given(seeds)
def test_belief_at_a_number_is_the_fold_of_what_was_known(seed: int) -> None:
    facts = renumbered(operations(seed))
    everywhere: dict[object, list[OperationFact]] = {}
    eids = {fact.eid: fact for fact in facts}
    for fact in facts:
        for holder in {*fold.holders(fact), *(fold.holders(eids[fact.corrects]) if fact.corrects in eids else ())}:
            everywhere.setdefault(holder, []).append(fact)
    rows = [version for holder, some in everywhere.items() for version in fold.versions(holder, some)]  # type: ignore[arg-type]
    for number in {1, len(facts) // 2, len(facts)}:
        believed = {row.edge for row in rows if row.rec_from <= number and (row.rec_to is None or row.rec_to > number)}
        assert believed == set(fold.fold(facts[:number]))


@settings(max_examples=150)
@given(seeds, st.randoms(use_true_random=False))
def test_setup_intervals_do_not_depend_on_order_or_on_how_they_were_made(seed: int, rng: random.Random) -> None:
    facts = [fact for fact in facts_of(some_operations(random.Random(seed), 80)) if isinstance(fact, SetupFact)]
    facts = list({fact.eid: fact for fact in facts}.values())
    intervals = sorted(slots.fold_slot(facts))
    rng.shuffle(facts)
    assert sorted(slots.fold_slot(facts)) == intervals
    arrived = [fact._replace(number=number) for number, fact in enumerate(facts, 1)]
    now = [version.interval for version in slots.slot_versions(arrived) if version.rec_to is None]
    assert sorted(set(now)) == sorted(set(intervals))
    for one in intervals:
        assert one.t_to is None or one.t_from <= one.t_to
        assert 0 < one.certainty <= 1


@settings(max_examples=150)
@given(seeds)
def test_forward_and_backward_are_each_others_inverse(seed: int) -> None:
    """With no time in the way: a is reached forward from b exactly when b is reached backward from a, equally surely."""
    rows = fold.fold(operations(seed))
    ids = {key: number for number, key in enumerate(sorted({key for edge in rows for key in edge[:2]}))}
    plain = [(ids[edge.src], ids[edge.dst], edge) for edge in rows if edge.kind != fold.RELABELLED]

    def neighbours(near: set[int], forward: bool) -> list[Neighbour]:
        found = [(src, dst, edge) for src, dst, edge in plain if (src if forward else dst) in near]
        return [
            Neighbour(src, dst, 0, None, edge.eid, "packed", edge.certainty, (edge.dst if forward else edge.src).type, "", None, False)
            for src, dst, edge in found
        ]  # fmt: skip

    def reached(start: int, forward: bool) -> dict[int, float]:
        label = Label(0, 1.0, -ENDLESS, ENDLESS, None, None, "serial", "", None, False)
        found = walk({start: label}, lambda units: neighbours(set(units), forward), forward=forward)
        return {id: label.certainty for id, label in found.labels.items()}

    down = {(a, b): sure for a in ids.values() for b, sure in reached(a, True).items()}
    up = {(a, b): sure for b in ids.values() for a, sure in reached(b, False).items()}
    assert down.keys() == up.keys()
    assert all(abs(down[pair] - up[pair]) < 1e-5 for pair in down)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from([1.0, 0.5, 0.25])), max_size=30))
def test_ancestors_are_what_is_below_by_the_surest_path(edges: list[tuple[int, int, float]]) -> None:
    def parents(units: list[int]) -> list[tuple[int, int, float]]:
        return [(dst, src, sure) for src, dst, sure in edges if dst in units]

    best = {(good, good): 1.0 for good in range(9)}
    for _ in range(10):
        for src, dst, sure in edges:
            for good in range(9):
                if src != good:
                    best[src, good] = max(best.get((src, good), 0.0), best.get((dst, good), 0.0) * sure)
    wanted = {pair: sure for pair, sure in best.items() if pair[0] != pair[1] and sure > 0}
    assert closure.ancestors(range(9), parents) == {
        pair: round(sure, 6) for pair, sure in wanted.items() if round(sure, 6) > 0
    }
