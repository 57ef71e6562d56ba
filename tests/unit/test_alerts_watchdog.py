"""A lost gateway is one alarm for all its machines, returned when it speaks; a log that does not answer accuses nobody."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec

from shinkei_alerts import conditions, words
from shinkei_alerts.engine import Engine, Rules
from shinkei_alerts.watchdog import FORGOTTEN_NS, Verdict, Watchdog, name_of
from shinkei_events.model.master import Condition
from tests.support.alarms import T0, S

GATEWAY = "gateway/gw-01/0"
SHARD = "gateway/gw-01/press"
RULES = Rules({conditions.GATEWAY_SILENT.name: conditions.GATEWAY_SILENT})


def listening(until: float) -> Watchdog:
    """With a log that answered every two seconds from 0 on."""
    made = Watchdog(limit=30.0)
    for at in range(0, round(until) + 1, 2):
        made.looks(float(at))
    return made


def test_a_gateway_that_says_nothing_is_silent_since_its_last_word() -> None:
    made = listening(10)
    made.hears(GATEWAY, T0 + 10 * S, 10.0)
    assert made.judge({GATEWAY: T0}, T0 + 11 * S, 11.0) == [Verdict(GATEWAY, False, T0 + 10 * S)]
    for at in range(12, 42, 2):
        made.looks(float(at))
    assert made.judge({GATEWAY: T0}, T0 + 41 * S, 41.0) == [Verdict(GATEWAY, True, T0 + 10 * S)]
    made.hears(GATEWAY, T0 + 42 * S, 42.0)
    assert made.judge({GATEWAY: T0}, T0 + 42 * S, 42.0) == [Verdict(GATEWAY, False, T0 + 42 * S)]


def test_one_that_was_lost_before_is_known_by_what_it_recorded() -> None:
    expected = {GATEWAY: T0, SHARD: T0 - FORGOTTEN_NS}
    made = listening(28)
    made.knows(GATEWAY, T0 - S)
    made.knows(SHARD, T0 - FORGOTTEN_NS)
    assert made.judge(expected, T0, 28.0) == [], "it may only be starting"
    for at in range(30, 42, 2):
        made.looks(float(at))
    found = made.judge(expected, T0 + 40 * S, 40.0)
    assert found == [Verdict(GATEWAY, True, T0)], "one that is away for a week is not expected any more"
    assert listening(40).judge(expected, T0 + 40 * S, 40.0) == [], "one that never claims anything"


def test_nobody_is_silent_while_nobody_could_hear() -> None:
    made = listening(40)
    made.knows(GATEWAY, T0)
    made.is_deaf()
    assert made.judge({GATEWAY: T0}, T0 + 41 * S, 41.0) == []
    made.looks(100.0)
    assert made.judge({GATEWAY: T0}, T0 + 100 * S, 101.0) == [], "it looks for the log again first, too"
    assert made.judge({GATEWAY: T0}, T0 + 190 * S, 190.0) == [], "an ear that has not looked"


def said(engine: Engine, verdict: Verdict) -> list[str]:
    zone = ZoneInfo("UTC")
    engine.gateway(verdict, lambda c: words.of_gateway(name_of(verdict.source), c, verdict.time, ("en", "ja"), zone))
    return [step.transition for step in engine.changes().steps]


def test_a_silent_gateway_is_one_alarm_that_returns() -> None:
    made = Engine(RULES, ("en", "ja"))
    assert said(made, Verdict(GATEWAY, True, T0)) == ["raised"]
    assert said(made, Verdict(GATEWAY, True, T0)) == []
    (alarm,) = made.alarms.values()
    assert (alarm.priority, alarm.machine) == ("P1", "gw-01")
    assert alarm.text["en"] == "gateway gw-01 silent – since 22:13:20 UTC"
    assert words.page(alarm, conditions.GATEWAY_SILENT, "en", T0)[0] == "P1 gateway gw-01 silent – since 22:13:20 UTC"
    assert made.silent() == {GATEWAY}
    again = Engine(RULES, ("en", "ja"), alarms=dict(made.alarms))  # after a restart
    assert said(again, Verdict(GATEWAY, True, T0 + 9 * S)) == []
    assert said(again, Verdict(GATEWAY, False, T0 + 60 * S)) == ["returned"]
    assert said(again, Verdict(SHARD, False, T0 + 60 * S)) == []
    assert not again.silent()
    assert said(again, Verdict(GATEWAY, True, T0 + 90 * S)) == ["raised_again"]


def test_the_plants_own_condition_takes_its_place() -> None:
    own = Condition(name="blind", on="gateway", priority="P2", machines=["gw-01/press"], title={"en": "{machine} gone"})
    made = Engine(msgspec.structs.replace(RULES, conditions={"blind": own}), ("en",))
    assert said(made, Verdict(SHARD, True, T0)) == ["raised"]
    assert said(made, Verdict(GATEWAY, True, T0)) == []
    (alarm,) = made.alarms.values()
    assert (alarm.priority, alarm.machine) == ("P2", "gw-01/press")
