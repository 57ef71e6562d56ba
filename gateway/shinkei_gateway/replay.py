"""What was in quarantine, taken again: through the mapping of its source, with the next numbers and the source times it had.

Done once: which records were replayed is durable in the spool, in the very batch that holds what became of them. Asked for by a
`Replay` command; sources that can do it are `Replayable`.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import msgspec

from shinkei_events.errors import BadField, BadInput
from shinkei_events.identity import StreamId
from shinkei_events.model.progress import Command, Replay
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.taking import Taking
from shinkei_gateway.telemetry import MessageReplayed

REPLAYED = "@replayed"
_json = msgspec.json.Decoder()


@runtime_checkable
class Replayable(Protocol):
    """A source whose quarantined messages can be taken again."""

    name: str
    history: bool
    """Whether what it says goes into history streams."""

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """What the source's mapping makes of ``raw`` now, at the times of ``record``. Changes no state. Raises `BadInput`."""


class Replayed:
    """Which numbers of which quarantine streams were replayed, as sorted runs ``[begin, end)``. ``stored``: from `state`."""

    def __init__(self, stored: dict[str, list[list[int]]] | None = None) -> None:
        self._runs: dict[str, list[list[int]]] = {
            name: [list(run) for run in runs] for name, runs in (stored or {}).items()
        }

    def has(self, stream: StreamId, number: int) -> bool:
        """Whether it was replayed."""
        return any(begin <= number < end for begin, end in self._runs.get(str(stream), ()))

    def add(self, stream: StreamId, number: int) -> None:
        """It was replayed now."""
        runs = self._runs.setdefault(str(stream), [])
        if self.has(stream, number):
            return
        bisect.insort(runs, [number, number + 1])
        joined: list[list[int]] = []
        for begin, end in runs:
            if joined and joined[-1][1] >= begin:
                joined[-1][1] = max(end, joined[-1][1])
            else:
                joined.append([begin, end])
        self._runs[str(stream)] = joined

    def state(self) -> dict[str, list[list[int]]]:
        """For the resume state."""
        return {name: [list(run) for run in runs] for name, runs in self._runs.items()}


class Replays:
    """Carries out `Replay` commands. ``source_of``: a running source by name; ``find``: a quarantine record of this spool."""

    def __init__(
        self,
        taking: Taking,
        source_of: Callable[[str], object | None],
        find: Callable[[StreamId, int], Quarantined | None],
    ) -> None:
        self._taking, self._source_of, self._find = taking, source_of, find
        self._done = Replayed(taking.resume(REPLAYED))

    async def __call__(self, command: Command) -> dict[str, Any]:
        """The answer; raises `BadInput` when it cannot be done, with the reason."""
        request = command.request
        assert isinstance(request, Replay)
        record = self._record(request)
        if self._done.has(request.stream, request.number):
            return {"replayed": record.reference, "again": True, "items": 0}
        source = self._source_of(record.source)
        if not isinstance(source, Replayable):
            known = "cannot take messages again" if source is not None else "is not in this gateway's plant.toml"
            raise BadInput(f"{record.reference}: source {record.source} {known}")
        items = source.replay(record, raw_of(record, request.payload))
        refuse_what_is_quarantined(items)
        if not self._taking.has_room():
            raise BadInput(f"{record.reference}: the spool has no room now; replay it when it has")
        self._done.add(request.stream, request.number)
        emit(MessageReplayed(record.reference, record.source, len(items)))
        batch = Batch(REPLAYED, items, self._done.state(), history=source.history, replay_of=record.reference)
        await self._taking.put(batch, replayed=len(items), source=record.source)
        return {"replayed": record.reference, "again": False, "items": len(items)}

    def _record(self, request: Replay) -> Quarantined:
        found = self._find(request.stream, request.number) or request.record
        if found is None or (found.stream, found.number) != (request.stream, request.number):
            where = f"{request.stream}/{request.number}"
            raise BadInput(f"{where}: this spool has no such quarantine record (any more), and the command brings none")
        return found


def raw_of(record: Quarantined, payload: bytes | None) -> bytes:
    """The bytes to take again. Raises `BadInput` when only the head of them was kept."""
    if payload is None and record.size is not None:
        raise BadInput(f"{record.reference}: only {len(record.raw)} of {record.size} bytes were kept; give the payload")
    return record.raw if payload is None else payload


def refuse_what_is_quarantined(items: Iterable[Reading | Draft]) -> None:
    """Raises `BadInput` when the mapping did not understand all of it: a replay is whole or not at all."""
    for item in items:
        if isinstance(item, Draft) and item.type is Quarantined:
            raise BadInput(f"{item.fields['where']}: {item.fields['reason']}")


def value_again(record: Quarantined, channel: str, raw: bytes) -> Reading:
    """A quarantined value of ``channel``, given as JSON, with the time it had. Raises `BadField`."""
    try:
        value = _json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadField("$.value", raw[:60], "a value as JSON; give the right one as payload") from error
    return Reading(record.machine, channel, record.time, value, 0, record.received)


def is_value(record: Quarantined) -> bool:
    """Whether the record is a reading whose value could not be carried (``where`` is its channel), not a message."""
    return record.path == "$.value" and record.content_type == "text/plain"
