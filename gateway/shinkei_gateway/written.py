"""What a put adds to the spool: events and frames as bytes, with the entries that name their numbers. Pure; gives no number itself.

`intake` numbers, and calls this.
"""

from __future__ import annotations

import msgspec

from shinkei_events.codec import MAX_NAME, decode, encode
from shinkei_events.errors import BadInput
from shinkei_events.frames import MAX_BYTES
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.registry import FRAME, type_of
from shinkei_gateway.offered import Draft, Reading
from shinkei_gateway.spool.segment import Entry

RAW_BYTES = 65_536


class Written:
    """Entries and payloads of one put, in order, and which of the intake's own states changed with it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.payloads: list[bytes] = []
        self.context_changed = self.skews_changed = self.ownership_changed = False

    def add(self, stream: StreamId, first: int, count: int, ce_type: str, payload: bytes) -> None:
        """``payload`` has numbers ``first … first + count - 1`` of ``stream``."""
        self.entries.append(Entry(str(stream), first, count, ce_type, len(payload)))
        self.payloads.append(payload)

    def add_frame(self, frame: Frame, payload: bytes) -> None:
        """``payload`` is ``frame``."""
        self.add(frame.stream, frame.first, frame.count, FRAME.ce_type, payload)

    def add_again(self, event: Frame | Numbered, stream: StreamId, first: int, sibling: int) -> int:
        """Write ``event`` as ``first`` of ``stream``; returns the number after it. Its times, context and origin stay, a mark of numbers does not.

        ``sibling``: the last number of the machine's production before a frame, of its signals before an event.
        """
        mark = event.gap_before if event.gap_before is not None and event.gap_before.begin is None else None
        if isinstance(event, Frame):
            frame = msgspec.structs.replace(event, stream=stream, first=first, production=sibling, gap_before=mark)
            self.add_frame(frame, encode(frame))
            return frame.end
        found = msgspec.structs.replace(event, stream=stream, number=first, signals=sibling, gap_before=mark)
        self.add(stream, first, 1, type_of(found).ce_type, encode(found))
        return first + 1


def event_of(item: Draft, stream: StreamId, number: int, signals: int) -> tuple[str, bytes]:
    """The ce_type and bytes of ``item`` with its numbers. Raises `BadInput` for what breaks the language (a field missing, of another type)."""
    try:
        event = item.type(
            stream=stream, number=number, signals=signals, time=item.time, received=item.received, **item.fields
        )
        payload = encode(event)
        ce_type = type_of(event).ce_type
        decode(ce_type, payload)  # building a struct checks no types
    except (TypeError, msgspec.MsgspecError, OverflowError) as error:
        raise BadInput(str(error)) from error
    if len(payload) > 2 * MAX_BYTES:
        raise BadInput(f"an event of {len(payload)} bytes; no record is bigger than {2 * MAX_BYTES}")
    return ce_type, payload


def refusal(item: Reading | Draft, reason: str, source: str, now: int) -> Draft:
    """The quarantine record of what breaks the language (a number out of range, a field missing). ``now``: ns UTC."""
    where = item.channel if isinstance(item, Reading) else item.type.__name__
    raw = repr(item.value if isinstance(item, Reading) else item.fields).encode()
    fields = {
        "source": source,
        "where": where[:MAX_NAME],
        "reason": reason,
        "raw": raw[:RAW_BYTES],
        "content_type": "text/plain",
    }
    return Draft(item.machine, min(max(item.time, 0), now), now, Quarantined, fields)
