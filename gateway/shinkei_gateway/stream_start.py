"""What opens a production stream: who writes it, which stream it follows, and what nobody can know about that one's end. Pure.

The intake numbers these events.
"""

from __future__ import annotations

from typing import NamedTuple

from shinkei_events.identity import FIRST_NUMBER, Kind, StreamId, gap_id
from shinkei_events.model.numbered import Gap, StreamStarted
from shinkei_gateway.offered import Draft

KINDS_WITH_GAPS: tuple[Kind, ...] = ("signals", "production")


class Before(NamedTuple):
    """The epoch that a machine's streams follow: ``next`` number by kind as far as known. ``cause`` None: it ended whole, nothing is missing."""

    epoch: str
    next: dict[Kind, int]
    cause: str | None = None
    detail: str = ""


def before_in(ending: dict[str, object], machine: str) -> Before | None:
    """What a spool's own ``ending`` (`Spool.begin_epoch`) says about ``machine``."""
    epoch, ends = str(ending["epoch"]), ending["next"]
    assert isinstance(ends, dict)
    found: dict[Kind, int] = {}
    for name, number in ends.items():
        stream = StreamId.parse(name)
        if (stream.epoch, stream.machine) == (epoch, machine):
            found[stream.kind] = number
    return Before(epoch, found, str(ending["cause"]), str(ending["detail"])) if found else None


def opening_events(machine: str, gateway: str, shard: str, now: int, before: Before | None) -> list[Draft]:
    """``machine``'s stream is written here from ``now`` (ns UTC) on, and follows ``before``."""
    fields = {
        "gateway": gateway,
        "shard": shard,
        "follows": None if before is None else StreamId(before.epoch, machine, "production"),
        "follows_number": None if before is None else before.next.get("production", FIRST_NUMBER) - 1,
    }
    drafts = [Draft(machine, now, now, StreamStarted, fields)]
    if before is not None and before.cause is not None:
        drafts += [_gap(machine, kind, now, before, before.cause) for kind in KINDS_WITH_GAPS]
    return drafts


def _gap(machine: str, kind: Kind, now: int, before: Before, cause: str) -> Draft:
    """Where the old stream's known numbers end, and that nobody knows where it did."""
    of = StreamId(before.epoch, machine, kind)
    begin = before.next.get(kind, FIRST_NUMBER)
    fields = {
        "id": gap_id(of, begin, begin, cause),
        "of": of,
        "cause": cause,
        "begin": begin,
        "t_to": now,
        "possible": True,
        "detail": before.detail,
    }
    return Draft(machine, now, now, Gap, fields)
