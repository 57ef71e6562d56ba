"""What a Sparkplug host believes, by the specification's assertions (test names carry their ids): order, births, deaths, rebirths."""

from __future__ import annotations

import pytest

from shinkei_events.errors import BadField
from shinkei_gateway.sparkplug import facts
from shinkei_gateway.sparkplug.facts import AskRebirth, Born, Deviates, Died, Lost, Said
from shinkei_gateway.sparkplug.topic import NodeId, filters, parse
from tests.support.sparkplug_node import T0, Bench, Node, metric, payload


def kinds(found: list[facts.Fact]) -> list[str]:
    return [type(fact).__name__ for fact in found]


def values(found: list[facts.Fact]) -> list[float]:
    return [fact.payload.metrics[0].double_value for fact in found if isinstance(fact, Said)]


def born(bench: Bench, node: Node, *devices: str) -> None:
    bench.hear(node.birth(metric(0.0, name="x", alias=1)))
    bench.hear(*(node.device_birth(device, metric(0.0, name="y", alias=10 + at)) for at, device in enumerate(devices)))
    assert not [fact for fact in bench.facts if not isinstance(fact, Born)]
    bench.facts.clear()


# ---- topics ------------------------------------------------------------------------------------------------------------------
def test_tck_id_topic_structure() -> None:
    assert parse("spBv1.0/G/NBIRTH/N") == ("NBIRTH", NodeId("G", "N"), None)
    assert parse("spBv1.0/G/DDATA/N/D") == ("DDATA", NodeId("G", "N"), "D")


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/G/NBIRTH", "spBv1.0/G/NBIRTH/N/D", "spBv1.0/G/DBIRTH/N", "spBv1.0/G/NCMD/N", "spBv1.0/STATE/h", "spAv1.0/G/NDATA/N",
     "spBv1.0//NDATA/N", "spBv1.0/G/DDATA/N/D/E", "spbv1.0/G/NDATA/N", "spBv1.0/G/ndata/N", ""],
)  # fmt: skip
def test_tck_id_topic_structure_namespace_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(BadField):
        parse(topic)


def test_tck_id_case_sensitivity_sparkplug_ids() -> None:
    assert parse("spBv1.0/G/NDATA/n").id != parse("spBv1.0/G/NDATA/N").id


def test_a_host_subscribes_to_whom_it_hears_and_never_to_commands() -> None:
    assert filters([], []) == [f"spBv1.0/+/{k}/+" for k in ("NBIRTH", "NDATA", "NDEATH")] + [
        f"spBv1.0/+/{k}/+/+" for k in ("DBIRTH", "DDATA", "DDEATH")
    ]
    assert filters(["A"], ["A/n1"])[0] == "spBv1.0/A/NBIRTH/n1"


# ---- births and sequence -----------------------------------------------------------------------------------------------------
def test_tck_id_payloads_sequence_num_req_nbirth() -> None:
    """NBIRTH restarts the sequence, whatever number it has: 0 by the specification, others in the field."""
    bench, node = Bench(), Node()
    assert kinds(bench.hear(node.birth(metric(1.0, name="x"), seq=7))) == ["Deviates", "Born"]
    assert values(bench.hear(node.data(metric(2.0, name="x")))) == [2.0]


def test_tck_id_payloads_sequence_num_incrementing_over_255() -> None:
    bench, node = Bench(), Node()
    born(bench, node, "D")
    for n in range(600):
        device = "D" if n % 3 else None
        assert values(bench.hear(node.data(metric(float(n), alias=1), device=device))) == [float(n)]
    assert kinds(bench.wait(60)) == []


def test_tck_id_operational_behavior_host_reordering_success() -> None:
    bench, node = Bench(window=5), Node()
    born(bench, node)
    first, second, third = (node.data(metric(float(n), alias=1)) for n in range(3))
    assert bench.hear(third, second) == []
    assert bench.wait(4) == []
    assert values(bench.hear(first)) == [0.0, 1.0, 2.0]
    assert bench.wait(60) == []


def test_tck_id_operational_behavior_host_reordering_rebirth() -> None:
    bench, node = Bench(window=5), Node()
    born(bench, node)
    lost = [node.data(metric(float(n), alias=1)) for n in range(3)]
    assert bench.hear(node.data(metric(9.0, alias=1))) == []
    assert bench.wait(4.9) == []
    found = bench.wait(0.2)
    assert kinds(found) == ["Lost", "Said", "AskRebirth"]
    assert isinstance(found[0], Lost)
    assert found[0].messages == 3
    assert values(found) == [9.0]
    assert values(bench.hear(lost[1])) == [1.0]  # late, but true
    assert kinds(bench.hear(node.birth(metric(9.0, name="x", alias=1)))) == ["Born"]
    assert isinstance(bench.facts[-1], Born)
    assert bench.facts[-1].cause == "sparkplug_seq"


