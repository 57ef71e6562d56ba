"""The gateway's small pure parts: books, clocks, pauses, library values, recordings' lines."""

from __future__ import annotations

import random
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua

from shinkei_events.errors import BadField
from shinkei_events.model.operation import Operation
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.clock_watch import ClockWatch, HostClock
from shinkei_gateway.file_source import items_of
from shinkei_gateway.intake import Draft, Reading
from shinkei_gateway.machine_json import HistoryLine, parse
from shinkei_gateway.opcua.sample import Sample, sample_of
from shinkei_gateway.outage import Outage
from shinkei_gateway.reconcile import HOUR_NS, Books, Run, verdict

T = 1_700_000_000_000_000_000
S = 1_000_000_000


def test_books_balance_and_follow_what_is_sent_and_stored() -> None:
    books = Books()
    books.enter(
        "src",
        T,
        [Run("e/M/signals", 1, 11), Run("e/M/quarantine", 1, 2), Run("e/M/production", 1, 3)],
        received=13,
        own=2,
        duplicate=2,
    )
    books.enter("src", T + HOUR_NS, [Run("e/M/signals", 11, 16)], received=5)
    state = {"e/M/signals": (16, 14, 12), "e/M/quarantine": (2, 2, 1), "e/M/production": (3, 3, 3)}
    first, second = books.rows(state, T)
    assert (first["received"], first["own"], first["duplicate"], first["quarantined"], first["numbered"]) == (
        13,
        2,
        2,
        1,
        12,
    )
    assert (first["sent"], first["stored"], second["sent"], second["stored"]) == (13, 12, 3, 1)
    assert first["balanced"]
    assert Books(books.encode()).rows(state, T) == [first, second]
    books.enter("src", T, [], received=1)
    assert not books.rows(state, T)[0]["balanced"]


def test_books_do_not_balance_when_an_hour_is_not_on_record_long_after_it() -> None:
    books = Books()
    books.enter("src", T, [Run("e/M/signals", 1, 1001)], received=1000)

    def found(stored: int, hours: int) -> bool | None:
        return verdict(books.rows({"e/M/signals": (1001, 1001, stored)}, T + hours * HOUR_NS))

    assert (found(601, 1), found(601, 3), found(1001, 3)) == (True, False, True)
    books.drop("e/M/signals", 1, 401)  # given up by the spool: told, and no more awaited
    assert (found(401, 3), found(1001, 3)) == (False, True)


def test_nobody_knows_what_is_stored_while_the_gateway_is_stopped_or_its_spool_is_lost() -> None:
    books = Books()
    books.enter("src", T, [Run("e/M/signals", 1, 1001)], received=1000)
    (row,) = books.rows(None, T)
    assert (row["numbered"], row["sent"], row["stored"], row["balanced"]) == (1000, None, None, None)
    lost = {"f/M/signals": (5, 5, 5)}
    assert [books.rows(lost, T + hours * HOUR_NS)[0]["stored"] for hours in (0, 3)] == [0, None]
    assert verdict(books.rows(lost, T + 3 * HOUR_NS)) is None
    books.enter("src", T, [], received=1)  # of this everybody knows that it is wrong
    assert verdict(books.rows(None, T)) is False


def test_numbers_given_before_a_crash_are_entered_from_the_spool() -> None:
    books = Books()
    books.enter("src", T, [Run("e/M/signals", 1, 11)], received=10)
    again = Books(books.encode())
    assert again.recover({"e/M/signals": 15, "e/N/signals": 4}, lambda machine: f"of-{machine}", T) == 7
    rows = {row["source"]: row for row in again.rows({}, T)}
    assert (rows["of-M"]["numbered"], rows["of-N"]["numbered"]) == (4, 3)
    assert all(row["balanced"] for row in rows.values())


def test_books_forget_after_two_days() -> None:
    books = Books()
    for hour in range(60):
        books.enter("src", T + hour * HOUR_NS, [], received=1)
    assert len(books.rows({}, T)) == 48


def test_a_clock_behind_shows_only_when_even_the_newest_value_is_old() -> None:
    watch = ClockWatch(5 * S)
    assert all(watch.sample(T + at * S - (60 * S if at % 2 else 0), T + at * S) is None for at in range(40))
    late = [watch.sample(T + at * S - 60 * S, T + at * S) for at in range(40, 90)]
    (found,) = [one for one in late if one is not None]
    assert (found.within, found.skew) == (False, -60 * S)


