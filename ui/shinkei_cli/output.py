"""Rows to the terminal, to a program or to a spreadsheet: ``--format table|json|csv``.

Does not decide what is shown. Every command that prints a result uses `print_rows`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

FORMATS = ("table", "json", "csv")


def add_format(parser: argparse.ArgumentParser) -> None:
    """Offer ``--format`` (default: table)."""
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print the result (default: table)")


def print_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], kind: str = "table", out: TextIO | None = None
) -> int:
    """Print ``rows`` with ``columns`` in this order; returns how many there were.

    Missing and None are empty in table and csv, null in json. Times are ISO 8601. json is one array of objects.
    """
    out = out or sys.stdout
    if kind == "json":
        return _json(rows, columns, out)
    if kind == "csv":
        return _csv(rows, columns, out)
    return _table(rows, columns, out)


def say(text: str, out: TextIO | None = None) -> None:
    """One line for people, at once."""
    out = out or sys.stdout
    out.write(text + "\n")
    out.flush()


def plain(value: Any) -> str:
    """A value as text for a table or csv cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
    return str(value)


def width(text: str) -> int:
    """Columns a terminal needs for ``text``: Japanese characters take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _json(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> int:
    count = 0
    out.write("[")
    for count, row in enumerate(rows, 1):
        out.write(",\n " if count > 1 else "\n ")
        out.write(json.dumps({name: row.get(name) for name in columns}, ensure_ascii=False, default=_json_value))
    out.write("\n]\n" if count else "]\n")
    return count


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> int:
    count = 0
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        count += 1
        value = (row.get(name) for name in columns)
        writer.writerow([repr(v) if isinstance(v, float) else plain(v) for v in value])
    return count


def _table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> int:
    cells = [[" ".join(plain(row.get(name)).split()) for name in columns] for row in rows]
    widths = [max(width(text) for text in column) for column in zip(columns, *cells, strict=True)]
    for line in ([*columns], ["-" * wide for wide in widths], *cells):
        padded = (text + " " * (wide - width(text)) for text, wide in zip(line, widths, strict=True))
        out.write("  ".join(padded).rstrip() + "\n")
    return len(cells)
