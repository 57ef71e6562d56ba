"""Notifications of one machine into readings, events, gaps and a resume state."""

from __future__ import annotations

import json
from typing import Any

from shinkei_events.model.machine import EnergyCounted, MachineStateChanged, SetupChanged
from shinkei_events.model.numbered import ClockSkew
from shinkei_events.model.operation import Operation
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.opcua.decode import Undecoded
from shinkei_gateway.opcua.plan import EVENTS_HANDLE, plan
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.translate import Told, Translated, Translator

S = 1_000_000_000
T = 1_700_000_000 * S
SETTINGS = strict(
    {
        "type": "opcua",
        "url": "opc.tcp://127.0.0.1:4840",
        "machine": "M1",
        "security": "none",
        "signals": [{"node": "s=a", "name": "a"}, {"node": "s=b", "name": "b"}],
        "state": {"node": "s=State", "reason": "s=Reason", "product": "s=Product", "map": {"6": "EXECUTE"}},
        "setup": [{"slot": "tool", "node": "s=Tool", "type": "tool"}],
        "energy": {"node": "s=Energy", "medium": "electricity", "unit": "kWh"},
        "handshakes": [{"name": "cycle", "trigger": "s=Done", "operation": "s=Op", "readings": {"leak": "s=Leak"}}],
    },
    OpcuaSource,
    "x",
)
ITEMS = plan(SETTINGS)
HANDLES = {item.node: handle for handle, item in enumerate(ITEMS)}
FLAT = {"s=Done": 0, "s=State": "6", "s=Tool": "T1"}


class Machine:
    """A translator with the steps that a source takes."""

    def __init__(self, resume: dict[str, Any] | None = None) -> None:
        self.translator = Translator("src", SETTINGS, ITEMS, resume, 0)

    def say(
        self, time: float, values: dict[str, Any], *, status: int = 0, received: float | None = None, now: int = 0,
        sent: float | None = None, is_all: bool = True,
    ) -> Translated:  # fmt: skip
        told = [sample(node, time, value, status) for node, value in values.items()]
        at = T + int((time if received is None else received) * S)
        return self.translator.take(
            told, [], at, now, None if sent is None else T + round(sent * 10) * S // 10, is_all=is_all
        )


def sample(node: str, time: float, value: Any, status: int = 0) -> Told:
    return HANDLES[node], value, status, T + int(time * S), T + int(time * S)


def operation(counter: int, ended: float, **more: Any) -> str:
    fields = {
        "kind": "process",
        "station": "M1",
        "started": T,
        "ended": T + int(ended * S),
        "counter": counter,
        "result": "pass",
    }
    return json.dumps(fields | more)


def drafts(found: Translated, kind: type[Any]) -> list[Draft]:
    return [item for item in found.items if isinstance(item, Draft) and item.type is kind]


def readings(found: Translated) -> list[Reading]:
    return [item for item in found.items if isinstance(item, Reading)]


def test_readings_keep_source_time_and_full_status() -> None:
    found = Machine().say(1, {"s=a": 1.5}, status=0x40000000, received=1.2)
    assert readings(found) == [Reading("M1", "a", T + S, 1.5, 0x40000000, T + int(1.2 * S), None)]
    assert found.gaps == []


def test_nothing_is_claimed_to_be_missing_at_the_first_connection_ever() -> None:
    assert Machine().say(1, FLAT | {"s=a": 1.0, "s=b": 2.0}).gaps == []


def test_a_channel_that_was_not_written_meanwhile_lost_nothing() -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 2.0})
    machine.translator.interrupted("session_lost")
    found = machine.say(1, FLAT | {"s=a": 1.0, "s=b": 2.0}, received=9)
    assert found.gaps == []
    assert readings(found) == []
    assert found.repeats == len(FLAT) + 2
    assert readings(machine.say(10, {"s=a": 3.0})) != []