def test_pauses_grow_to_their_limit_and_are_spread() -> None:
    backoff = Backoff(5.0, lambda low, high: high)
    assert [backoff.pause() for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    backoff.reset()
    assert backoff.pause() == 0.2
    spread = Backoff(5.0, random.Random(1).uniform)
    assert len({spread.pause() for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("variant", "value"),
    [
        (ua.Variant(1.5, ua.VariantType.Double), 1.5),
        (ua.Variant(2**63 - 1, ua.VariantType.Int64), 2**63 - 1),
        (ua.Variant(True, ua.VariantType.Boolean), True),
        (ua.Variant("圧", ua.VariantType.String), "圧"),
        (ua.Variant([1, 2], ua.VariantType.Int32), [1, 2]),
        (ua.Variant(b"\x00\xff", ua.VariantType.ByteString), "AP8="),
        (
            ua.Variant(datetime(2023, 11, 14, 22, 13, 20, 5, UTC), ua.VariantType.DateTime),
            "2023-11-14T22:13:20.000005000Z",
        ),
        (ua.Variant(uuid.UUID(int=1), ua.VariantType.Guid), "00000000-0000-0000-0000-000000000001"),
        (ua.Variant(ua.LocalizedText("x", "en"), ua.VariantType.LocalizedText), "x"),
        (ua.Variant(ua.NodeId("a", 2), ua.VariantType.NodeId), "ns=2;s=a"),
        (ua.Variant(ua.Range(0.0, 9.0), ua.VariantType.ExtensionObject), {"Low": 0.0, "High": 9.0}),
        (ua.Variant(None, ua.VariantType.Null), None),
    ],
)
def test_library_values(variant: Any, value: Any) -> None:
    data = ua.DataValue(variant, ua.StatusCode(0), datetime(2023, 11, 14, 22, 13, 20, 1, UTC))
    assert sample_of(data) == Sample(value, 0, T + 1000, None)
    assert type(sample_of(data).value) is type(value)


def test_a_matrix_is_nested_and_an_unknown_structure_is_an_error_of_its_own() -> None:
    matrix = ua.Variant([[1, 2, 3], [4, 5, 6]], ua.VariantType.Int32)
    assert sample_of(ua.DataValue(matrix)).value == [[1, 2, 3], [4, 5, 6]]
    unknown = sample_of(ua.DataValue(ua.Variant(ua.ExtensionObject(), ua.VariantType.ExtensionObject)))
    assert unknown.error is not None


def test_lines_of_a_recording() -> None:
    def line(text: str) -> list[Reading | Draft]:
        return items_of(parse(HistoryLine, text), T, "past")

    assert line('{"m":"A","t":5,"signal":"x","v":1}') == [Reading("A", "x", 5, 1, 0, T)]
    (draft,) = line('{"m":"A","t":9,"operation":{"kind":"inspect","station":"A","started":1,"ended":9,"counter":3}}')
    assert isinstance(draft, Draft)
    assert (draft.type, draft.time, draft.fields["kind"]) == (Operation, 9, "inspect")
    (draft,) = line('{"m":"A","t":7,"state":{"state":"HELD"}}')
    assert draft.time == 7
    with pytest.raises(BadField):
        line('{"m":"A","t":7}')
    with pytest.raises(BadField):
        line('{"m":"a/b","t":7,"signal":"x","v":1}')


def test_numbers_in_the_books_that_never_became_durable_are_struck_out() -> None:
    """The books were written, then kill -9 came before the disk had the numbers: they are given again."""
    books = Books()
    books.enter("src", T, [Run("e/M/signals", 1, 11)], received=10)
    books.enter("src", T + HOUR_NS, [Run("e/M/signals", 11, 21)], received=10)
    again = Books(books.encode())
    assert again.recover({"e/M/signals": 8}, lambda machine: machine, T) == 0
    again.enter("src", T + HOUR_NS, [Run("e/M/signals", 8, 13)], received=5)
    rows = again.rows({"e/M/signals": (13, 13, 13)}, T)
    assert [(row["received"], row["numbered"], row["stored"], row["balanced"]) for row in rows] == [
        (7, 7, 7, True),
        (5, 5, 5, True),
    ]


def test_a_clock_that_is_set_back_is_told_also_within_the_limit() -> None:
    watch = ClockWatch(5 * S)
    told = [watch.sample(T + at * S + 3 * S, T + at * S) for at in range(25)]
    assert told == [None] * 25
    told = [watch.sample(T + at * S - 4 * S, T + at * S) for at in range(25, 60)]
    (found,) = [one for one in told if one is not None]
    assert (found.within, found.skew, found.step) == (True, -4 * S, -7 * S)


def test_a_clock_that_was_wrong_before_a_restart_is_told_to_be_right_again() -> None:
    watch = ClockWatch(5 * S, told=60 * S)
    assert (watch.beyond, watch.skew) == (True, 60 * S)
    told = [watch.sample(T + at * S, T + at * S) for at in range(25)]
    (found,) = [one for one in told if one is not None]
    assert (found.within, found.skew, found.step) == (True, 0, -60 * S)


def test_the_computers_own_clock_is_told_when_it_is_set_and_not_when_it_is_slewed() -> None:
    clock = HostClock(T, 7)
    assert clock.look(T + S, 7 + S) is None
    assert clock.look(T + 2 * S + 400_000, 7 + 2 * S) is None
    assert clock.look(T - 3600 * S, 7 + 3 * S) == pytest.approx(-3603 * S, abs=S // 1000)
    assert clock.look(T - 3599 * S, 7 + 4 * S) is None


def test_a_source_that_stays_away_is_told_again_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """One line and then silence for ever reads as if nobody tried any more."""
    now = 0.0
    outage = Outage("m", "mqtt://m:1", 60.0, Backoff(5.0, lambda _low, high: high), lambda: None, clock=lambda: now)
    with caplog.at_level("INFO", "shinkei"):
        for _ in range(7200):
            outage.lost("no answer to subscribe in 4 s")
            now += 1.0
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "source m: mqtt://m:1 is lost: no answer to subscribe in 4 s"
    assert [re.findall(r"away for (\d+) s, attempt (\d+) failed: no answer", line) for line in told[1:]] == [
        [(str(at), str(at + 1))] for at in (30, 60, 120, 240, 480, 960, 1920, 3840)
    ]
    outage.over()
    outage.lost("again")
    assert caplog.records[-1].getMessage().endswith("is lost: again")


def test_a_peer_that_ends_every_connection_at_once_is_tried_ever_more_rarely() -> None:
    now, backoff = 0.0, Backoff(30.0, lambda _low, high: high)
    outage = Outage("m", "opc.tcp://m:1", 60.0, backoff, lambda: None, clock=lambda: now)
    pauses = []
    for lives in (*[0.1] * 14, 2.0):
        outage.over()
        now += lives
        outage.lost("closed")
        pauses.append(backoff.pause())
    assert pauses == [*[0.2] * 6, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 0.2]
