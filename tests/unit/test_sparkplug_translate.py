"""A host's facts as readings, states, operations and gaps of machines."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from shinkei_events.errors import BadInput
from shinkei_events.identity import StreamId
from shinkei_events.model.machine import EnergyCounted, MachineStateChanged, SetupChanged
from shinkei_events.model.numbered import ClockSkew, SignalDescribed
from shinkei_events.model.operation import Operation
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.quality import BAD, BAD_DECODING, BAD_NO_DATA, BAD_OUT_OF_RANGE
from shinkei_gateway.replay import refuse_what_is_quarantined
from shinkei_gateway.sparkplug.facts import AskRebirth, Lost
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.settings import SparkplugSource, check_sparkplug
from shinkei_gateway.sparkplug.tables import STALE
from shinkei_gateway.sparkplug.topic import NodeId, parse
from shinkei_gateway.sparkplug.translate import BAD_NO_COMMUNICATION, Translator
from tests.support.seed import seed_of_run
from tests.support.sparkplug_node import T0, Bench, Node, metric, payload

MS = 1_000_000
METRICS = [
    {"filter": "State", "as": "state", "map": {"3": "EXECUTE"}},
    {"filter": "State/Reason", "as": "reason"},
    {"filter": "Energy", "as": "energy", "medium": "electricity", "unit": "kWh"},
    {"filter": "Done", "as": "operation"},
    {"filter": "Slot", "as": "setup"},
    {"filter": "Debug/#", "as": "ignore"},
    {"filter": "In/+", "as": "signal", "signal": "{1}"},
]


def source(**more: Any) -> SparkplugSource:
    raw = {"type": "sparkplug", "url": "mqtt://x:1", "client_id": "gw", "metrics": METRICS}
    made = strict(raw | more, SparkplugSource, "x")
    check_sparkplug(made, "x")
    return made


def bench(resume: Any = None, **more: Any) -> Bench:
    translator = Translator("src", source(**more), resume)
    return Bench(translator, known=translator.nodes)


def readings(b: Bench, channel: str = "a") -> list[tuple[int, Any, int]]:
    """(ms after T0, value, status)."""
    found = [item for item in b.taken.items if isinstance(item, Reading) and item.channel == channel]
    return [(one.time // MS - T0, one.value, one.status) for one in found]


def drafts(b: Bench, kind: type[Any]) -> list[Draft]:
    return [item for item in b.taken.items if isinstance(item, Draft) and item.type is kind]


def at(ms: int, value: Any = None, type_: str = "Double", **more: Any) -> dict[str, Any]:
    return metric(value, type_, timestamp=T0 + ms, **more)


def test_tck_id_payloads_alias_data_cmd_requirement() -> None:
    """The birth's alias, name and type hold until the next birth; alias 0 is an alias; names alone do as well."""
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=0), at(0, 5, "Int8", name="b", alias=2), at(0, 1, "Int32", name="c")))
    b.hear(
        node.data(
            at(5, 2.0, "", alias=0),
            at(5, 0xFF, "", field="int_value", alias=2),
            at(6, 9, "", field="int_value", name="c"),
        )
    )
    assert readings(b) == [(0, 1.0, 0), (5, 2.0, 0)]
    assert readings(b, "b") == [(0, 5, 0), (5, -1, 0)]
    assert readings(b, "c") == [(0, 1, 0), (6, 9, 0)]
    assert b.taken.gaps == []


def test_tck_id_payloads_name_birth_data_requirement_an_alias_of_no_birth_is_quarantined_and_asked_for() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=1)))
    b.hear(node.data(at(5, 2.0, alias=7), at(5, 3.0, alias=1), at(5, 4.0, name="new")))
    assert readings(b) == [(0, 1.0, 0), (5, 3.0, 0)]
    assert readings(b, "new") == [(5, 4.0, 0)]  # it says what it is
    assert [fact.why for fact in b.facts if isinstance(fact, AskRebirth)] == ["'alias 7' is in no birth"]
    assert len(drafts(b, Quarantined)) == 1


