"""What every part of a detector must survive: River's own checks of estimators, and what an endless stream does to one."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from river import base
from river.checks import common

from shinkei_detect.parts.joint import JointView
from shinkei_detect.parts.level import LevelMonitor
from shinkei_detect.parts.stillness import Stillness
from shinkei_detect.pipeline import ScoreThenLearn

Sample = dict[str, float]

PARTS: dict[str, Callable[[], base.AnomalyDetector]] = {
    "level": lambda: LevelMonitor(warm_up=30, settle=10),
    "joint": lambda: JointView(warm_up=30),
    "stillness": Stillness,
}


def pipeline() -> ScoreThenLearn:
    return ScoreThenLearn(("level", LevelMonitor(warm_up=30)), ("joint", JointView(warm_up=60)))


EVERYTHING: dict[str, Callable[[], Any]] = PARTS | {"pipeline": pipeline}


def samples(count: int = 400, seed: int = 7, names: int = 6) -> Iterator[Sample]:
    """Noise on ``names`` signals, a shift in the middle."""
    rng = random.Random(seed)
    for n in range(count):
        away = 8.0 if count // 2 < n < count // 2 + 40 else 0.0
        yield {f"s{at}": rng.gauss(10.0 * at, 1.0) + (away if at == 0 else 0.0) for at in range(names)}


def state(model: Any) -> bytes:
    """What a model knows (a pipeline of River's also keeps a plan of its own, made when first asked)."""
    return pickle.dumps(list(model.steps.values()) if isinstance(model, ScoreThenLearn) else model)


DATASET_CHECKS = [
    common.check_learn_one, common.check_pickling, common.check_shuffle_features_no_impact, common.check_emerging_features,
    common.check_disappearing_features, common.check_radically_disappearing_features, common.check_predict_one_pure,
    common.check_predict_one_before_any_learn, common.check_no_state_aliasing_with_input, common.check_clone_is_independent,
]  # fmt: skip
CLASS_CHECKS = [
    common.check_repr, common.check_str, common.check_tags, common.check_clone_same_class, common.check_clone_is_idempotent,
    common.check_init_has_default_params_for_tests, common.check_init_default_params_are_not_mutable, common.check_doc,
    common.check_clone_changes_memory_addresses, common.check_pickling_supports_roundtrip, common.check_repr_roundtrips_clone,
    common.check_clone_with_new_params_applies, common.check_get_params_matches_signature,
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("check", CLASS_CHECKS, ids=lambda check: check.__name__)
def test_river_s_checks_of_the_class(part: str, check: Callable[[Any], None]) -> None:
    check(PARTS[part]())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("check", DATASET_CHECKS, ids=lambda check: check.__name__)
def test_river_s_checks_on_a_stream(part: str, check: Callable[..., None]) -> None:
    check(PARTS[part](), [(sample, False) for sample in samples(200)])


@pytest.mark.parametrize("name", EVERYTHING)
def test_scoring_changes_nothing(name: str) -> None:
    model = EVERYTHING[name]()
    for sample in samples():
        model.learn_one(sample)
    before = state(model)
    for sample in samples(50, seed=8):
        model.score_one(sample)
    assert state(model) == before


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_pickle_in_the_middle_goes_on_bit_for_bit(name: str) -> None:
    whole, part = EVERYTHING[name](), EVERYTHING[name]()
    for n, sample in enumerate(samples()):
        if n % 37 == 0:
            part = pickle.loads(pickle.dumps(part))
        assert part.score_one(sample) == whole.score_one(sample)
        whole.learn_one(sample)
        part.learn_one(sample)


@pytest.mark.parametrize("name", EVERYTHING)
def test_signals_come_and_go(name: str) -> None:
    model, rng = EVERYTHING[name](), random.Random(3)
    for sample in samples(600):
        some = {key: value for key, value in sample.items() if rng.random() < 0.6}
        assert model.score_one(some) == model.score_one(copy.copy(some))
        model.learn_one(some)
    assert model.score_one({}) >= 0.0
    model.learn_one({"never seen": 1.0})


@pytest.mark.parametrize("name", EVERYTHING)
def test_memory_does_not_grow_with_the_stream(name: str) -> None:
    model = EVERYTHING[name]()
    sizes = []
    for n, sample in enumerate(samples(6000)):
        model.learn_one(sample)
        if n % 2000 == 1999:
            sizes.append(len(pickle.dumps(model)))
    assert sizes[2] - sizes[1] < 200


@pytest.mark.parametrize("name", ["level", "joint", "pipeline"])
def test_a_signal_that_never_moved_does_no_harm(name: str) -> None:
    model = EVERYTHING[name]()
    for sample in samples(3000):
        model.learn_one(sample | {"flat": 0.0, "constant": 32.0})
    score = model.score_one(next(samples(1)) | {"flat": 0.0, "constant": 32.0})
    assert score < 4.0


def test_the_pipeline_learns_from_what_it_scored() -> None:
    one, other = pipeline(), pipeline()
    for sample in samples():
        score = one.score_one(sample)
        one.learn_one(sample)
        _, walked = other.walk_one(sample)
        assert walked == score
    assert state(one) == state(other)


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_clock_and_no_chance(name: str) -> None:
    def scores() -> list[float]:
        model, found = EVERYTHING[name](), []
        for sample in samples():
            found.append(model.score_one(sample))
            model.learn_one(sample)
        return found

    assert scores() == scores()
