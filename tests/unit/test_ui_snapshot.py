"""The snapshot, its patches and who listens: a browser that applied every patch has what the server has, or knows that it has not."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shinkei_ui.live.hub import QUEUE_MOST, Hub, server_sent_events
from shinkei_ui.live.snapshot import LIST_MOST, Snapshot, Tape

KEYS = st.sampled_from(["OP10", "OP20", "OP30"])
FIELDS = st.dictionaries(st.sampled_from(["state", "since", "+spark"]), st.integers(0, 9), min_size=1, max_size=3)
CHANGES = st.lists(
    st.one_of(st.tuples(st.just("put"), KEYS, FIELDS), st.tuples(st.just("drop"), KEYS, st.just({})), st.tuples(st.just("flush"), KEYS, st.just({}))),
    max_size=60,
)  # fmt: skip


def over_the_wire(value: object) -> object:
    return json.loads(json.dumps(value))


@given(CHANGES)
def test_who_applies_every_patch_has_what_the_server_has(changes: list[tuple[str, str, dict[str, int]]]) -> None:
    snapshot = Snapshot()
    tape = Tape(over_the_wire(snapshot.full()))  # type: ignore[arg-type]
    for what, key, fields in [*changes, ("flush", "", {})]:
        if what == "put":
            snapshot.put("machines", key, fields)
        elif what == "drop":
            snapshot.drop("machines", key)
        elif (patch := snapshot.patch()) is not None:
            assert tape.apply(over_the_wire(patch))  # type: ignore[arg-type]
    assert over_the_wire(tape.tree) == over_the_wire(snapshot.full()["tree"])
    assert tape.number == snapshot.number


def test_a_missing_patch_is_noticed_and_a_known_one_changes_nothing() -> None:
    snapshot = Snapshot()
    tape = Tape(snapshot.full())
    patches = []
    for number in range(3):
        snapshot.put("machines", "OP10", {"state": number})
        patches.append(snapshot.patch())
    assert tape.apply(patches[0])  # type: ignore[arg-type]
    assert not tape.apply(patches[2])  # type: ignore[arg-type]
    assert tape.tree["machines"]["OP10"] == {"state": 0}
    assert tape.apply(patches[0])  # type: ignore[arg-type]
    assert tape.apply(patches[1])  # type: ignore[arg-type]
    assert tape.apply(patches[2])  # type: ignore[arg-type]


def test_what_did_not_change_is_not_sent() -> None:
    snapshot = Snapshot()
    snapshot.put("machines", "OP10", {"state": "EXECUTE", "since": 1})
    assert snapshot.patch() is not None
    snapshot.put("machines", "OP10", {"state": "EXECUTE", "since": 1})
    assert snapshot.patch() is None
    snapshot.drop("machines", "OP99")
    assert snapshot.patch() is None


def test_curves_keep_their_last_points_and_full_refuses_to_come_with_changes_waiting() -> None:
    snapshot = Snapshot()
    for point in range(LIST_MOST + 5):
        snapshot.put("machines", "OP10", {"+spark": point})
    with pytest.raises(RuntimeError):
        snapshot.full()
    snapshot.patch()
    assert snapshot.full()["tree"]["machines"]["OP10"]["spark"] == list(range(5, LIST_MOST + 5))


def test_a_listener_gets_everything_then_every_patch_in_order() -> None:
    async def scenario() -> list[str]:
        hub, stopped = Hub(), False
        hub.put("machines", "OP10", {"n": 0})
        events = server_sent_events(hub, lambda: 1_000, lambda: stopped, tick=0.05)
        found = [(await anext(events)).decode()]
        assert hub.listeners == 1
        for n in range(1, 4):
            hub.put("machines", "OP10", {"n": n})
            hub.flush()
        while sum("event: patch" in text for text in found) < 3:
            found.append((await anext(events)).decode())
        stopped = True
        found += [text.decode() async for text in events]
        assert hub.listeners == 0
        return found

    found = asyncio.run(scenario())
    full = json.loads(found[0].partition("data: ")[2])
    assert full["tree"]["machines"]["OP10"]["n"] == 0
    assert full["now"] == 1_000
    patches = [json.loads(text.partition("data: ")[2]) for text in found if "event: patch" in text]
    assert [patch["number"] for patch in patches] == [full["number"] + n for n in (1, 2, 3)]
    assert any(text == 'event: tick\ndata: {"now":1000}\n\n' for text in found)


def test_a_sleeping_listener_is_let_go_and_holds_nobody_up() -> None:
    async def scenario() -> None:
        hub = Hub()
        events = server_sent_events(hub, lambda: 0, lambda: False)
        await anext(events)
        for n in range(QUEUE_MOST + 10):
            hub.put("machines", "OP10", {"n": n})
            hub.flush()
            await asyncio.sleep(0)
        rest = [text async for text in events]
        assert len(rest) <= QUEUE_MOST + 2
        assert hub.listeners == 0

    asyncio.run(asyncio.wait_for(scenario(), 300))


def test_keep_makes_a_section_hold_exactly_what_is_given() -> None:
    hub = Hub()
    hub.put("alarms", "old", {"state": "ACTIVE_UNACK"})
    hub.keep("alarms", {"new": {"state": "ACTIVE_ACK"}})
    assert hub.keys("alarms") == ["new"]
    assert hub.get("alarms", "new") == {"state": "ACTIVE_ACK"}