def test_a_channel_that_was_written_meanwhile_has_a_gap_from_its_last_value_to_its_first() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0, "s=b": 2.0})
    machine.say(2, {"s=b": 2.5})
    machine.translator.interrupted("session_lost")
    found = machine.translator.take([sample("s=a", 1, 1.0), sample("s=b", 7, 3.0)], [], T + 8 * S, 0)
    (gap,) = found.gaps
    assert gap.fields["channels"] == ["b"]
    assert (gap.fields["t_from"], gap.fields["t_to"], gap.fields["possible"]) == (T + 2 * S, T + 7 * S, True)
    assert [reading.channel for reading in readings(found)] == ["b"]


def test_when_all_channels_have_a_gap_it_names_none() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0, "s=b": 2.0})
    machine.translator.interrupted("session_lost")
    (gap,) = machine.say(5, {"s=a": 1.0, "s=b": 2.0}).gaps
    assert (gap.fields["channels"], gap.fields["cause"]) == ([], "session_lost")


def test_over_a_restart_the_same_holds() -> None:
    first = Machine().say(1, FLAT | {"s=a": 1.0, "s=b": 2.0})
    found = Machine(json.loads(json.dumps(first.resume))).say(6, {"s=a": 1.0})
    (gap,) = found.gaps
    assert (gap.fields["cause"], gap.fields["t_from"], gap.fields["t_to"]) == ("gateway_down", T + S, T + 6 * S)
    assert Machine(first.resume).say(1, FLAT | {"s=a": 1.0, "s=b": 2.0}).items == []


def test_a_subscription_that_goes_on_after_a_restart_has_no_gap_and_tells_no_value_twice() -> None:
    first = Machine().say(1, FLAT | {"s=a": 1.0, "s=b": 2.0})
    machine = Machine(json.loads(json.dumps(first.resume)))
    machine.translator.continued(0)
    found = machine.say(6, {"s=a": 1.5})
    assert (found.gaps, len(readings(found))) == ([], 1)
    again = machine.say(1, {"s=b": 2.0}, received=7)  # a server may say current values once more
    assert (again.repeats, again.items) == (1, [])
    assert len(readings(machine.say(8, {"s=b": 2.0}))) == 1


def test_what_was_open_when_the_process_died_stays_open() -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 2.0})
    machine.translator.interrupted("session_lost")
    half = machine.say(5, {"s=a": 1.5})
    assert half.resume["settled"] is False
    again = Machine(json.loads(json.dumps(half.resume)))
    again.translator.continued(0)
    (gap,) = again.say(7, {"s=b": 3.0}).gaps
    assert (gap.fields["channels"], gap.fields["t_from"], gap.fields["t_to"]) == (["b"], T + S, T + 7 * S)


def test_a_cut_in_the_same_process_leaves_what_is_open_open() -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 2.0})
    machine.translator.interrupted("session_lost")
    machine.say(5, {"s=a": 1.5})
    machine.translator.continued(0)
    assert len(machine.say(7, {"s=b": 3.0}).gaps) == 1
    assert machine.say(8, {"s=a": 1.7}).gaps == []


def test_an_overflow_is_a_gap_of_that_channel_alone() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0})
    (gap,) = machine.say(4, {"s=a": 9.0}, status=0x480).gaps
    assert (gap.fields["cause"], gap.fields["channels"], gap.fields["at_least"]) == ("overflow", ["a"], 1)
    assert (gap.fields["t_from"], gap.fields["t_to"]) == (T + S, T + 4 * S)


def spans(found: Translated, kind: str = "signals") -> list[tuple[list[str], float, float, int]]:
    fields = [gap.fields for gap in found.gaps if gap.fields["of"] == kind]
    return [(f["channels"], (f["t_from"] - T) / S, (f["t_to"] - T) / S, f["at_least"]) for f in fields]


