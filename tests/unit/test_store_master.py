"""Which versions a plant's file makes of what is on record."""

from __future__ import annotations

from typing import Any

import msgspec

from shinkei_events.model.master import IdealCycle, Machine, MasterData
from shinkei_store.master import changes, kind_of

NOW = 1_800_000_000_000_000_000
OP10 = Machine(name="OP10", path="demo/pumps/line1/OP10", title={"en": "Casting"})


def on_record(*documents: MasterData) -> dict[tuple[str, str], tuple[int, dict[str, Any]]]:
    return {(kind_of(each), each.name): (each.version, msgspec.to_builtins(each)) for each in documents}


def test_the_first_version_holds_since_ever() -> None:
    [change] = changes([OP10], {}, NOW)
    assert change[:4] == ("machine", "OP10", "added", 1)
    assert change.document.valid_from == 0


def test_the_same_again_is_no_change() -> None:
    [first] = changes([OP10], {}, NOW)
    assert changes([OP10], on_record(first.document), NOW + 1) == []


def test_a_change_is_a_version_from_now_on_and_again_none() -> None:
    [first] = changes([OP10], {}, NOW)
    moved = msgspec.structs.replace(OP10, path="demo/pumps/line2/OP10")
    [second] = changes([moved], on_record(first.document), NOW)
    assert (second.change, second.version, second.document.valid_from) == ("changed", 2, NOW)
    assert changes([moved], on_record(second.document), NOW + 1) == []


def test_the_file_may_say_from_when() -> None:
    cycle = IdealCycle(name="OP10/A", machine="OP10", product="A", seconds=5.0)
    later = msgspec.structs.replace(cycle, seconds=4.0, valid_from=NOW + 5)
    [change] = changes([later], on_record(cycle), NOW)
    assert change.kind == "ideal_cycle"
    assert change.document.valid_from == NOW + 5


def test_retiring_is_a_version() -> None:
    [change] = changes([msgspec.structs.replace(OP10, retired=True)], on_record(OP10), NOW)
    assert (change.change, change.version) == ("retired", 2)


def test_kinds_do_not_share_names() -> None:
    cycle = IdealCycle(name="OP10", machine="OP10", product="A", seconds=5.0)
    assert [change.kind for change in changes([OP10, cycle], on_record(OP10), NOW)] == ["ideal_cycle"]