def test_tck_id_operational_behavior_host_reordering_param_zero_gives_up_at_once() -> None:
    bench, node = Bench(window=0), Node()
    born(bench, node)
    node.next()
    assert kinds(bench.hear(node.data(metric(1.0, alias=1)))) == []
    assert kinds(bench.wait(0)) == ["Lost", "Said", "AskRebirth"]


def test_tck_id_operational_behavior_host_reordering_start_anew_for_a_second_hole() -> None:
    bench, node = Bench(window=5), Node()
    born(bench, node)
    one, two, three, four = (node.data(metric(float(n), alias=1)) for n in range(4))
    bench.hear(two, four)
    bench.wait(3)
    assert values(bench.hear(one)) == [0.0, 1.0]
    assert bench.wait(3) == []
    assert values(bench.hear(three)) == [2.0, 3.0]


def test_a_birth_without_a_time_counts_each_time() -> None:
    """Asked for a rebirth, such a node sends the same bytes and begins its sequence anew."""
    bench, node = Bench(), Node()
    node.ms = None  # type: ignore[assignment]
    for _ in range(2):
        assert kinds(bench.hear(node.birth(metric(0.0, name="x")))) == ["Born"]
        assert values(bench.hear(node.data(metric(1.0, name="x")), node.data(metric(2.0, name="x")))) == [1.0, 2.0]
    assert kinds(bench.wait(60)) == []


def test_a_message_that_comes_twice_counts_once() -> None:
    bench, node = Bench(), Node()
    birth = node.birth(metric(0.0, name="x", alias=1))
    first, second = node.data(metric(1.0, alias=1)), node.data(metric(2.0, alias=1))
    bench.hear(birth, birth, first, first, second, first, second, birth)
    assert values(bench.facts) == [1.0, 2.0]
    assert kinds(bench.wait(60)) == []
    assert bench.host.nodes[node.id].reorder.duplicates == 5


def test_rebirth_requests_are_repeated_but_not_more_often_than_allowed() -> None:
    bench, node = Bench(window=1, rebirth=10), Node()
    born(bench, node)
    node.next()
    bench.hear(node.data(metric(1.0, alias=1)))
    assert kinds(bench.wait(1))[-1] == "AskRebirth"
    for _ in range(30):
        node.next()
        bench.hear(node.data(metric(1.0, alias=1)))
        bench.wait(0.3)
    assert kinds(bench.facts).count("AskRebirth") == 1
    assert kinds(bench.wait(1)).count("AskRebirth") == 1
    bench.hear(node.birth(metric(1.0, name="x", alias=1)))
    assert kinds(bench.wait(600)) == []


def test_data_before_a_birth_asks_for_it_and_is_told_as_lost_only_of_a_node_that_was_known() -> None:
    bench, node = Bench(), Node()
    assert kinds(bench.hear(node.data(metric(1.0, alias=1)))) == ["AskRebirth"]
    assert kinds(bench.hear(node.data(metric(1.0, alias=1)), node.birth(metric(1.0, name="x")))) == ["Born"]
    known = Bench(known=["G/N"])
    assert kinds(known.reconnected("gateway_down")) == ["AskRebirth"]
    known.hear(node.data(metric(1.0, alias=1)), node.data(metric(2.0, alias=1)))
    found = known.hear(node.birth(metric(1.0, name="x")), node.device_birth("D"))
    assert kinds(found) == ["Lost", "Born", "Born"]
    assert isinstance(found[0], Lost)
    assert found[0].messages == 2
    assert [fact.cause for fact in found if isinstance(fact, Born)] == ["gateway_down", "gateway_down"]


def test_tck_id_principles_birth_certificates_order_data_of_an_unborn_device_asks_for_a_rebirth() -> None:
    bench, node = Bench(), Node()
    born(bench, node)
    assert kinds(bench.hear(node.data(metric(1.0, alias=1), device="D"))) == ["AskRebirth"]
    assert kinds(bench.wait(5)) == ["Lost"]


# ---- deaths ------------------------------------------------------------------------------------------------------------------
def test_tck_id_operational_behavior_edge_node_termination_host_action_ndeath_node_offline() -> None:
    """At the host's own time, with all devices, and what comes afterwards is not believed."""
    bench, node = Bench(), Node()
    born(bench, node, "D")
    bench.wait(7)
    assert bench.hear(node.death()) == [Died(node.id, None, bench.received, bench.received)]
    node.next()
    assert kinds(bench.hear(node.data(metric(1.0, alias=1)))) == ["AskRebirth"]
    node.bdseq = 1
    found = bench.hear(
        node.birth(metric(1.0, name="x", alias=1)), node.device_birth("D", metric(1.0, name="y", alias=10))
    )
    assert [(fact.device, fact.cause) for fact in found if isinstance(fact, Born)] == [
        (None, "source_restarted"),
        ("D", "source_restarted"),
    ]