def test_every_overflow_of_a_message_is_told_between_its_neighbours() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0, "s=b": 1.0})
    machine.say(9, {"s=b": 2.0})
    told = [
        sample("s=a", 5, 5.0, 0x480),
        sample("s=a", 7, 7.0),
        sample("s=a", 12, 9.0, 0x480),
        sample("s=b", 30, 3.0, 0x480),
    ]
    found = machine.translator.take(told, [], T + 31 * S, 0)
    assert spans(found) == [(["a"], 1, 5, 1), (["a"], 7, 12, 1), (["b"], 9, 30, 1)]
    assert [one.spans for one in found.missing] == [
        {"a": (T + S, T + 5 * S)},
        {"a": (T + 7 * S, T + 12 * S)},
        {"b": (T + 9 * S, T + 30 * S)},
    ]


def test_channels_whose_gaps_differ_have_records_of_their_own() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0, "s=b": 2.0})
    machine.say(9, {"s=a": 1.1})
    machine.translator.interrupted("session_lost")
    found = machine.translator.take([sample("s=a", 20, 1.0), sample("s=b", 21, 3.0)], [], T + 22 * S, 0)
    assert spans(found) == [(["b"], 1, 21, 0), (["a"], 9, 20, 0)]


def test_an_overflow_of_what_makes_events_is_told_with_the_events() -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0})
    found = machine.say(50, {"s=State": "HELD", "s=Tool": "T2", "s=Leak": 0.5, "s=Energy": 4}, status=0x480)
    assert spans(found) == []
    told = {name: (begin, end) for names, begin, end, _ in spans(found, "production") for name in names}
    first = (50, 50)  # what was before the first value nobody promised
    assert told == {"@state": (1, 50), "@setup.tool": (1, 50), "@cycle.leak": first, "@energy.electricity": first}
    assert {(gap.fields["cause"], gap.fields["possible"]) for gap in found.gaps} == {("overflow", True)}


def test_a_counter_that_overflowed_tells_by_its_count_what_is_missing() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    machine.say(5, {"s=Done": 1, "s=Op": operation(1, 5), "s=Leak": 0.4})
    told = [sample("s=Done", 30, 4, 0x480), sample("s=Op", 30, operation(4, 30)), sample("s=Leak", 30, 0.5)]
    found = machine.translator.take(told, [], T + 30 * S, 0)
    assert spans(found, "production") == [(["@cycle"], 5, 30, 2)]
    assert [gap.fields["cause"] for gap in found.gaps] == ["overflow"]
    told = [sample("s=Done", 40, 5, 0x480), sample("s=Op", 40, operation(5, 40)), sample("s=Leak", 40, 0.6)]
    assert machine.translator.take(told, [], T + 40 * S, 0).gaps == [], "it was written once more, no cycle is missing"


def test_a_value_that_is_no_number_is_kept_as_bad_and_quarantined() -> None:
    found = Machine().say(1, {"s=a": float("nan"), "s=b": 1.0})
    assert [(r.channel, r.value, r.status) for r in readings(found)] == [("a", None, 0x803C0000), ("b", 1.0, 0)]
    assert [draft.fields["raw"] for draft in drafts(found, Quarantined)] == [b"nan"]
    assert found.own == 1


def test_an_undecodable_value_does_not_stop_its_neighbours() -> None:
    values = [sample("s=a", 0, None, 0x80070000), sample("s=b", 0, 1.0)]
    bad = Undecoded(0, values[0][0], b"\x16\x01", "i=12345", "no word for it")
    found = Machine().translator.take(values, [bad], T, 0)
    assert [(r.channel, r.value, r.status) for r in readings(found)] == [("a", None, 0x80070000), ("b", 1.0, 0)]
    assert [draft.fields["reason"] for draft in drafts(found, Quarantined)] == ["no word for it (type i=12345)"]


def test_state_and_companions_written_together_are_one_change() -> None:
    machine = Machine()
    found = machine.say(1, {"s=Reason": "chip_jam", "s=Product": "P1", "s=State": "HELD"})
    (draft,) = drafts(found, MachineStateChanged)
    assert (draft.time, draft.fields["state"], draft.fields["reason"], draft.fields["product"]) == (
        T + S,
        "HELD",
        "chip_jam",
        "P1",
    )
    (draft,) = drafts(machine.say(2, {"s=State": "6", "s=Reason": ""}), MachineStateChanged)
    assert (draft.fields["state"], draft.fields["code"], draft.fields["reason"]) == ("EXECUTE", "6", None)
    assert machine.say(3, {"s=State": "6"}).items == []


