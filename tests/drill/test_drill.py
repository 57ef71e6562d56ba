"""The drill: troubles planted in the line, questions asked of the product, answers compared with the machines' own truth.

A lot, tool or program that is the cause leads forward to exactly its parts; a machine's trouble is asked by its span of time; a sensor's
trouble concerns no part; what a cut network hid is not known, and said so. Prints ``drill.recall`` and ``drill.precision``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from shinkei_plant import truth
from shinkei_plant.faults import FAULTS
from shinkei_plant.truth import Truth
from shinkei_store.pool import connect
from shinkei_trace.query import forward, resolve
from tests.support.chain import Chain

SPEED, LENGTH_S = 8.0, 3000.0
PLANTED = {
    "bad_bearing_lot": 60, "tool_wear": 300, "sensor_stuck": 700, "press_drift": 1000, "leak_tester_offset": 1350, "wrong_program": 1700,
    "coolant_leak": 2050, "network_cut": 2500,
}  # fmt: skip
BY_THING = ("bad_bearing_lot", "tool_wear", "wrong_program")
BY_TIME = ("press_drift", "leak_tester_offset", "coolant_leak")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    faults = [f"{name}@{seconds}" for name, seconds in PLANTED.items()]
    made = Chain(tmp_path_factory.mktemp("drill"), speed=SPEED, length=LENGTH_S, faults=faults, seed=5)
    try:
        made.start()
        made.played(LENGTH_S / SPEED + 180)
        yield made
    finally:
        made.stop()


def truth_of(chain: Chain, name: str) -> Truth:
    told = [entry for path in chain.folder.glob("*.truth") for entry in truth.read(path).values() if entry.name == name]
    assert told, f"{name} never began"
    return max(told, key=lambda entry: len(entry.affected))


def report(name: str, wanted: set[str], found: set[str]) -> tuple[float, float]:
    recall = len(wanted & found) / max(1, len(wanted))
    precision = len(wanted & found) / max(1, len(found))
    for figure, value in (("drill.recall", recall), ("drill.precision", precision)):
        sheet = {"name": figure, "value": round(value, 4), "unit": "share", "better": "more", "must": 1.0, "aim": 1.0}
        print(json.dumps(sheet | {"conditions": {"fault": name, "parts": len(wanted), "found": len(found)}}))
    return recall, precision


@pytest.mark.parametrize("name", BY_THING)
def test_a_thing_leads_forward_to_exactly_its_parts(chain: Chain, name: str) -> None:
    entry = truth_of(chain, name)
    assert entry.cause is not None
    with connect(chain.plant, "ui") as conn:
        answer = forward(conn, resolve(conn, entry.cause)[0])
    found = {node.unit for node in answer.nodes if node.depth and node.type not in ("shipment", "resource")}
    doubtful = {node.unit for node in answer.nodes if node.certainty < 1.0}
    recall, _ = report(name, set(entry.affected), found - (doubtful - set(entry.affected)))
    assert recall == 1.0


@pytest.mark.parametrize("name", BY_TIME)
def test_a_machine_s_trouble_is_found_by_its_time(chain: Chain, name: str) -> None:
    entry = truth_of(chain, name)
    ended = entry.ended if entry.ended is not None else entry.began + int((FAULTS[name].seconds + 60) * 1e9)
    rows = chain.ask("select serial from parts_in_span(%s, to_ts(%s), to_ts(%s))", entry.machine, entry.began, ended)
    recall, _ = report(name, set(entry.hit), {serial for (serial,) in rows})
    assert recall == 1.0


def test_a_sensor_s_trouble_concerns_no_part(chain: Chain) -> None:
    assert truth_of(chain, "sensor_stuck").affected == frozenset()
    found = chain.ask(
        "select finding from anomaly where machine = %s and finding = 'data_quality'", FAULTS["sensor_stuck"].machine
    )
    print(json.dumps({"fault": "sensor_stuck", "told_as_data_quality": bool(found)}))


def test_what_a_cut_hid_is_told_as_unknown(chain: Chain) -> None:
    entry = truth_of(chain, "network_cut")
    gaps = chain.ask(
        "select cause from gaps_between(%s, to_ts(%s), to_ts(%s))",
        entry.machine,
        entry.began - 10**9,
        (entry.ended or entry.began) + 10**11,
    )
    assert gaps, "the cut left no gap record"