def test_a_birth_with_other_aliases_gives_them_another_meaning() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=1), at(0, 2.0, name="b", alias=2)))
    b.hear(node.birth(at(0, 1.0, name="a", alias=2), at(0, 2.0, name="b", alias=1)), node.data(at(9, 3.0, alias=2)))
    assert readings(b)[-1] == (9, 3.0, 0)


def test_machines_are_named_by_template_or_one_by_one() -> None:
    b, node = bench(machine="{node}.{device}", machines={"G/N/Comp 1": "AIR1"}), Node()
    b.hear(
        node.birth(at(0, 1.0, name="a")),
        node.device_birth("D", at(0, 1.0, name="a")),
        node.device_birth("Comp 1", at(0, 1.0, name="a")),
    )
    b.hear(node.device_birth("no id", at(0, 1.0, name="a")))
    assert {item.machine for item in b.taken.items if isinstance(item, Reading)} == {"N", "N.D", "AIR1"}
    (refused,) = drafts(b, Quarantined)
    assert '"G/N/no id"' in refused.fields["reason"]


def test_births_make_no_machines_without_end_and_a_node_over_it_is_not_asked_again_and_again() -> None:
    b, node = bench(max_machines=3, machines={"G/N/named": "PRESS7"}), Node("G", "N")
    b.hear(node.birth(), *(node.device_birth(f"D{number}", at(0, 1.0, name="a")) for number in range(20)))
    b.hear(node.data(at(5, 2.0, name="a"), device="D1"), node.data(at(5, 2.0, name="a"), device="D9"))
    b.hear(node.device_birth("named", at(0, 1.0, name="a")))
    b.hear(node.data(at(6, 3.0, name="a"), device="D1"))
    stranger = Node("G", "X")
    b.hear(
        stranger.birth(at(0, 1.0, name="a")),
        stranger.data(at(5, 2.0, name="a")),
        stranger.device_birth("E", at(0, 1.0, name="a")),
    )
    b.wait(60.0)
    assert b.translator is not None
    assert sorted(b.translator.machines) == ["D0", "D1", "N", "PRESS7"]
    assert [value for _, value, _ in readings(b)] == [1.0, 1.0, 2.0, 1.0, 3.0]
    assert [
        fact for fact in b.facts if isinstance(fact, AskRebirth | Lost)
    ] == []  # its sequence goes on over what is refused
    kept = drafts(b, Quarantined)
    assert [draft.fields["where"] for draft in kept] == [*(f"G/N/D{number}" for number in range(2, 20)), "G/X", "G/X/E"]
    assert {draft.machine for draft in kept} == {"src"}
    assert 'machines = { "G/N/D2" = "…" }, or raise max_machines' in kept[0].fields["reason"]
    assert list(b.host.nodes) == [NodeId("G", "N")]
    assert b.host.refused == 18 + 1 + 3
    assert b.translator.resume()["nodes"] == ["G/N"]


def test_machines_known_before_a_restart_come_back_before_strangers_of_whom_there_are_too_many() -> None:
    b, node = bench(max_machines=3), Node("G", "N")
    b.hear(node.birth(), *(node.device_birth(name, at(0, 1.0, name="a")) for name in ("D1", "D2")))
    assert b.translator is not None
    again, node = bench(b.translator.resume(), max_machines=3), Node("G", "N")
    again.hear(
        node.birth(), *(node.device_birth(name, at(0, 1.0, name="a")) for name in ("X1", "X2", "X3", "D1", "D2"))
    )
    assert again.translator is not None
    assert sorted(again.translator.machines) == ["D1", "D2", "N"]
    assert [draft.fields["where"] for draft in drafts(again, Quarantined)] == ["G/N/X1", "G/N/X2", "G/N/X3"]


def test_all_that_were_known_before_a_restart_come_back_also_behind_another_node() -> None:
    b, node = bench(max_machines=9), Node("G", "N")
    b.hear(node.birth(), *(node.device_birth(f"D{number}", at(0, 1.0, name="a")) for number in range(6)))
    assert b.translator is not None
    known = b.translator.resume()
    for name in ("N", "N2"):
        again, node = bench(known, max_machines=3, nodes=["G/N2"]), Node("G", name)
        again.hear(node.birth(), *(node.device_birth(f"D{number}", at(9, 2.0, name="a")) for number in range(6)))
        assert len(readings(again)) == 6
        assert drafts(again, Quarantined) == []


