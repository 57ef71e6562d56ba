"""What each event changes on the board: the newest wins whatever the order of arrival, the past stays off the tiles, ages are honest."""

from __future__ import annotations

from typing import Any

import msgspec

from shinkei_events.identity import StreamId
from shinkei_events.model.alarm import AlarmChanged
from shinkei_events.model.anomaly import AnomalyChanged, Contribution
from shinkei_events.model.frame import Context, Frame
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Machine, Reason, Signal
from shinkei_events.model.numbered import SignalDescribed
from shinkei_ui.live.hub import Hub
from shinkei_ui.live.picture import Picture

S = 1_000_000_000
T0 = 1_700_000_000 * S
NOW = T0 + 100 * S
LIVE = StreamId("e", "OP10", "signals")
PRODUCTION = StreamId("e", "OP10", "production")


def a_board() -> tuple[Hub, Picture]:
    hub = Hub()
    machines = [Machine(name="OP10", path="s/a/l/OP10", title={"en": "Casting"})]
    signals = [
        Signal(name="OP10/t", machine="OP10", signal="t", unit="°C"),
        Signal(name="OP10/p", machine="OP10", signal="p"),
    ]
    return hub, Picture(hub.put, hub.drop, machines, signals, [Reason(name="break", category="planned")])


def frame(
    time: int,
    value: Any = 1.0,
    status: int = 0,
    received: int | None = None,
    stream: StreamId = LIVE,
    channel: str = "t",
) -> Frame:
    return Frame(
        stream, 1, time, Context("EXECUTE"), [channel], [0], [0], [value], [(1, status)], [(1, received or time)], 0
    )


def state(at: int, name: str, number: int = 1, stream: StreamId = PRODUCTION, **more: Any) -> MachineStateChanged:
    return MachineStateChanged(stream=stream, number=number, signals=0, time=at, received=at, state=name, **more)  # type: ignore[arg-type]


def tile(hub: Hub) -> dict[str, Any]:
    return hub.get("machines", "OP10")


def test_a_unit_is_the_plants_else_the_sources() -> None:
    hub, picture = a_board()
    picture.described("OP10", "t", "K")
    picture.described("OP10", "p", None)
    picture.described("OP10", "unknown", "K")
    assert [each["unit"] for each in tile(hub)["shown"]] == ["°C", None]
    told = SignalDescribed(
        stream=PRODUCTION, number=1, signals=0, time=T0, received=T0, name="p", source="op10", unit="bar"
    )
    picture.event(told, NOW)
    assert [each["unit"] for each in tile(hub)["shown"]] == ["°C", "bar"]


def test_an_older_state_never_replaces_a_newer_one() -> None:
    hub, picture = a_board()
    picture.event(state(T0 + 2 * S, "ABORTED", 2), NOW)
    picture.event(state(T0 + S, "EXECUTE", 1), NOW)
    picture.known_state("OP10", "IDLE", None, T0, None, None)
    assert (tile(hub)["state"], tile(hub)["level"]) == ("ABORTED", "fault")
    picture.event(state(T0 + 3 * S, "HELD", 3, reason="break"), NOW)
    assert (tile(hub)["state"], tile(hub)["level"], tile(hub)["since"]) == ("HELD", "rest", (T0 + 3 * S) // 1_000_000)


def test_history_is_not_live() -> None:
    hub, picture = a_board()
    past = StreamId("e", "OP10", "history")
    picture.event(state(T0, "ABORTED", stream=past), NOW)
    picture.frame(frame(T0, stream=past), NOW)
    assert (tile(hub)["state"], tile(hub)["fresh"]) == (None, None)
    assert "value.t" not in tile(hub)


def test_frames_tell_the_state_until_the_first_change_is_seen() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0), NOW)
    assert (tile(hub)["state"], tile(hub)["since"]) == ("EXECUTE", None)
    picture.event(state(T0 + S, "HELD", 1), NOW)
    picture.frame(frame(T0 + 2 * S), NOW)
    assert tile(hub)["state"] == "HELD"