def test_tck_id_operational_behavior_edge_node_termination_host_action_ddeath_devices_offline() -> None:
    """At the time in the payload; the node and its other devices go on."""
    bench, node = Bench(), Node()
    born(bench, node, "D", "E")
    node.ms = T0 + 1234
    assert bench.hear(node.device_death("D")) == [Died(node.id, "D", (T0 + 1234) * 1_000_000, bench.received)]
    assert values(bench.hear(node.data(metric(5.0, alias=11), device="E"))) == [5.0]


def test_tck_id_topics_nbirth_bdseq_matching() -> None:
    """The will of an older session says nothing of the one that lives."""
    bench, node = Bench(), Node(bdseq=3)
    born(bench, node)
    assert bench.hear(node.death(2)) == []
    assert values(bench.hear(node.data(metric(1.0, alias=1)))) == [1.0]
    assert kinds(bench.hear(node.death(3))) == ["Died"]
    assert bench.hear(node.death(3)) == []


def test_tck_id_payloads_ndeath_bdseq_left_out_is_believed_and_reported() -> None:
    bench, node = Bench(), Node(bdseq=None)
    assert kinds(bench.hear(node.birth(metric(1.0, name="x")))) == ["Deviates", "Born"]
    assert kinds(bench.hear(node.death())) == ["Deviates", "Died"]


def test_tck_id_topics_nbirth_bdseq_increment_never_counted_up_is_understood_and_reported() -> None:
    """The old session's will comes after the new birth, with the same number: the sequence that goes on takes it back."""
    bench, node = Bench(), Node()
    born(bench, node, "D")
    bench.hear(node.death())
    assert kinds(bench.hear(node.birth(metric(1.0, name="x", alias=1)))) == ["Deviates", "Born"]
    bench.hear(node.device_birth("D", metric(1.0, name="y", alias=10)))
    assert kinds(bench.hear(node.death())) == ["Died"]
    assert kinds(bench.hear(node.data(metric(3.0, alias=10), device="D"))) == ["Said", "AskRebirth"]
    assert values(bench.facts)[-1] == 3.0


def test_a_device_that_is_not_born_again_is_offline() -> None:
    bench, node = Bench(window=5), Node()
    born(bench, node, "D", "E")
    bench.hear(node.birth(metric(1.0, name="x")), node.device_birth("D"))
    assert bench.wait(4) == []
    (died,) = bench.wait(1)
    assert isinstance(died, Died)
    assert (died.device, died.time) == ("E", bench.received)


# ---- the host's own absences ---------------------------------------------------------------------------------------------------
def test_after_an_absence_known_nodes_are_asked_and_who_stays_silent_is_offline() -> None:
    bench, node, dead = Bench(window=5, rebirth=10), Node(), Node(name="dead")
    born(bench, node)
    born(bench, dead)
    bench.wait(100)
    assert kinds(bench.reconnected()) == ["AskRebirth", "AskRebirth"]
    bench.hear(node.birth(metric(1.0, name="x", alias=1)))
    assert isinstance(bench.facts[-1], Born)
    assert bench.facts[-1].cause == "mqtt_session_lost"
    later = bench.wait(25)
    assert kinds(later) == ["Died"]
    assert later[0].node == dead.id


def test_messages_lost_while_the_host_was_away_are_counted_by_the_birth() -> None:
    bench, node = Bench(), Node()
    born(bench, node)
    for _ in range(4):
        node.next()
    bench.reconnected()
    bench.hear(node.data(metric(1.0, alias=1)))
    found = bench.hear(node.birth(metric(2.0, name="x", alias=1)))
    assert kinds(found) == ["Lost", "Said", "Born"]
    assert isinstance(found[0], Lost)
    assert found[0].messages == 4


# ---- leniency ------------------------------------------------------------------------------------------------------------------
def test_tck_id_topics_nbirth_rebirth_metric_left_out_is_reported_once() -> None:
    bench, node = Bench(), Node()
    told = bench.hear(node.birth(metric(1.0, name="x"), control=False))
    assert told[0] == Deviates(node.id, "NBIRTH without Node Control/Rebirth")
    assert kinds(bench.hear(node.birth(metric(2.0, name="x"), control=False))) == ["Born"]


def test_tck_id_payloads_sequence_num_always_included_left_out_is_taken_as_it_comes_and_reported() -> None:
    bench, node = Bench(), Node()
    born(bench, node)
    topic, _ = node.data(metric(1.0, alias=1))
    assert kinds(bench.hear((topic, payload([metric(1.0, alias=1)], None)))) == ["Deviates", "Said"]


def test_an_unknown_alias_asks_for_a_rebirth() -> None:
    bench, node = Bench(), Node()
    born(bench, node)
    found = bench.host.want_rebirth(node.id, "alias 7 is in no birth", bench.now)
    assert found == [AskRebirth(node.id, "alias 7 is in no birth")]
