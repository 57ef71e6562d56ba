"""The shapes of answers: frozen, with natural keys only, ready to be printed or drawn. Times ns UTC."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Direction = Literal["backward", "forward"]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A unit in a trace. ``relation`` to ``via`` (the unit one step nearer to what was asked): consumed, packed, shipped, relabelled,
    removed or mounted, from ``t_from`` until ``t_to``, by operation ``eid``. ``certainty``: of the best path. ``finished``: a finished good.
    ``first``/``last``: its earliest and latest event, at ``machine`` with ``op`` and ``result`` the latest. ``to``: a shipment's receiver.
    """

    unit: str
    type: str
    item: str | None
    depth: int
    certainty: float
    relation: str | None = None
    via: str | None = None
    via_type: str | None = None
    t_from: int | None = None
    t_to: int | None = None
    eid: str | None = None
    finished: bool = False
    first: int | None = None
    last: int | None = None
    machine: str | None = None
    op: str | None = None
    result: str | None = None
    open_end: bool = False


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One edge of the trace: ``source`` went into ``target``."""

    source: str
    source_type: str
    target: str
    target_type: str
    kind: str
    t_from: int
    t_to: int | None
    eid: str
    certainty: float


class GapCrossed(msgspec.Struct, frozen=True, kw_only=True):
    """A gap in what a machine told, at a time that matters for the answer. ``possible``: perhaps nothing is missing.

    ``why``: ``within`` the time of the traced operations, or ``beyond`` an open end – where the next or previous step may be lost.
    """

    id: str
    machine: str
    stream: str
    cause: str
    t_from: int | None
    t_to: int | None
    begin: int | None
    end: int | None
    at_least: int
    possible: bool
    detail: str
    why: Literal["within", "beyond"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event in a unit's history. ``readings``: name, value, unit, lsl, target, usl, within (None: no limit or not judged).

    ``stream``/``number``: the production record that says so; ``signals_stream``/``signals``: the machine's last reading before it – where
    the raw frames are. ``corrected_by``: eid of the operation that replaced it.
    """

    time: int
    started: int
    machine: str
    op: str
    role: str
    result: str
    product: str | None
    eid: str
    raw_number: int
    unit: str = ""
    type: str = ""
    slot: str | None = None
    order: str | None = None
    to: str | None = None
    inputs: list[dict[str, Any]] = []
    outputs: list[dict[str, Any]] = []
    readings: list[dict[str, Any]] = []
    parameters: list[dict[str, Any]] = []
    resources: dict[str, str] = {}
    mounted: list[dict[str, Any]] = []
    unknown: list[str] = []
    stream: str = ""
    number: int = 0
    signals_stream: str = ""
    signals: int = 0
    corrected_by: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A trace. ``as_of``: the ``event_raw`` number it stands at. ``nodes``: nearest first, what was asked itself at depth 0."""

    unit: str
    type: str
    direction: Direction
    as_of: int
    nodes: list[Node]
    links: list[Link]
    gaps: list[GapCrossed]
    steps: list[Step] = []
    truncated: bool = False
