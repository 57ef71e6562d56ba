"""Rows as table, json and csv: what a person, a program and a spreadsheet get."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

from shinkei_cli.output import print_rows, width

ROWS: list[dict[str, Any]] = [
    {"unit": "H-0001", "machine": "鋳造", "value": 1.5, "good": True, "at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)},
    {"unit": "H-2", "machine": "OP20", "value": None, "good": False, "at": None},
]
COLUMNS = ("unit", "machine", "value", "good", "at")


def test_a_table_lines_up_also_with_japanese() -> None:
    out = io.StringIO()
    assert print_rows(ROWS, COLUMNS, "table", out) == 2
    head, rule, first, second = out.getvalue().splitlines()
    assert head.split() == list(COLUMNS)
    assert width(rule.split("  ")[1]) == len("machine")
    assert width(first[: first.index("1.5")]) == width(second[: second.index("no")]) - len("value  ")


def test_json_is_one_array_and_keeps_types() -> None:
    out = io.StringIO()
    print_rows(ROWS, COLUMNS, "json", out)
    assert json.loads(out.getvalue()) == [
        {"unit": "H-0001", "machine": "鋳造", "value": 1.5, "good": True, "at": "2026-01-02T03:04:00+00:00"},
        {"unit": "H-2", "machine": "OP20", "value": None, "good": False, "at": None},
    ]


def test_no_rows_are_an_empty_array_and_a_header() -> None:
    for kind, expected in (("json", "[]\n"), ("csv", "unit\n"), ("table", "unit\n----\n")):
        out = io.StringIO()
        assert print_rows([], ("unit",), kind, out) == 0
        assert out.getvalue() == expected


def test_csv_keeps_every_digit_and_quotes() -> None:
    out = io.StringIO()
    print_rows([{"a": 0.1 + 0.2, "b": 'say "x", y'}], ("a", "b"), "csv", out)
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [["a", "b"], ["0.30000000000000004", 'say "x", y']]


def test_a_line_break_in_a_cell_does_not_break_the_table() -> None:
    out = io.StringIO()
    print_rows([{"a": "one\ntwo"}], ("a",), "table", out)
    assert len(out.getvalue().splitlines()) == 3
