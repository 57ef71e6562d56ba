"""What detection says: anomalies and data-quality findings as episodes, SPC rule hits, per-minute summaries."""

from __future__ import annotations

from typing import Literal

import msgspec

from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context

Phase = Literal["opened", "updated", "closed"]


class Contribution(msgspec.Struct, frozen=True, omit_defaults=True):
    """One signal's (or part's) share of an anomaly: observed against reference, since when (ns UTC)."""

    signal: str
    share: float
    observed: float | None = None
    reference: float | None = None
    unit: str | None = None
    since: int | None = None
    part: str | None = None


class AnomalyChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One revision of one episode. The highest ``revision`` of an ``id`` is what holds.

    ``first``/``last``: numbers of the readings of ``stream`` it covers; ``began``/``time``/``ended``: source times (ns UTC) of its
    first reading, of this revision, and of its end. ``score`` is a surprise (-log10 of a tail probability), ``threshold`` what it had
    to pass. ``signals``: largest share first.
    """

    id: str
    revision: int
    phase: Phase
    finding: Literal["anomaly", "data_quality"]
    rule: str
    machine: str
    stream: StreamId
    first: int
    last: int
    began: int
    time: int
    ended: int | None = None
    score: float
    threshold: float
    peak: float
    signals: list[Contribution]
    context: Context = Context()
    detector: str
    model: str = ""
    learned: bool = False


class SpcHit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run rule fired on a chart of one characteristic at one station."""

    id: str
    machine: str
    characteristic: str
    product: str | None
    chart: Literal["i_mr", "xbar_r", "cusum", "ewma"]
    rule: str
    time: int
    value: float
    centre: float
    lower: float | None
    upper: float | None
    limits_version: str
    operation_id: str | None = None
    unit_id: str | None = None


class SignalSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """One signal in one minute."""

    name: str
    count: int
    mean: float
    minimum: float
    maximum: float
    deviation: float = 0.0
    bad: int = 0


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A minute (from ``minute`` ns UTC) of one machine, for the comparison of machines of one ``group`` (kind)."""

    group: str
    machine: str
    stream: StreamId
    last: int
    minute: int
    context: Context
    signals: list[SignalSummary]
