"""Readings become steps by their source time and number, whatever came around them."""

from __future__ import annotations

from shinkei_detect.steps import Step, Stepper
from shinkei_events.model.frame import Context, Frame
from tests.support.signal_frames import SECOND, START, STREAM


def stepper(unwatched: frozenset[str] = frozenset()) -> Stepper:
    return Stepper(SECOND, 60 * SECOND, unwatched)


def frame(first: int, *readings: tuple[float, str, object], status: int = 0, late: list[int] | None = None) -> Frame:
    """``readings``: (seconds after the start, signal, value)."""
    names = sorted({name for _, name, _ in readings})
    return Frame(
        stream=STREAM, first=first, t0=START, context=Context(), channels=names, ch=[names.index(name) for _, name, _ in readings],
        dt=[int(seconds * SECOND) for seconds, _, _ in readings], v=[value for _, _, value in readings],  # type: ignore[misc]
        status=[(len(readings), status)], received=[(len(readings), START)], production=0, late=late,
    )  # fmt: skip


def steps(*frames: Frame) -> list[Step]:
    one = stepper()
    found = [step for each in frames for step in one.add(each)]
    last = one.flush()
    return found + ([last] if last else [])


def test_a_step_is_the_mean_of_its_good_values() -> None:
    [one, two] = steps(frame(1, (0.0, "a", 1.0), (0.4, "a", 3), (0.9, "b", 5.0), (1.0, "a", 7.0)))
    assert one.values == {"a": 2.0, "b": 5.0}
    assert (one.first, one.last, one.began, one.time) == (1, 3, START, START + 9 * SECOND // 10)
    assert two.values == {"a": 7.0}
    assert two.elapsed == SECOND


def test_time_since_the_step_before_is_told_wherever_it_begins() -> None:
    found = steps(frame(1, (0.0, "a", 1.0), (2.5, "a", 1.0), (3.0, "a", 1.0), (3.5, "b", 1.0), (13.0, "a", 1.0)))
    assert [step.elapsed // SECOND for step in found] == [0, 2, 1, 10]


def test_bad_values_are_left_out_and_told() -> None:
    [one] = steps(
        frame(1, (0.0, "a", 1.0), (0.1, "a", 9.0)), frame(3, (0.2, "a", 5.0), (0.3, "b", 5.0), status=0x80AB0000)
    )
    assert one.values == {"a": 5.0}
    assert one.bad == {"b": 0x80AB0000}


def test_uncertain_values_are_used() -> None:
    [one] = steps(frame(1, (0.0, "a", 1.0), status=0x40920000))
    assert one.values == {"a": 1.0}


def test_texts_booleans_arrays_and_not_finite_numbers_are_no_values() -> None:
    [one] = steps(
        frame(
            1,
            (0.0, "t", "x"),
            (0.1, "b", True),
            (0.2, "l", [1.0]),
            (0.3, "n", float("nan")),
            (0.35, "h", -1e200),
            (0.4, "a", 2.0),
        )
    )
    assert one.values == {"a": 2.0}
    assert one.last == 6


def test_a_source_that_lags_falls_into_the_open_step() -> None:
    [one, two] = steps(frame(1, (5.0, "a", 1.0), (2.0, "b", 4.0), (6.0, "a", 1.0)))
    assert one.values == {"a": 1.0, "b": 4.0}
    assert one.back == 0
    assert two.values == {"a": 1.0}


def test_a_clock_set_back_counts_as_no_time_and_is_told() -> None:
    found = steps(frame(1, (3600.0, "a", 1.0), (0.0, "a", 2.0), (1.0, "a", 3.0), (2.0, "a", 4.0)))
    assert [step.values["a"] for step in found] == [1.5, 3.0, 4.0]
    assert found[0].back == 3600 * SECOND
    assert [step.elapsed for step in found] == [0, SECOND, SECOND]
    assert found[-1].time == START + 2 * SECOND  # what is said carries the source's own time


def test_late_readings_and_unwatched_signals_pass_without_effect() -> None:
    [one] = steps(frame(1, (0.0, "a", 1.0), (-900000.0, "a", 50.0), late=[1]))
    assert one.values == {"a": 1.0}
    quiet = stepper(frozenset({"a"}))
    assert list(quiet.add(frame(1, (0.0, "a", 1.0), (0.1, "b", 2.0)))) == []
    last = quiet.flush()
    assert last is not None
    assert last.values == {"b": 2.0}


def test_the_context_is_that_of_the_last_reading() -> None:
    import msgspec

    later = msgspec.structs.replace(frame(2, (0.5, "a", 1.0), (1.5, "a", 1.0)), context=Context(operation="7"))
    [one, two] = steps(frame(1, (0.0, "a", 1.0)), later)
    assert one.context == Context(operation="7") == two.context


def test_what_is_dropped_is_gone() -> None:
    one = stepper()
    assert list(one.add(frame(1, (0.0, "a", 1.0)))) == []
    one.drop()
    assert one.flush() is None
