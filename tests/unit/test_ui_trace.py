"""What a trace says in a line and draws: a number that may be told to a customer, and names that are not printed over each other."""

from __future__ import annotations

from shinkei_trace.query import Answer, Link, Node
from shinkei_ui.parts import charts
from shinkei_ui.parts.units import counted
from shinkei_ui.words import Words

TITLES = {"PUMP": "Electric coolant pump 40 W"}


def answer() -> Answer:
    """A box of two pumps, each with its body, from one lot of bearings."""
    nodes = [Node(unit="BX-1", type="container", item="BOX", depth=0, certainty=1.0)]
    links = []
    for number in (1, 2):
        pump, body = f"EP-{number}", f"BD-{number}"
        nodes += [
            Node(unit=pump, type="serial", item="PUMP", depth=1, certainty=1.0),
            Node(unit=body, type="serial", item="BODY", depth=2, certainty=1.0),
        ]
        for source, target, kind in (("BX-1", pump, "container"), (pump, body, "serial")):
            links.append(
                Link(
                    source=body if target == body else pump,
                    source_type="serial",
                    target=source,
                    target_type=kind,
                    kind="consumed",
                    t_from=0,
                    t_to=None,
                    eid=f"e{number}{kind}",
                    certainty=1.0,
                )
            )
    nodes.append(Node(unit="BRG-7", type="supplier_lot", item="BEARING", depth=3, certainty=1.0))
    links += [
        Link(source="BRG-7", source_type="supplier_lot", target=f"BD-{n}", target_type="serial", kind="consumed", t_from=0, t_to=None, eid=f"l{n}", certainty=1.0)
        for n in (1, 2)
    ]  # fmt: skip
    return Answer(
        unit="BX-1", type="container", direction="backward", as_of=None, nodes=nodes, links=links, gaps=[], truncated=False
    )  # fmt: skip


def test_components_are_not_counted_as_parts() -> None:
    assert counted(answer(), Words("en"), TITLES) == [
        ("Electric coolant pump 40 W", 2),
        ("BODY", 2),
        (Words("en")("unit.many.supplier_lot"), 1),
    ]


def test_a_kind_of_one_item_is_told_by_its_kind() -> None:
    only = answer()
    pumps = [node for node in only.nodes if node.item in {"BOX", "PUMP"}]
    found = counted(Answer(**{name: getattr(only, name) for name in only.__struct_fields__} | {"nodes": pumps}), Words("ja"), TITLES)  # fmt: skip
    assert found == [("部品数", 2)]


def test_a_name_has_no_more_room_than_its_layer() -> None:
    spec = charts.sankey(answer(), Words("en"), TITLES)
    assert spec is not None
    series = spec["series"][0]
    layers = 4
    pitch = (charts.NARROWEST - series["left"] - series["right"]) / (layers - 1)
    assert series["label"]["overflow"] == "break"
    assert 70 <= series["label"]["width"] < pitch - series["nodeWidth"]
