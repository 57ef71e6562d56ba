"""The simulated line: deterministic, balanced, ordered, and its truth equal to what its own records say."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from shinkei_plant.catalog import BOXES_PER_PALLET, CUSTOMERS, HOUSING_KG, MS, PUMPS_PER_BOX, SIGNALS, S
from shinkei_plant.faults import FAULTS, Planned
from shinkei_plant.line import HISTORY_GRID, LIVE_GRID, Line
from shinkei_plant.records import OperationDone, Record, SetupChange, SignalSample, StateChange
from shinkei_plant.truth import GROWS, TruthWriter

ORIGIN = 1_795_468_800 * S
seeds = st.integers(0, 10_000)


def play(seed: int, minutes: float, grid: int = 0, troubles: tuple[Planned, ...] = ()) -> list[Record]:
    return list(Line(seed, ORIGIN, troubles=troubles).play(ORIGIN + int(minutes * 60) * S, grid))


@cache
def two_hours(seed: int = 3) -> list[Record]:
    return play(seed, 120)


def operations(records: list[Record]) -> list[OperationDone]:
    return [record for record in records if isinstance(record, OperationDone)]


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_same_seed_same_records(seed: int) -> None:
    troubles = (Planned("tool_wear", 30), Planned("chatter", 60), Planned("breakdown", 90))
    assert play(seed, 5, LIVE_GRID, troubles) == play(seed, 5, LIVE_GRID, troubles)
    assert play(seed, 5) != play(seed + 1, 5)


@settings(max_examples=5, deadline=None)
@given(seeds, st.lists(st.integers(1, 8999), max_size=12), st.sampled_from([0, LIVE_GRID, HISTORY_GRID]))
def test_stopping_and_sampling_change_nothing(seed: int, cuts: list[int], grid: int) -> None:
    """Playing on in pieces, with or without signals, gives the same events; and the same value at the same moment."""
    whole = play(seed, 15, HISTORY_GRID)
    line, pieces = Line(seed, ORIGIN), []
    for second in [*sorted(cuts), 9000]:
        pieces += list(line.play(ORIGIN + second * S // 10, grid))
    assert [r for r in pieces if not isinstance(r, SignalSample)] == [
        r for r in whole if not isinstance(r, SignalSample)
    ]
    known = {(r.machine, r.signal, r.time): r.value for r in whole if isinstance(r, SignalSample)}
    same = [r for r in pieces if isinstance(r, SignalSample) and (r.machine, r.signal, r.time) in known]
    assert all(known[r.machine, r.signal, r.time] == r.value for r in same)
    assert len(same) == (len(known) if grid else 0)


def test_signals_come_at_their_own_period() -> None:
    samples = [r for r in play(1, 1, LIVE_GRID) if isinstance(r, SignalSample)]
    counts = Counter((r.machine, r.signal) for r in samples)
    assert counts == {(spec.machine, spec.name): 60_000 // spec.period_ms for spec in SIGNALS}
    assert all(r.time % MS == 0 for r in samples)


def test_signals_stay_in_their_range() -> None:
    spec = {(entry.machine, entry.name): entry for entry in SIGNALS}
    for sample in play(2, 60, HISTORY_GRID, (Planned("tool_wear", 600), Planned("coolant_leak", 1500))):
        if isinstance(sample, SignalSample):
            entry = spec[sample.machine, sample.signal]
            assert entry.low - 1 <= float(sample.value) <= entry.high, sample  # type: ignore[arg-type]


def test_records_are_in_time_order_and_edges_are_apart() -> None:
    times = [record.time for record in two_hours()]
    assert times == sorted(times)
    last: dict[str, OperationDone] = {}
    for done in operations(two_hours()):
        assert done.started <= done.ended
        assert done.ended % MS == 0
        if done.machine in last:
            assert done.ended - last[done.machine].ended >= 200 * MS
            assert done.counter == last[done.machine].counter + 1
        last[done.machine] = done


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_mass_balance(seed: int) -> None:
    """No serial is born twice, nothing is used before it is born or twice, no lot gives more than came, every box holds 12."""
    born: dict[str, float] = {}
    kilograms: dict[str, float] = {}
    left: Counter[str] = Counter()
    consumed: set[str] = set()
    for done in operations(play(seed, 75)):
        for unit in done.inputs:
            if unit.type == "supplier_lot":
                assert unit.id in kilograms, f"{unit.id} used before it was received"
                left[unit.id] -= 0 if unit.certainty < 1 else round(unit.quantity * 1000)
            elif unit.type == "lot":
                kilograms[unit.id] -= unit.quantity
                assert kilograms[unit.id] > -1e-6
            else:
                assert unit.id in born, f"{unit.id} used before it was made"
                assert unit.id not in consumed, f"{unit.id} used after it was built in, packed or scrapped"
                if done.outputs or done.kind in ("scrap", "ship"):
                    consumed.add(unit.id)
        for unit in done.outputs:
            assert unit.id not in born
            born[unit.id] = done.ended
            if unit.type in ("lot", "supplier_lot"):
                kilograms[unit.id] = unit.quantity
                left[unit.id] += round(unit.quantity * 1000)
        if done.kind == "pack":
            assert len(done.inputs) == (PUMPS_PER_BOX if done.inputs[0].type == "serial" else BOXES_PER_PALLET)
    assert min(left.values()) >= 0


def test_every_shipped_pump_is_known_down_to_its_lots() -> None:
    made = {unit.id: done for done in operations(two_hours()) for unit in done.outputs}
    shipped = [done for done in operations(two_hours()) if done.kind == "ship"]
    assert len(shipped) >= 15
    assert {done.to for done in shipped} == set(CUSTOMERS)
    for done in shipped:
        boxes = made[done.inputs[0].id].inputs
        pumps = [pump.id for box in boxes for pump in made[box.id].inputs]
        assert len(pumps) == PUMPS_PER_BOX * BOXES_PER_PALLET
        for pump in pumps:
            body, motor = made[pump].inputs
            housing, *materials = made[body.id].inputs
            assert {unit.item for unit in materials} == {"BEARING-608", "SEAL-22"}
            assert {unit.item for unit in made[motor.id].inputs} == {"ROTOR", "STATOR"}
            melt = made[housing.id].inputs[0]
            assert melt.quantity == HOUSING_KG
            assert made[melt.id].inputs[0].item == "ALSI9CU3"


def test_the_line_lives() -> None:
    """About ten pumps a minute; stops, tool changes, change-overs, rework and rejects all happen."""
    pumps = [done for done in operations(two_hours()) if done.station == "OP70" and done.result == "pass"]
    assert 850 <= len(pumps) <= 1200
    reasons = {record.reason for record in two_hours() if isinstance(record, StateChange)}
    assert {"STARVED", "BLOCKED", "changeover", "tool_change", "material_change"} <= reasons
    assert {done.kind for done in operations(two_hours())} == {
        "process",
        "assemble",
        "inspect",
        "rework",
        "pack",
        "ship",
        "receive",
        "scrap",
    } - (set() if any(done.kind == "scrap" for done in operations(two_hours())) else {"scrap"})
    assert {record.product for record in two_hours() if isinstance(record, StateChange)} >= {"EP-40", "EP-60", "EP-90"}


def test_an_unclear_change_keeps_both_candidates() -> None:
    unsure = [done for done in operations(two_hours()) if any(unit.certainty < 1 for unit in done.inputs)]
    assert unsure
    changes = [r for r in two_hours() if isinstance(r, SetupChange) and r.certainty < 1 and r.action == "mounted"]
    for change in changes:
        assert change.not_before is not None
        assert change.not_after is not None
        inside = [done for done in unsure if change.not_before <= done.ended <= change.not_after + S]
        assert len(inside) == 8
        for done in inside:
            candidates = [unit for unit in done.inputs if unit.certainty == 0.5]
            assert len(candidates) == 2
            assert change.unit in {unit.id for unit in candidates}


# ---- truth -----------------------------------------------------------------------------------------------------------------
def with_truth(
    seed: int, name: str, at: float, minutes: float, strength: float = 1.0
) -> tuple[TruthWriter, list[Record]]:
    writer = TruthWriter()
    line, records = Line(seed, ORIGIN, troubles=(Planned(name, at, strength),), watch=writer), []
    for record in line.play(ORIGIN + int(minutes * 60) * S):
        writer.see(record)
        records.append(record)
    return writer, records


def contained_in(records: list[Record], parts: set[str]) -> set[str]:
    """Everything that contains one of ``parts``, by the records alone."""
    found = set(parts)
    for done in operations(records):
        if done.kind in GROWS and any(unit.id in found for unit in done.inputs):
            found |= {unit.id for unit in done.outputs}
    return found


@settings(max_examples=6, deadline=None)
@given(seeds, st.integers(60, 1200))
def test_truth_of_a_bad_lot_is_what_got_it(seed: int, at: int) -> None:
    writer, records = with_truth(seed, "bad_bearing_lot", at, 50)
    (truth,) = writer.truths().values()
    bodies = {done.outputs[0].id for done in operations(records) if truth.cause in {unit.id for unit in done.inputs}}
    assert len(bodies) == 96
    assert truth.affected == contained_in(records, bodies)
    assert truth.ended is not None


@settings(max_examples=4, deadline=None)
@given(seeds, st.integers(120, 900))
def test_truth_of_a_worn_tool_is_what_it_cut(seed: int, at: int) -> None:
    writer, records = with_truth(seed, "tool_wear", at, 30)
    (truth,) = writer.truths().values()
    cut = {
        done.inputs[0].id
        for done in operations(records)
        if done.resources.tool == truth.cause and done.ended >= truth.began
    }
    assert truth.affected == contained_in(records, cut)


@settings(max_examples=4, deadline=None)
@given(seeds, st.sampled_from(["press_drift", "leak_tester_offset", "network_cut"]))
def test_truth_of_a_window_is_what_was_done_in_it(seed: int, name: str) -> None:
    writer, records = with_truth(seed, name, 300, 25)
    (truth,) = writer.truths().values()
    assert truth.ended is not None
    inside = [
        done
        for done in operations(records)
        if done.station == truth.machine and truth.began <= done.ended <= truth.ended
    ]
    parts = {
        unit.id
        for done in inside
        for unit in (done.outputs if done.kind == "assemble" else done.inputs)
        if done.kind in ("assemble", "inspect")
    }
    # A machine that stands still for the whole window affects no part.
    assert truth.affected == contained_in(records, parts)


def test_wrong_program_is_in_the_records() -> None:
    writer, records = with_truth(5, "wrong_program", 300, 25)
    (truth,) = writer.truths().values()
    cut = {
        done.inputs[0].id
        for done in operations(records)
        if done.resources.program == truth.cause and done.ended >= truth.began
    }
    assert truth.hit
    assert set(truth.hit) == cut
    assert any(done.result == "scrap" for done in operations(records))


def test_faults_of_sensors_affect_no_part() -> None:
    for name in ("sensor_stuck", "sensor_noise", "chatter", "breakdown"):
        writer, records = with_truth(1, name, 120, 8)
        (truth,) = writer.truths().values()
        assert truth.answer == "no_part"
        assert not truth.affected
        assert truth.cause
        assert truth.ended
        calm = play(1, 8)
        if name.startswith("sensor"):
            assert records == calm


def test_every_fault_shows_in_the_line() -> None:
    """Planting a trouble changes what machines say (signals, states or readings); a cut network changes nothing they say."""
    calm: defaultdict[str, list[Record]] = defaultdict(list)
    for record in play(7, 16, LIVE_GRID):
        calm[record.machine].append(record)
    for name, kind in FAULTS.items():
        loud: defaultdict[str, list[Record]] = defaultdict(list)
        for record in play(7, 16, LIVE_GRID, (Planned(name, 240),)):
            loud[record.machine].append(record)
        assert (loud[kind.machine] == calm[kind.machine]) is (name == "network_cut"), name
