"""What an alarm says is in the plant's words, without the names of states where the title says it all."""

from __future__ import annotations

import msgspec
import pytest

from shinkei_alerts.words import of_state
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition
from tests.support.examples import EXAMPLES

STATE = next(one for one in EXAMPLES if isinstance(one, MachineStateChanged))
REASONS = {"tool_change": {"ja": "工具交換", "en": "Tool change"}}


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        ("HELD", "tool_change", "OP20 停止: 工具交換"),
        ("NO_DATA", None, "OP20 停止"),
        ("HELD", None, "OP20 停止: 一時停止"),
        ("CLEARING", None, "OP20 停止: CLEARING"),
    ],
)
def test_a_state_alarm_says_its_reason_in_words(state: str, reason: str | None, text: str) -> None:
    condition = Condition(name="x", on="state", priority="P2", title={"ja": "{machine} 停止"})
    event = msgspec.structs.replace(STATE, state=state, reason=reason)
    assert of_state(event, condition, REASONS, ("ja",)) == {"ja": text}


def test_a_condition_of_one_state_has_said_it_all_in_its_title() -> None:
    event = msgspec.structs.replace(STATE, state="ABORTED", reason=None)
    titled = Condition(name="x", on="state", priority="P1", states=["ABORTED"], title={"ja": "{machine} 異常停止"})
    assert of_state(event, titled, REASONS, ("ja", "en")) == {"ja": "OP20 異常停止", "en": "x: fault"}
