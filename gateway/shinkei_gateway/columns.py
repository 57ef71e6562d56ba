"""How a run of readings becomes a frame, column by column, and in which order things of one batch stand. Pure; the intake calls it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from operator import itemgetter

import msgspec

from shinkei_events.frames import runs_of
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import GOOD, Context, Frame
from shinkei_events.model.machine import MachineStateChanged, SetupChanged
from shinkei_gateway.offered import Draft, Reading, ReadingColumns
from shinkei_gateway.source_time import EARLIEST_NS, LATEST_NS, is_of_now

_TIME, _RECEIVED = itemgetter(Reading._fields.index("time")), itemgetter(Reading._fields.index("received"))


def in_order(items: Sequence[Reading | Draft]) -> Sequence[Reading | Draft]:
    """By source time (by arrival when that is out of the window); at one instant: context, readings, then what happened."""
    if isinstance(items, ReadingColumns):
        return _columns_in_order(items)
    if set(map(type, items)) == {Reading} and _are_within([*map(_TIME, items)], [*map(_RECEIVED, items)]):
        return sorted(items, key=_TIME)  # the hot path: no call of ours a value
    return sorted(items, key=_order)


def _columns_in_order(items: ReadingColumns) -> Sequence[Reading | Draft]:
    times = items.times
    if not _are_within(times, (items.received,)):
        return sorted(items, key=_order)
    if sorted(times) == list(times):
        return items
    return items.picked(sorted(range(len(times)), key=times.__getitem__))


def _order(item: Reading | Draft) -> tuple[int, int]:
    time = item.time if is_of_now(item.time, item.received) else item.received
    if isinstance(item, Reading):
        return time, 1
    return time, 0 if item.type is MachineStateChanged or item.type is SetupChanged else 2


def context_after(context: Context, item: Draft) -> Context:
    """The machine's context once ``item`` has happened."""
    fields = item.fields
    if item.type is MachineStateChanged:
        known = {name: fields[name] for name in ("product", "recipe", "tool") if fields.get(name) is not None}
        return msgspec.structs.replace(context, state=fields["state"], **known)
    if item.type is SetupChanged and fields["unit_type"] == "tool":
        return msgspec.structs.replace(context, tool=fields["unit"] if fields["action"] == "mounted" else None)
    return context


def columns(stream: StreamId, first: int, run: Sequence[Reading], context: Context, windowed: bool) -> Frame:
    """A frame of ``run`` (not empty). ``windowed``: source times out of the window are flagged as late."""
    if isinstance(run, ReadingColumns):
        channels, times, values, servers = run.channels, run.times, run.values, run.servers
        received: Sequence[int] = (run.received,)
        status_runs, received_runs = [(len(run), GOOD)], [(len(run), run.received)]
    else:
        _, channels, times, values, statuses, received, told = zip(*run, strict=True)
        servers = None if told.count(None) == len(run) else told
        status_runs, received_runs = runs_of(statuses), runs_of(received)
    places = {name: at for at, name in enumerate(dict.fromkeys(channels))}
    t0 = times[0]
    dt = [time - t0 for time in times]
    server = None
    if servers is not None:
        server = [(told if told is not None else time) - t0 for told, time in zip(servers, times, strict=True)]
    late = []
    if windowed and not _are_within(times, received):
        late = [at for at, pair in enumerate(zip(times, cycle(received))) if not is_of_now(*pair)]
    return Frame(
        stream, first, t0, context, list(places), list(map(places.__getitem__, channels)), dt, list(values),
        status_runs, received_runs, 0, server_dt=server if server != dt else None, late=late or None,
    )  # fmt: skip


def _are_within(times: Sequence[int], received: Sequence[int]) -> bool:
    """Whether all of them are, whatever time came with whatever arrival; False leaves it open."""
    return max(received) - EARLIEST_NS <= min(times) and max(times) <= min(received) + LATEST_NS