def test_age_is_that_of_the_data_not_of_their_arrival() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0, received=NOW - 30 * S), NOW)
    assert tile(hub)["fresh"] == (NOW - 30 * S) // 1_000_000
    picture.frame(frame(T0 - S, received=NOW - 60 * S), NOW)
    assert tile(hub)["fresh"] == (NOW - 30 * S) // 1_000_000
    picture.frame(frame(T0, received=NOW + 10 * S), NOW)
    assert tile(hub)["fresh"] == NOW // 1_000_000


def test_a_quiet_machine_is_fresh_as_long_as_its_source_says_so() -> None:
    hub, picture = a_board()
    picture.frame(frame(NOW - 10 * S), NOW)
    quiet = Frame(LIVE, 2, NOW - S, Context(), [], [], [], [], [], [], 0, complete_until=NOW - S)
    picture.frame(quiet, NOW)
    assert tile(hub)["fresh"] == (NOW - S) // 1_000_000


def test_the_gateways_no_data_is_not_data() -> None:
    hub, picture = a_board()
    picture.event(state(NOW - S, "NO_DATA", by="gateway"), NOW)
    assert (tile(hub)["state"], tile(hub)["level"], tile(hub)["fresh"]) == ("NO_DATA", "unknown", None)


def test_a_bad_value_is_shown_as_bad_and_leaves_the_curve() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0, 20.5), NOW)
    picture.frame(frame(T0 + 5 * S, None, 0x80000000), NOW)
    assert tile(hub)["value.t"] == [None, "bad"]
    assert [point[1] for point in tile(hub)["spark"]] == [20.5]


def test_values_that_browsers_cannot_hold_are_text() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0, (1 << 60) + 1), NOW)
    assert tile(hub)["value.t"] == [str((1 << 60) + 1), "good"]
    picture.frame(frame(T0 + S, [1.0, 2.0]), NOW)
    assert tile(hub)["value.t"] == [None, "good"]


def alarm(revision: int, state: str, occurrence: int = 1) -> AlarmChanged:
    return AlarmChanged(id="a1", revision=revision, dedup_key="k", condition="c", machine="OP10", line=None, state=state, transition="raised",  # type: ignore[arg-type]
                        priority="P1", occurrence=occurrence, time=T0, since=T0, text={"en": "hot"})  # fmt: skip


def test_the_highest_revision_of_an_alarm_holds_and_normal_leaves() -> None:
    hub, picture = a_board()
    picture.event(alarm(2, "ACTIVE_ACK"), NOW)
    picture.event(alarm(1, "ACTIVE_UNACK"), NOW)
    assert hub.get("alarms", "a1")["state"] == "ACTIVE_ACK"
    picture.event(alarm(3, "NORMAL"), NOW)
    picture.event(alarm(2, "ACTIVE_ACK"), NOW)
    assert hub.keys("alarms") == []


def test_an_alarm_that_came_again_is_since_then_and_tells_the_figures_of_now() -> None:
    hub, picture = a_board()
    picture.event(alarm(1, "ACTIVE_UNACK"), NOW)
    again = {"transition": "raised_again", "time": T0 + 60 * S, "occurrence": 2}
    picture.event(msgspec.structs.replace(alarm(2, "ACTIVE_UNACK"), **again), NOW)
    assert hub.get("alarms", "a1")["since"] == (T0 + 60 * S) // 1_000_000
    gone = {"transition": "returned", "time": T0 + 90 * S, "occurrence": 2}
    picture.event(msgspec.structs.replace(alarm(3, "RTN_UNACK"), **gone), NOW)
    assert hub.get("alarms", "a1")["since"] == (T0 + 60 * S) // 1_000_000
    row = {"id": "a1", "machine": "OP10", "state": "RTN_UNACK", "priority": "P1", "occurrence": 2, "condition": "c"}
    row |= {"text": {"en": "hotter"}, "since": T0, "active_since": T0 + 55 * S}
    picture.known_alarms([row | {"revision": 3}])
    assert hub.get("alarms", "a1")["text"] == {"en": "hotter"}
    assert hub.get("alarms", "a1")["since"] == (T0 + 55 * S) // 1_000_000
    picture.known_alarms([row | {"revision": 2, "text": {"en": "older"}}])
    assert hub.get("alarms", "a1")["text"] == {"en": "hotter"}