def test_a_null_reason_is_none_and_a_bad_one_says_nothing() -> None:
    """As many controllers write it: the String is Null with status Good while there is no reason."""
    machine = Machine()
    machine.say(1, {"s=Reason": None, "s=Product": "P1", "s=State": "6"})
    assert machine.say(2, {"s=Reason": None}).items == [], "nothing new is said by it"
    machine.say(3, {"s=Reason": "BLOCKED", "s=State": "SUSPENDED"})
    assert machine.say(4, {"s=Reason": None}, status=0x80320000).items == []
    (draft,) = drafts(machine.say(5, {"s=Reason": None, "s=State": "6"}), MachineStateChanged)
    assert (draft.fields["state"], draft.fields["reason"], draft.fields["product"]) == ("EXECUTE", None, "P1")


def test_a_state_nobody_knows_goes_to_quarantine() -> None:
    found = Machine().say(1, {"s=State": "77", "s=a": 1.0})
    assert [draft.fields["raw"] for draft in drafts(found, Quarantined)] == [b"77"]
    assert len(readings(found)) == 1


def test_a_lost_machine_is_no_data_and_then_what_it_says() -> None:
    machine = Machine()
    machine.say(1, {"s=State": "6", "s=a": 1.0})
    machine.translator.interrupted("session_lost")
    away = machine.translator.away(T + 9 * S)
    assert away is not None
    assert (away.fields["state"], away.time, away.fields["by"]) == ("NO_DATA", T + S, "gateway")
    assert machine.translator.away(T + 10 * S) is None
    told = [sample("s=State", 1, "6"), sample("s=a", 20, 1.0)]
    (back,) = drafts(machine.translator.take(told, [], T + 20 * S, 0), MachineStateChanged)
    assert (back.fields["state"], back.time) == ("EXECUTE", T + 20 * S)


def test_a_quiet_machine_is_no_data_for_as_long_as_the_gateway_was_down() -> None:
    machine = Machine()
    machine.say(1, {"s=State": "6", "s=a": 1.0})
    away = machine.translator.away(T + 90 * S, T + 50 * S)
    assert away is not None
    assert away.time == T + 50 * S
    told = [sample("s=State", 1, "6"), sample("s=a", 3, 1.0)]  # nothing is newer than the stop
    (back,) = drafts(machine.translator.take(told, [], T + 90 * S, 0), MachineStateChanged)
    assert (back.fields["state"], back.time) == ("EXECUTE", T + 90 * S)


def test_a_changed_tool_is_unmounted_and_mounted() -> None:
    machine = Machine()
    assert [d.fields["action"] for d in drafts(machine.say(1, {"s=Tool": "T1"}), SetupChanged)] == ["mounted"]
    found = drafts(machine.say(2, {"s=Tool": '{"unit": "T2", "item": "DRILL", "certainty": 0.5}'}), SetupChanged)
    assert [(d.fields["unit"], d.fields["action"], d.fields["certainty"]) for d in found] == [
        ("T1", "unmounted", 0.5),
        ("T2", "mounted", 0.5),
    ]
    assert drafts(machine.say(3, {"s=Tool": "{broken"}), Quarantined) != []


def test_energy_is_counted_and_text_is_refused() -> None:
    machine = Machine()
    (draft,) = drafts(machine.say(1, {"s=Energy": 12}), EnergyCounted)
    assert draft.fields == {"medium": "electricity", "value": 12.0, "unit": "kWh"}
    assert drafts(machine.say(2, {"s=Energy": "much"}), Quarantined) != []


