"""The runner of the tests tells the truth: the last line, exit codes, sizes, the seed. See also test_support_runner."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.seed import seed_of_run
from tests.support.sizes import CHOSEN, Sizes

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """A program of ``tools/`` as a module."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runner = load("run_tests")
bench = load("run_bench")


def test_the_last_line_and_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def last(**counts: int) -> tuple[int, str]:
        code = runner.finish([runner.Result("unit", 1.0, Counter(counts))], 0.0)
        return code, capsys.readouterr().out.splitlines()[-1]

    assert last(passed=3) == (0, "3 passed, 0 failed")
    assert last(passed=3, skipped=2) == (0, "3 passed, 0 failed, 2 skipped")
    assert last(passed=3, failed=1) == (1, "3 passed, 1 failed")
    assert last() == (1, "0 passed, 0 failed")


def test_the_seed_is_the_given_one_or_the_commits() -> None:
    assert seed_of_run({"SHINKEI_SEED": "17"}) == 17
    assert seed_of_run({}) == seed_of_run({})
    assert 0 < seed_of_run({}) < 2**32
    with pytest.raises(ValueError, match="invalid literal"):
        seed_of_run({"SHINKEI_SEED": "x"})


def test_sizes_are_chosen_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Sizes("full").of("kills", sample=2, full=50) == 50
    assert Sizes().of("kills", sample=2, full=50) == 2
    assert CHOSEN[-1] == "2 kills (sample; all would be 50)"
    del CHOSEN[-2:]
    monkeypatch.setenv("SHINKEI_SIZE", "huge")
    with pytest.raises(ValueError, match="huge"):
        Sizes.from_environment()


def test_figures_of_a_benchmark_are_found_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "bench_x.py"
    path.write_text('NAMES = ("gateway.opcua.events_per_core_s", \'chain.start.cold_s\', "not.a.figure", "gateway")\n')
    assert bench.names_in(path) == ["gateway.opcua.events_per_core_s", "chain.start.cold_s"]