def test_a_node_that_spoke_before_its_birth_and_finds_no_room_is_counted_with_what_it_says() -> None:
    b, node, late = bench(max_machines=2), Node("G", "N"), Node("G", "N2")
    b.hear(late.data(at(1, 1.0, name="a")), node.birth(), node.device_birth("D", at(0, 1.0, name="a")))
    b.hear(late.birth(at(2, 1.0, name="a")), late.data(at(3, 2.0, name="a")))
    assert (b.taken.full, b.taken.untaken, b.host.refused) == (["G/N2"], 2, 0)


def test_devices_of_one_machine_are_bounded_as_well() -> None:
    b, node = bench(max_machines=3, machine="cell", node_machine="cell"), Node("G", "N")
    b.hear(node.birth(), *(node.device_birth(f"D{number}", at(0, 1.0, name="a")) for number in range(9)))
    assert b.translator is not None
    assert list(b.translator.machines) == ["cell"]
    assert len(b.host.nodes[NodeId("G", "N")].devices) == 3
    assert len(drafts(b, Quarantined)) == 6


def test_metrics_become_what_the_maps_say() -> None:
    b, node = bench(), Node()
    operation = {"kind": "process", "station": "D", "started": 1, "ended": T0 * MS + 5, "counter": 4}
    b.hear(node.birth(), node.device_birth("D", at(0, "3", "String", name="State", alias=1), at(0, None, "String", name="State/Reason", alias=2, is_null=True),
           at(0, 1.5, name="Energy", alias=3), at(0, None, "String", name="Done", alias=4, is_null=True), at(0, 1.0, name="Debug/x", alias=5),
           at(0, 1.0, name="In/flow", alias=6), at(0, None, "String", name="Slot", alias=7, is_null=True)))  # fmt: skip
    slot = {"slot": "filter", "unit": "F1", "unit_type": "material", "action": "mounted", "ts": T0 * MS}
    b.hear(node.data(at(8, json.dumps(operation), "String", alias=4), at(9, "HELD", "String", alias=1), at(9, "filter_check", "String", alias=2),
                     at(9, json.dumps(slot), "String", alias=7), at(9, 2.0, alias=5), device="D"))  # fmt: skip
    assert [(d.time // MS - T0, d.fields["state"], d.fields["reason"]) for d in drafts(b, MachineStateChanged)] == [
        (0, "EXECUTE", None), (9, "HELD", "filter_check"),
    ]  # fmt: skip
    assert [(d.time // MS - T0, d.fields["value"]) for d in drafts(b, EnergyCounted)] == [(0, 1.5)]
    assert [d.time for d in drafts(b, Operation)] == [T0 * MS + 5]
    assert [d.fields["unit"] for d in drafts(b, SetupChanged)] == ["F1"]
    assert readings(b, "flow") == [(0, 1.0, 0)]
    assert {item.channel for item in b.taken.items if isinstance(item, Reading)} == {"flow"}


def test_engineering_units_become_the_description_of_the_signal_and_are_told_once() -> None:
    b, node = bench(), Node()
    properties = {"engUnit": "bar", "engLow": 0.0, "engHigh": 16.0, "Documentation": "line pressure"}
    for _ in range(2):
        b.hear(node.birth(at(0, 1.0, name="a", properties=properties)))
    (told,) = drafts(b, SignalDescribed)
    assert {key: told.fields[key] for key in ("name", "unit", "low", "high", "description", "data_type")} == {
        "name": "a", "unit": "bar", "low": 0.0, "high": 16.0, "description": "line pressure", "data_type": "Double",
    }  # fmt: skip


def test_tck_id_payloads_propertyset_quality_value_value() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=1)))
    b.hear(
        *(node.data(at(n, 1.0, alias=1, properties={"Quality": q})) for n, q in ((1, 192), (2, 0), (3, 500))),
        node.data(at(4, 1.0, alias=1)),
    )
    assert readings(b) == [(0, 1.0, 0), (1, 1.0, 0), (2, 1.0, BAD), (3, 1.0, STALE), (4, 1.0, STALE)]