def test_a_cycle_is_one_operation_with_the_readings_of_its_nodes() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    text = operation(1, 5, readings=[{"name": "leak", "value": 9.0, "unit": "mL/min"}])
    (draft,) = drafts(machine.say(5, {"s=Done": 1, "s=Op": text, "s=Leak": 0.42}), Operation)
    (reading,) = draft.fields["readings"]
    assert (reading.value, reading.unit, draft.time, draft.fields["unknown"]) == (0.42, "mL/min", T + 5 * S, [])


def test_the_same_edge_after_a_restart_is_the_same_operation() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    said = {"s=Done": 1, "s=Op": operation(1, 5), "s=Leak": 0.4}
    (first,) = drafts(machine.say(5, said), Operation)
    (again,) = drafts(Machine().say(5, said), Operation)
    assert first.fields["operation_id"] == again.fields["operation_id"]


def test_cycles_missed_over_a_cut_are_a_gap_with_their_number() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    machine.say(5, {"s=Done": 1, "s=Op": operation(1, 5), "s=Leak": 0.4})
    machine.translator.interrupted("session_lost")
    found = machine.say(30, {"s=Done": 4, "s=Op": operation(4, 30), "s=Leak": 0.5})
    gaps = [gap.fields for gap in found.gaps if gap.fields["of"] == "production"]
    assert [(g["at_least"], g["possible"], g["t_from"], g["t_to"]) for g in gaps] == [(2, False, T + 5 * S, T + 30 * S)]
    assert len(drafts(found, Operation)) == 1


def test_a_cycle_without_its_values_goes_out_with_them_unknown_and_a_gap() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    machine.say(5, {"s=Done": 1, "s=Op": operation(1, 5), "s=Leak": 0.4})
    assert machine.say(10, {"s=Done": 2}).items == []
    assert {item.node for item in machine.translator.to_read(2 * S)} == {"s=Op", "s=Leak"}
    found = machine.translator.idle(T + 12 * S, 3 * S)
    assert found is not None
    (draft,) = drafts(found, Operation)
    assert {"kind", "inputs", "readings.leak"} <= set(draft.fields["unknown"])
    assert [(gap.fields["of"], gap.fields["cause"]) for gap in found.gaps] == [("production", "handshake_incomplete")]


def test_an_operation_that_is_none_goes_to_quarantine_with_its_bytes() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    found = machine.say(5, {"s=Done": 1, "s=Op": '{"kind": "dance"}', "s=Leak": 0.4})
    assert drafts(found, Operation) == []
    assert [draft.fields["raw"] for draft in drafts(found, Quarantined)] == [b'{"kind": "dance"}']


def test_a_clock_that_is_off_is_told_once_and_when_it_is_right_again() -> None:
    machine = Machine()
    machine.say(0, {"s=a": 0.0}, received=0)
    found = [machine.say(at + 60, {"s=a": at}, received=at) for at in range(1, 5)]
    assert [bool(drafts(one, ClockSkew)) for one in found] == [True, False, False, False]
    later = [machine.say(at, {"s=a": at}, received=at + 0.1) for at in range(70, 100)]
    told = [draft.fields["within"] for one in later for draft in drafts(one, ClockSkew)]
    assert told == [True]


def test_a_node_that_was_never_written_is_no_error() -> None:
    found = Machine().say(1, {"s=State": None, "s=Tool": None, "s=Op": None, "s=Done": None})
    assert found.items == []


def test_a_machine_that_its_server_has_lost_is_no_data() -> None:
    machine = Machine()
    machine.say(1, {"s=State": "6", "s=a": 1.0})
    (lost,) = drafts(machine.say(2, {"s=State": None}, status=0x80310000), MachineStateChanged)
    assert (lost.fields["state"], lost.time) == ("NO_DATA", T + 2 * S)
    (back,) = drafts(machine.say(3, {"s=State": "6"}), MachineStateChanged)
    assert back.fields["state"] == "EXECUTE"


