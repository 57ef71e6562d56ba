"""What a server says about its signals, as events: new, changed, and nothing twice."""

from __future__ import annotations

import math

import pytest

from shinkei_events.model.numbered import SignalDescribed
from shinkei_gateway.opcua.describe import CEFACT, Description, Revised, Told, range_of, unece, unit_of

HEAT = Description("nsu=urn:p;s=Heat", "Double", "bearing", "°C", "CEL", 0.0, 90.0)


@pytest.mark.parametrize(
    ("unit_id", "code"),
    [(4408652, "CEL"), (20053, "NU"), (4338739, "B43"), (-1, None), (0, None), (65, None), (2**31 - 1, None), (0x2B2B2B, None), (0xC3A97A, None)],
)  # fmt: skip
def test_the_code_in_a_unit_id(unit_id: int, code: str | None) -> None:
    assert unece(unit_id) == code


def test_units() -> None:
    known = {"NamespaceUri": CEFACT, "UnitId": 4408652, "DisplayName": "°C", "Description": "degree Celsius"}
    assert unit_of(known) == ("°C", "CEL")
    assert unit_of(known | {"DisplayName": None}) == ("degree Celsius", "CEL")
    assert unit_of(known | {"DisplayName": None, "Description": None}) == ("CEL", "CEL")
    assert unit_of(known | {"NamespaceUri": "urn:maker:units"}) == ("°C", None), "another list has other codes"
    assert unit_of(known | {"NamespaceUri": None}) == ("°C", "CEL")
    assert unit_of(None) == (None, None)
    assert unit_of({"type_id": "i=889", "body": ""}) == (None, None)


@pytest.mark.parametrize("low_high", [(0.0, 0.0), (9.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_what_is_no_range(low_high: tuple[float, float]) -> None:
    assert range_of({"Low": low_high[0], "High": low_high[1]}) == (None, None)
    assert range_of({"Low": -1.5, "High": 2.5}) == (-1.5, 2.5)
    assert range_of(7) == (None, None)


def test_what_is_new_or_changed_is_told_once_also_after_a_restart() -> None:
    told = Told("press", "op10", None)
    (draft,) = told.take([("heat", HEAT, Revised(0.1, 300))], 5)
    assert (draft.machine, draft.time, draft.type) == ("op10", 5, SignalDescribed)
    wanted = {
        "name": "heat",
        "source": "press",
        "unit": "°C",
        "unece": "CEL",
        "low": 0.0,
        "high": 90.0,
        "sampling_ms": 100.0,
        "queue_size": 300,
    }
    assert wanted.items() <= draft.fields.items()
    assert told.take([("heat", HEAT, Revised(0.1, 300))], 6) == []
    again = Told("press", "op10", told.state())
    assert again.take([("heat", HEAT, Revised(0.1, 300))], 7) == []
    assert len(again.take([("heat", HEAT._replace(high=95.0), Revised(0.1, 300))], 8)) == 1
    assert len(again.take([("heat", HEAT._replace(high=95.0), Revised(0.2, 300))], 9)) == 1
    assert len(again.take([("other", HEAT, None)], 9)) == 1