def anomaly(revision: int, phase: str, began: int = T0, id: str = "x") -> AnomalyChanged:
    return AnomalyChanged(id=id, revision=revision, phase=phase, finding="anomaly", rule="joint", machine="OP10", stream=LIVE, first=1, last=2, began=began,  # type: ignore[arg-type]
                          time=began, score=5.0, threshold=4.0, peak=6.0, signals=[Contribution("t", 1.0)], detector="d")  # fmt: skip


def test_the_newest_open_anomaly_is_on_the_tile() -> None:
    hub, picture = a_board()
    picture.event(anomaly(1, "opened"), NOW)
    picture.event(anomaly(1, "opened", T0 + S, "y"), NOW)
    assert tile(hub)["anomaly"]["id"] == "y"
    picture.event(anomaly(2, "closed", T0 + S, "y"), NOW)
    assert tile(hub)["anomaly"]["id"] == "x"
    picture.event(anomaly(2, "closed"), NOW)
    assert tile(hub)["anomaly"] is None


def test_machines_nobody_configured_are_left_out() -> None:
    hub, picture = a_board()
    picture.event(state(T0, "EXECUTE", stream=StreamId("e", "OP99", "production")), NOW)
    picture.frame(frame(T0, stream=StreamId("e", "OP99", "signals")), NOW)
    assert hub.keys("machines") == ["OP10"]


def test_what_follows_of_an_outage_does_not_replace_the_provisional_values_on_the_tile() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0 + 90 * S, 9.0), NOW, provisional=True)
    picture.frame(frame(T0 + 40 * S, 4.0), NOW)
    assert (tile(hub)["value.t"], tile(hub)["provisional"]) == ([9.0, "good"], True)
    picture.frame(frame(T0 + 41 * S, 5.0, channel="p"), NOW)
    assert tile(hub)["value.p"] == [5.0, "good"]  # of which nothing provisional came: it has been so since
    picture.frame(frame(T0 + 91 * S, 9.1), NOW)
    assert (tile(hub)["value.t"], tile(hub)["provisional"]) == ([9.1, "good"], False)


def test_a_gateway_whose_clock_was_put_back_while_it_caught_up_freezes_no_tile() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0 + 90 * S, 9.0), NOW, provisional=True)
    picture.frame(frame(T0 - 3600 * S, 1.0), NOW + 11 * S)
    assert (tile(hub)["value.t"], tile(hub)["provisional"]) == ([1.0, "good"], False)


def test_now_of_a_line_that_runs_faster_is_how_far_it_has_come_and_is_said() -> None:
    hub = Hub()
    machines, signals = [Machine(name="OP10", path="s/a/l/OP10")], [Signal(name="OP10/t", machine="OP10", signal="t")]
    picture = Picture(hub.put, hub.drop, machines, signals, [], speed=5.0)
    picture.event(state(T0 + 500 * S, "EXECUTE"), NOW)
    assert hub.get("feed", "plant") == {"now": (T0 + 500 * S) // 1_000_000, "speed": 5.0}
    picture.frame(frame(T0 + 510 * S, 1.0), NOW)
    picture.frame(frame(T0 + 505 * S, 1.0), NOW)
    assert hub.get("feed", "plant")["now"] == (T0 + 510 * S) // 1_000_000


def test_a_real_plant_goes_by_the_wall_clock() -> None:
    hub, picture = a_board()
    picture.frame(frame(T0, 1.0), NOW)
    assert hub.keys("feed") == []
