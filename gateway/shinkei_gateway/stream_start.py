"""What opens a production stream: who writes it, which stream it follows, and what nobody can know about that one's end. Pure.

The intake numbers these events as the first of a stream.
"""

from __future__ import annotations

from shinkei_events.identity import FIRST_NUMBER, StreamId, gap_id
from shinkei_events.model.numbered import Gap, StreamStarted
from shinkei_gateway.offered import Draft
from shinkei_gateway.spool.opening import Opening

DAMAGED = "the end of the spool was damaged; what was in it is unknown"


def opening_events(machine: str, gateway: str, shard: str, now: int, opening: Opening) -> list[Draft]:
    """The first events of ``machine``'s production stream at ``now`` (ns UTC)."""
    previous = opening.previous_epoch
    old = StreamId(previous, machine, "production") if previous else None
    last = opening.previous_next.get(str(old), FIRST_NUMBER) - 1 if old else None
    known = old is not None and bool(last)
    fields = {
        "gateway": gateway,
        "shard": shard,
        "follows": old if known else None,
        "follows_number": last if known else None,
    }
    drafts = [Draft(machine, now, now, StreamStarted, fields)]
    if known and previous is not None:
        for of in (StreamId(previous, machine, "signals"), StreamId(previous, machine, "production")):
            begin = opening.previous_next.get(str(of), FIRST_NUMBER)
            gap = {
                "id": gap_id(of, begin, begin, "spool_corrupt"),
                "of": of,
                "cause": "spool_corrupt",
                "possible": True,
                "detail": DAMAGED,
            }
            drafts.append(Draft(machine, now, now, Gap, gap))
    return drafts