def test_a_bad_reading_of_a_cycle_is_kept_as_bad_and_a_bad_trigger_is_no_edge() -> None:
    machine = Machine()
    machine.say(0, {"s=Done": 0})
    machine.say(5, {"s=Leak": None}, status=0x80310000)
    (draft,) = drafts(machine.say(5, {"s=Done": 1, "s=Op": operation(1, 5)}), Operation)
    assert [(r.value, r.status) for r in draft.fields["readings"]] == [(None, 0x80310000)]
    assert draft.fields["unknown"] == []
    assert machine.say(6, {"s=Done": 2}, status=0x80310000).items == []
    assert machine.translator.idle(T + 60 * S, 60 * S) is None


# ---- what is rare: since when something of it may be missing ------------------------------------------------------------
def quiet(machine: Machine, *, until: float = 600) -> None:
    """A state and a counter that stand since second 2, and a machine that was heard of until ``until``."""
    machine.say(1, FLAT | {"s=a": 1.0}, sent=1.1)
    machine.say(2, {"s=State": "HELD", "s=Tool": "T2", "s=Done": 1, "s=Op": operation(1, 2), "s=Leak": 0.1}, sent=2.1)
    machine.translator.proved(T + int(until * S))


def production(found: Translated) -> dict[str, tuple[float, float]]:
    return {
        channel: ((gap.fields["t_from"] - T) / S, (gap.fields["t_to"] - T) / S)
        for gap in found.gaps
        if gap.fields["of"] == "production"
        for channel in gap.fields["channels"]
    }


EDGE = 600 - 0.1 - 1.15
"""The last word, less the lag of the last value, less sampling, publishing (0.05 and 0.1 s) and a second."""


def test_what_stood_for_long_has_a_gap_from_where_it_was_last_heard_of() -> None:
    machine = Machine()
    quiet(machine)
    machine.translator.interrupted("session_lost")
    found = machine.say(610, {"s=State": "6", "s=Tool": "T2"})
    assert production(found) == {"@state": (EDGE, 610), "@setup.tool": (EDGE, 610)}
    assert production(machine.say(611, {"s=State": "HELD"}, sent=611.1)) == {}


def test_a_signal_that_speaks_rarely_has_a_gap_from_where_it_was_last_heard_of_and_widens_no_other() -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 1.0}, sent=1.1)
    for at in range(2, 10_000, 100):
        machine.say(at, {"s=b": float(at)}, sent=at + 0.1)
    machine.translator.proved(T + 10_000 * S)
    machine.translator.interrupted("session_lost")
    machine.translator.proved(T + 10_004 * S)  # of the new subscription, before their values came
    machine.translator.interrupted("session_lost")
    found = machine.translator.take([sample("s=a", 10_005, 2.0), sample("s=b", 10_010, 3.0)], [], T + 10_011 * S, 0)
    # That of the one that stood there before listening began goes by the machine's clock, give or take what that may differ.
    assert spans(found) == [(["a"], 10_000 - 0.1 - 1.15 - 5, 10_005, 0), (["b"], 10_000 - 0.1 - 1.15, 10_010, 0)]
    assert machine.say(10_012, {"s=b": 4.0}, sent=10_012.1).gaps == []


def test_an_overflow_of_a_rare_signal_begins_where_it_was_last_heard_of() -> None:
    machine = Machine()
    machine.say(1, {"s=a": 1.0}, sent=1.1)
    machine.say(5, {"s=a": 2.0}, sent=5.1)
    machine.translator.proved(T + 600 * S)
    assert spans(machine.say(603, {"s=a": 3.0}, status=0x480)) == [(["a"], EDGE, 603, 1)]


