"""A recording (any CSV of a time column and signals) as the frames a gateway would have made of it, for scores and trials offline."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from shinkei_detect.errors import BadRecording
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame

TIME_COLUMNS = ("datetime", "timestamp", "time", "date")
LABELS = ("anomaly", "changepoint")
EPOCH = "00000000-0000-7000-8000-000000000000"


class Recording:
    """A table: ``signals`` (names), ``times`` (ns UTC), ``rows`` of values, and the ``anomaly`` labels if the file has them."""

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRecording(f"{path}: cannot be read: {error}") from error
        head = lines[0] if lines else ""
        table = list(csv.reader(lines, delimiter=";" if head.count(";") > head.count(",") else ","))
        if len(table) < 2:
            raise BadRecording(f"{path}: no rows")
        names = [name.strip() for name in table[0]]
        clock = next((at for at, name in enumerate(names) if name.lower() in TIME_COLUMNS), 0)
        places = [at for at, name in enumerate(names) if at != clock and name.lower() not in LABELS]
        label = next((at for at, name in enumerate(names) if name.lower() == "anomaly"), None)
        self.name = path.stem
        self.signals = [names[at] for at in places]
        self.times, self.rows = [], []
        self.truth: list[bool] | None = None if label is None else []
        for line, row in enumerate(table[1:], 2):
            try:
                self.times.append(_ns(row[clock]))
                self.rows.append([float(row[at]) if row[at].strip() else math.nan for at in places])
                if label is not None and self.truth is not None:
                    self.truth.append(float(row[label]) >= 0.5)
            except (ValueError, IndexError) as error:
                raise BadRecording(f"{path}, line {line}: {error}") from error

    def frames(self, machine: str | None = None, rows: int = 16, start: int = 0) -> Iterator[Frame]:
        """The recording from row ``start`` on as frames of ``rows`` rows; empty cells are bad values (BadNoData)."""
        width, number = len(self.signals), 1
        stream = StreamId(EPOCH, machine or self.name, "signals")
        for at in range(start, len(self.rows), rows):
            block, times = self.rows[at : at + rows], self.times[at : at + rows]
            values = [None if math.isnan(value) else value for row in block for value in row]
            yield Frame(
                stream=stream, first=number, t0=times[0], context=Context(), channels=list(self.signals),
                ch=list(range(width)) * len(block), dt=[time - times[0] for time in times for _ in range(width)], v=list(values),
                status=[(1, 0x809B0000 if value is None else 0) for value in values], received=[(len(values), times[-1])], production=0,
            )  # fmt: skip
            number += len(values)


def _ns(text: str) -> int:
    text = text.strip()
    try:
        return int(float(text) * 1e9)
    except ValueError:
        moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