def test_is_null_is_no_value_and_never_the_last_good_one() -> None:
    b, node = bench(), Node()
    b.hear(
        node.birth(at(0, None, name="a", alias=1, is_null=True)),
        node.data(at(1, 1.0, alias=1)),
        node.data(at(2, None, alias=1, is_null=True)),
    )
    assert readings(b) == [(1, 1.0, 0), (2, None, BAD_NO_DATA)]


def test_one_value_that_cannot_be_read_goes_to_quarantine_and_its_neighbours_go_on() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=1), at(0, 1, "Int8", name="b", alias=2)))
    b.hear(node.data(at(1, 999, "", field="int_value", alias=2), at(1, float("nan"), alias=1), {"alias": 1, "timestamp": 2**63, "double_value": 1.0},
                     at(2, 3.0, alias=1)))  # fmt: skip
    assert readings(b) == [(0, 1.0, 0), (1, None, BAD_OUT_OF_RANGE), (2, 3.0, 0)]
    assert readings(b, "b") == [(0, 1, 0), (1, None, BAD_DECODING)]
    assert len(drafts(b, Quarantined)) == 3


def test_what_is_historical_goes_into_the_history_stream_and_changes_nothing_live() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(100, 9.0, name="a", alias=1), at(100, "3", "String", name="State", alias=2)))
    b.hear(
        node.data(
            at(20, 5.0, alias=1, is_historical=True),
            at(21, "HELD", "String", alias=2, is_historical=True),
            at(101, 9.5, alias=1),
        )
    )
    assert readings(b) == [(100, 9.0, 0), (101, 9.5, 0)]
    assert [(type(item).__name__, item.time // MS - T0) for item in b.taken.history] == [("Reading", 20), ("Draft", 21)]
    assert [d.fields["state"] for d in drafts(b, MachineStateChanged)] == ["EXECUTE"]


# ---- deaths and births -------------------------------------------------------------------------------------------------------
def test_tck_id_operational_behavior_edge_node_termination_host_action_ndeath_devices_tags_stale() -> None:
    b, node = bench(), Node()
    birth = (at(0, 1.0, name="a", alias=1), at(0, "3", "String", name="State", alias=2))
    b.hear(node.birth(at(0, 1.0, name="n", alias=9)), node.device_birth("D", *birth))
    b.wait(7)
    b.hear(node.death())
    stale = [
        (item.machine, item.time, item.value, item.status) for item in b.taken.items[-4:] if isinstance(item, Reading)
    ]
    assert sorted(stale) == [
        ("D", b.received, None, BAD_NO_COMMUNICATION),
        ("N", b.received, None, BAD_NO_COMMUNICATION),
    ]
    assert [(d.machine, d.fields["state"], d.fields["by"]) for d in drafts(b, MachineStateChanged)][-1] == (
        "D",
        "NO_DATA",
        "gateway",
    )
    # reborn, unchanged: the value is vouched for at the birth's own time, the state holds again, and nothing is missing
    node.bdseq, node.ms = 1, T0 + 8000
    b.hear(node.birth(at(0, 1.0, name="n", alias=9)), node.device_birth("D", *birth))
    assert readings(b)[-1] == (8000, 1.0, 0)
    assert drafts(b, MachineStateChanged)[-1].fields["state"] == "EXECUTE"
    assert b.taken.gaps == []


def test_tck_id_operational_behavior_edge_node_termination_host_action_ddeath_devices_tags_stale() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(), node.device_birth("D", at(0, 1.0, name="a")), node.device_birth("E", at(0, 1.0, name="a")))
    node.ms = T0 + 500
    b.hear(node.device_death("D"))
    assert [
        (item.machine, item.time // MS - T0) for item in b.taken.items if isinstance(item, Reading) and item.status
    ] == [("D", 500)]


def test_what_changed_before_a_birth_after_a_death_is_a_possible_gap_of_those_channels() -> None:
    b, node = bench(), Node()
    b.hear(
        node.birth(at(0, 1.0, name="a", alias=1), at(0, 5.0, name="b", alias=2)),
        node.data(at(10, 2.0, alias=1)),
        node.death(),
    )
    node.bdseq = 1
    b.hear(node.birth(at(90, 4.0, name="a", alias=1), at(0, 5.0, name="b", alias=2)))
    (gap,) = b.taken.gaps
    fields = gap.fields
    assert (fields["cause"], fields["possible"], fields["channels"]) == ("source_restarted", True, ["a"])
    assert (fields["t_from"] // MS - T0, fields["t_to"] // MS - T0) == (10, 90)


def test_a_rebirth_in_an_unbroken_session_that_only_stamps_its_values_anew_is_no_gap() -> None:
    b, node = bench(), Node()
    b.hear(
        node.birth(at(0, 1.0, name="a", alias=1)),
        node.data(at(10, 2.0, alias=1)),
        node.birth(at(50, 2.0, name="a", alias=1)),
    )
    assert b.taken.gaps == []
    b.hear(node.birth(at(60, 3.0, name="a", alias=1)))  # it changed unsaid
    (gap,) = b.taken.gaps
    assert (gap.fields["possible"], gap.fields["t_from"] // MS - T0, gap.fields["t_to"] // MS - T0) == (True, 50, 60)


def test_lost_messages_are_a_gap_with_a_lower_bound() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=1)), node.data(at(10, 2.0, alias=1)))
    node.next(), node.next()
    node.ms = T0 + 40
    b.hear(node.data(at(40, 5.0, alias=1)))
    b.wait(5)
    (gap,) = b.taken.gaps
    fields = gap.fields
    assert (fields["cause"], fields["possible"], fields["at_least"], fields["of"]) == (
        "sparkplug_seq",
        False,
        2,
        "signals",
    )
    assert (fields["t_from"] // MS - T0, fields["t_to"] // MS - T0) == (10, 40)
    assert readings(b)[-1] == (40, 5.0, 0)


def test_lost_messages_of_a_node_with_several_machines_are_a_gap_of_each_without_a_bound() -> None:
    b, node = bench(), Node()
    b.hear(
        node.birth(),
        node.device_birth("D", at(0, 1.0, name="a", alias=1)),
        node.device_birth("E", at(0, 1, "Int8", name="State", alias=2)),
    )
    node.next()
    b.hear(node.data(at(40, 5.0, alias=1), device="D"))
    b.wait(5)
    assert sorted((gap.machine, gap.fields["of"], gap.fields["at_least"]) for gap in b.taken.gaps) == [
        ("D", "signals", 0), ("E", "production", 0), ("E", "signals", 0), ("N", "signals", 0),
    ]  # fmt: skip


# ---- restarts of the gateway ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("metrics", [3, 400])
def test_a_restart_of_the_gateway_makes_no_double_and_tells_what_may_be_missing(metrics: int) -> None:
    b, node = bench(), Node()
    b.hear(node.birth(*(at(n, float(n), name=f"m{n}", alias=n + 1) for n in range(metrics))))
    b.hear(node.data(at(1000, 7.0, alias=1)))
    resume = b.translator.resume() if b.translator else None
    after = bench(resume)
    assert [type(fact).__name__ for fact in after.reconnected("gateway_down")] == ["AskRebirth"]
    values = [
        at(1000, 7.0, name="m0", alias=1),
        *(at(n, float(n), name=f"m{n}", alias=n + 1) for n in range(1, metrics)),
    ]
    after.hear(node.birth(*values))
    assert [item for item in after.taken.items if isinstance(item, Reading)] == []
    assert (after.taken.repeats, after.taken.gaps) == (metrics, [])
    again = bench(resume)
    again.reconnected("gateway_down")
    again.hear(node.birth(at(2000, 8.0, name="m0", alias=1), *values[1:]))
    assert readings(again, "m0") == [(2000, 8.0, 0)]
    (gap,) = again.taken.gaps
    assert (gap.fields["cause"], gap.fields["channels"], gap.fields["possible"]) == ("gateway_down", ["m0"], True)
    assert (gap.fields["t_from"] // MS - T0, gap.fields["t_to"] // MS - T0) == (1000, 2000)


def test_a_state_is_not_told_again_after_a_restart_but_after_an_absence() -> None:
    b, node = bench(), Node()
    birth = node.birth(at(0, "3", "String", name="State", alias=2), at(0, 1.0, name="a"))
    b.hear(birth)
    after = bench(b.translator.resume() if b.translator else None)
    after.reconnected("gateway_down")
    after.hear(node.birth(at(0, "3", "String", name="State", alias=2), at(0, 1.0, name="a")))
    assert drafts(after, MachineStateChanged) == []
    assert after.translator is not None
    assert [d.fields["state"] for d in after.translator.away(after.received)] == ["NO_DATA"]
    after.hear(node.birth(at(0, "3", "String", name="State", alias=2), at(0, 1.0, name="a"), seq=0, control=False))
    assert [d.fields["state"] for d in drafts(after, MachineStateChanged)] == ["EXECUTE"]


def test_a_wrong_clock_is_told_and_nothing_corrected() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1.0, name="a", alias=1)), node.data(at(60_000, 2.0, alias=1)))
    assert readings(b)[-1] == (60_000, 2.0, 0)
    assert [d.fields["within"] for d in drafts(b, ClockSkew)] == [False]