def test_a_signal_with_a_clock_of_its_own_has_its_gap_by_that_clock() -> None:
    machine = Machine()
    behind = 50
    for at in range(0, 60, 3):
        told = [sample("s=a", at, float(at)), sample("s=b", at - behind, float(at // 9))][: 1 + (at % 9 == 0)]
        machine.translator.take(told, [], T + at * S, 0, T + at * S + S // 10, is_all=True)
    machine.translator.proved(T + 600 * S)
    machine.translator.interrupted("session_lost")
    found = machine.translator.take([sample("s=a", 610, 2.0), sample("s=b", 611 - behind, 3.0)], [], T + 612 * S, 0)
    assert spans(found) == [(["b"], EDGE - behind, 611 - behind, 0), (["a"], EDGE, 610, 0)]


def test_cycles_missed_have_a_gap_from_where_the_counter_was_last_heard_of() -> None:
    machine = Machine()
    quiet(machine)
    machine.translator.interrupted("session_lost")
    found = machine.say(610, {"s=Done": 4, "s=Op": operation(4, 610), "s=Leak": 0.5})
    assert production(found) == {"@cycle": (EDGE, 610)}
    again = Machine()
    quiet(again)
    again.translator.interrupted("session_lost")
    late = Machine(json.loads(json.dumps(again.say(610, {"s=Done": 4}).resume)))  # its values come after a restart
    assert production(late.say(610, {"s=Op": operation(4, 610), "s=Leak": 0.5})) == {"@cycle": (EDGE, 610)}


def test_a_message_that_left_something_behind_proves_nothing() -> None:
    machine = Machine()
    quiet(machine, until=50)
    machine.say(600, {"s=a": 2.0}, sent=600, is_all=False)
    machine.translator.interrupted("session_lost")
    assert production(machine.say(610, {"s=State": "6"}))["@state"][0] < 50


def test_a_channel_that_waits_already_keeps_its_floor() -> None:
    machine = Machine()
    quiet(machine)
    machine.translator.interrupted("session_lost")
    machine.translator.proved(T + 700 * S)  # of the new subscription, before the state's value came
    machine.translator.interrupted("session_lost")
    again = Machine(json.loads(json.dumps(machine.translator.resume())))
    again.translator.proved(T + 800 * S)
    again.translator.interrupted("session_lost")
    assert production(again.say(810, {"s=State": "6"}))["@state"][0] == EDGE


def test_a_node_that_went_away_has_a_gap_from_then_on() -> None:
    machine = Machine()
    quiet(machine)
    machine.translator.silent(HANDLES["s=State"])
    machine.translator.proved(T + 700 * S)
    machine.translator.interrupted("session_lost")
    machine.translator.silent(HANDLES["s=State"])
    machine.translator.heard(HANDLES["s=State"])
    assert production(machine.say(810, {"s=State": "6"}))["@state"] == (EDGE, 810)


def test_a_subscription_that_goes_on_thaws_the_floors() -> None:
    machine = Machine()
    quiet(machine)
    again = Machine(json.loads(json.dumps(machine.say(600, {"s=a": 2.0}, sent=600).resume)))
    again.translator.continued(0)
    again.translator.proved(T + 700 * S)
    again.translator.interrupted("session_lost")
    assert production(again.say(810, {"s=State": "6"}))["@state"] == (EDGE + 100, 810)


def test_a_clock_that_was_set_back_meanwhile_gives_the_old_gap() -> None:
    machine = Machine()
    quiet(machine)
    machine.translator.interrupted("session_lost")
    assert production(machine.say(300, {"s=State": "6"}, received=610))["@state"] == (2, 300)
    later = Machine()
    quiet(later)
    later.say(500, {"s=a": 2.0}, received=601, sent=601)  # another node has told that the clock went back by 101 s
    later.translator.proved(T + 602 * S)
    later.translator.interrupted("session_lost")
    assert production(later.say(510, {"s=State": "6"}, received=611))["@state"][0] == 602 - 101 - 1.15


def test_a_state_that_stood_there_before_listening_began_goes_by_the_machines_clock() -> None:
    machine = Machine()
    machine.translator.take([sample("s=State", -9000, "6"), sample("s=a", -1, 1.0)], [], T, 0, T)
    machine.say(10, {"s=a": 2.0}, sent=10.1)
    machine.translator.proved(T + 600 * S)
    machine.translator.interrupted("session_lost")
    begin, _ = production(machine.say(610, {"s=State": "HELD"}))["@state"]
    assert begin == EDGE - 5  # by as much as its clock may differ from the others' without being told of


def test_without_a_time_of_sending_and_with_an_old_resume_state_it_begins_at_the_last_value() -> None:
    machine = Machine()
    machine.say(2, {"s=State": "HELD"})
    resume = json.loads(json.dumps(machine.say(600, {"s=a": 2.0}).resume))
    del resume["floors"]
    for state in resume["handshakes"].values():
        state["pending"] = [[*one[:6]] for one in state["pending"]]
    again = Machine(resume)
    assert production(again.say(610, {"s=State": "6"}))["@state"] == (2, 610)


def test_an_overflow_of_a_rare_channel_begins_where_it_was_last_heard_of() -> None:
    machine = Machine()
    quiet(machine)
    (gap,) = machine.say(603, {"s=State": "6"}, status=0x480).gaps
    assert (gap.fields["cause"], (gap.fields["t_from"] - T) / S) == ("overflow", EDGE)


def test_what_follows_unreadable_bytes_may_be_older_than_what_comes_before_them_and_may_be_an_event() -> None:
    """A message is sent by node: several values of one, then the older ones of the next."""
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 1.0})
    told = [sample("s=a", 2 + at / 10, float(at)) for at in range(5)]
    bad = Undecoded(-1, 0, b"\x3f", "i=811", "no such type", 6)
    found = machine.translator.take(told, [bad], T + 3 * S, 0)
    assert {(gap.fields["of"], gap.fields["cause"], gap.fields["channels"] == []) for gap in found.gaps} == {
        ("signals", "decode_error", True),
        ("production", "decode_error", True),
    }
    assert all(gap.fields["t_from"] <= T + S and gap.fields["t_to"] >= T + 3 * S for gap in found.gaps)


def test_lost_messages_may_have_held_events_only_of_a_machine_that_tells_some() -> None:
    machine = Machine()
    machine.say(5, FLAT | {"s=a": 1.0})
    (gap,) = machine.translator.hole("republish_failed", T + 9 * S, "3 to 4")
    assert (gap.fields["of"], gap.fields["possible"]) == ("production", True)
    assert gap.fields["t_from"] == T + 5 * S - 1_150_000_000, "what was sampled before the last value may be sent later"
    assert gap.fields["t_to"] == T + 9 * S
    said = {"type": "opcua", "url": "opc.tcp://h:1", "machine": "M1", "security": "none"}
    plain = strict(said | {"signals": [{"node": "s=a", "name": "a"}]}, OpcuaSource, "x")
    silent = Translator("src", plain, plan(plain), None, 0)
    silent.take([(0, 1.0, 0, T, T)], [], T, 0)
    assert silent.hole("republish_failed", T + S, "3 to 4") == []


def test_a_node_that_is_bad_after_a_cut_has_a_gap_and_one_without_a_value_yet_proves_itself_later() -> None:
    machine = Machine()
    machine.say(1, FLAT | {"s=a": 1.0, "s=b": 2.0})
    machine.translator.interrupted("session_lost")
    (gap,) = machine.say(
        9, {"s=a": None}, status=0x80310000
    ).gaps  # BadNoCommunication: what was before it is not known
    assert (gap.fields["channels"], gap.fields["t_from"], gap.fields["t_to"]) == (["a"], T + S, T + 9 * S)
    waiting = machine.say(9, {"s=b": None}, status=0x80320000)  # BadWaitingForInitialData
    assert (waiting.gaps, len(readings(waiting))) == ([], 1)
    (gap,) = machine.say(20, {"s=b": 3.0}).gaps
    assert (gap.fields["channels"], gap.fields["t_from"], gap.fields["t_to"]) == (["b"], T + S, T + 20 * S)


def test_a_value_for_the_item_that_tells_events_is_nothing() -> None:
    """async-opcua answers the wish for events with a bad value; one for a handle that nobody gave out is kept for a person."""
    machine = Machine()
    assert machine.translator.take([(EVENTS_HANDLE, None, 0x8032_0000, None, None)], [], T, 0).items == []
    assert drafts(machine.translator.take([(4711, 1, 0, T, T)], [], T, 0), Quarantined)
