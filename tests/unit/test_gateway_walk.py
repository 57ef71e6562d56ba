"""The walk over an address space: every node once, within the server's limits, whatever it answers."""

from __future__ import annotations

import tracemalloc

import pytest

from shinkei_gateway.opcua.tree import Tree
from shinkei_gateway.opcua.walk import BAD_CONTINUATION_POINT_INVALID, Answer, Step
from tests.support.address_space import StrictServer, folders, reference, walked

BAD_RESPONSE_TOO_LARGE = 0x80B90000


def test_every_node_is_found_once_whatever_loops_there_are() -> None:
    tree, walk = walked(StrictServer(folders(30, 25)))
    assert len(tree.nodes) == 1 + 30 + 30 * 25
    assert len(tree.places) == len(tree.nodes)
    assert walk.is_done
    assert len(list(tree.below(0))) == len(tree.nodes)


@pytest.mark.parametrize("points", [1, 5])
def test_few_continuation_points_are_enough_and_none_stays_open(points: int) -> None:
    server = StrictServer(folders(40, 95), references=10, points=points)
    tree, _ = walked(server)
    assert len(tree.nodes) == 1 + 40 + 40 * 95
    assert (server.open, server.most_open) == (0, points)
    assert tree.refused == []


def test_a_call_that_is_too_big_is_halved_until_the_server_takes_it() -> None:
    server = StrictServer(folders(50, 20), nodes_a_call=7)
    tree, _ = walked(server, nodes_a_call=100)
    assert len(tree.nodes) == 1 + 50 + 50 * 20
    assert 0 < server.refused_calls < 20


def test_the_walk_stops_at_the_depth_and_at_the_number_of_nodes() -> None:
    tree, _ = walked(StrictServer(folders(20, 20)), depth=1)
    assert (len(tree.nodes), tree.is_cut) == (21, False)
    server = StrictServer(folders(20, 20), references=5, points=50)
    tree, walk = walked(server, most=100)
    assert (len(tree.nodes), tree.is_cut) == (100, True)
    assert len(walk.take_points()) == server.open, "what is not continued is given back to be released"


def test_a_node_that_cannot_be_browsed_is_told_and_its_neighbours_are_walked() -> None:
    class Refusing(StrictServer):
        def _part(self, key: tuple[int, object], begin: int) -> Answer:
            return Answer(0x80340000, [], None) if key == (2, 3) else super()._part(key, begin)

    tree, _ = walked(Refusing(folders(5, 4)))
    assert [(tree.nodes[place].name, status) for place, status in tree.refused] == [("F3", 0x80340000)]
    assert len(tree.nodes) == 1 + 5 + 4 * 4


def test_a_node_whose_answer_is_too_big_or_that_is_not_answered_is_told_too() -> None:
    class Short(StrictServer):
        def ask(self, tree: Tree, step: Step) -> list[Answer] | int:
            asked = [tree.nodes[place].key for place in step.places]
            if (2, 1) in asked:
                return BAD_RESPONSE_TOO_LARGE
            found = super().ask(tree, step)
            return found if isinstance(found, int) or (2, 3) not in asked else found[: asked.index((2, 3))]

    server = Short(folders(5, 4), nodes_a_call=1, references=100)
    tree, walk = walked(server, nodes_a_call=1)
    assert walk.is_done
    assert {(tree.nodes[place].name, status) for place, status in tree.refused} == {
        ("F1", BAD_RESPONSE_TOO_LARGE),
        ("F3", 0x80010000),
    }
    assert len(tree.nodes) == 1 + 5 + 3 * 4


def test_a_node_whose_continuation_point_is_dropped_again_and_again_is_told() -> None:
    class Forgetful(StrictServer):
        def ask(self, tree: Tree, step: Step) -> list[Answer] | int:
            if step.do == "browse" or tree.nodes[step.places[0]].key != (2, 2):
                return super().ask(tree, step)
            self._open.pop(step.points[0])
            return [Answer(BAD_CONTINUATION_POINT_INVALID, [], None)]

    tree, _ = walked(Forgetful(folders(5, 15)), nodes_a_call=1)
    assert [(tree.nodes[place].name, status) for place, status in tree.refused] == [
        ("F2", BAD_CONTINUATION_POINT_INVALID)
    ]
    assert len(tree.nodes) == 1 + 5 + 4 * 15 + 10, "what was told before stays"


def test_a_call_that_fails_for_another_reason_ends_the_walk() -> None:
    _, walk = walked(StrictServer({}))
    walk._todo.append(0)
    step = walk.next()
    assert step is not None
    assert not walk.failed(step, 0x80100000), "one node cannot be halved"


def test_a_hundred_thousand_nodes_in_bounded_memory() -> None:
    nodes = folders(1000, 100)
    tracemalloc.start()
    try:
        tree, _ = walked(StrictServer(nodes, references=50))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(tree.nodes) == 101_001
    assert used < 80e6


def test_a_node_reached_twice_is_a_child_of_both() -> None:
    nodes = {
        (0, 85): [reference(1, "Machines"), reference(2, "DeviceSet")],
        (2, 1): [reference(3, "M1")],
        (2, 2): [reference(3, "M1")],
    }
    tree, _ = walked(StrictServer(nodes))
    (machine,) = [at for at, node in enumerate(tree.nodes) if node.name == "M1"]
    assert [machine in tree.nodes[tree.child(0, name) or 0].children for name in ("Machines", "DeviceSet")] == [
        True,
        True,
    ]