def test_whatever_payloads_come_no_error_leaves_and_the_good_ones_arrive() -> None:
    """1,000 spoiled payloads here; 10,000 in the long form."""
    spoil(1_000)


def spoil(count: int) -> None:
    rng = random.Random(seed_of_run())
    b, node = bench(), Node()
    good = 0
    b.hear(
        node.birth(
            at(0, 1.0, name="a", alias=1),
            at(0, "3", "String", name="State", alias=2),
            at(0, 1, "Int16", name="b", alias=3),
        )
    )
    for n in range(count):
        said = [
            at(n, float(n), alias=1),
            at(n, "HELD" if n % 2 else "3", "String", alias=2),
            at(n, n % 30_000, "Int16", alias=3),
        ]
        topic, sound = node.birth(*said) if n % 50 == 49 else node.data(*said)
        raw = bytearray(sound)
        for _ in range(rng.randrange(1, 8)):
            place = rng.randrange(len(raw))
            choice = rng.randrange(3)
            if choice == 0:
                raw[place] = rng.randrange(256)
            elif choice == 1:
                del raw[place]
            else:
                raw.insert(place, rng.randrange(256))
        try:
            found = Payload.FromString(bytes(raw))
        except DecodeError:
            found = None
        try:
            if found is not None:
                facts = b.host.take(parse(topic), found, b.received, zlib.crc32(raw), b.now)
                b._keep(facts)
        except BadInput as error:
            raise AssertionError(f"{bytes(raw)!r} left as {error}") from error
        b.wait(1)
        if n % 20 == 0:
            node.seq = 0
            b.hear(
                node.birth(
                    at(n, float(n), name="a", alias=1),
                    at(n, "3", "String", name="State", alias=2),
                    at(n, 1, "Int16", name="b", alias=3),
                )
            )
            b.hear(node.data(at(n, 1e6 + n, alias=1)))
            good += 1
    arrived = {value for _, value, status in readings(b) if status == 0 and isinstance(value, float) and value >= 1e6}
    assert len({1e6 + n for n in range(0, count, 20)} - arrived) == 0
    assert good == len(range(0, count, 20))


def test_a_metric_in_quarantine_can_be_taken_again_at_its_own_time() -> None:
    b, node = bench(), Node()
    b.hear(node.birth(at(0, 1, "Int8", name="b", alias=2)), node.data(at(7, 999, "", field="int_value", alias=2)))
    (refused,) = drafts(b, Quarantined)
    record = Quarantined(
        stream=StreamId("e", "N", "quarantine"),
        number=1,
        signals=0,
        time=refused.time,
        received=refused.received,
        **refused.fields,
    )
    assert b.translator is not None
    with pytest.raises(BadInput):
        refuse_what_is_quarantined(b.translator.replay(record, record.raw))
    fixed = Payload.FromString(payload([at(7, 99, "", field="int_value", alias=2)], 0)).metrics[0].SerializeToString()
    (reading,) = b.translator.replay(record, fixed)
    assert (reading.channel, reading.time // MS - T0, reading.value) == ("b", 7, 99)  # type: ignore[union-attr]
