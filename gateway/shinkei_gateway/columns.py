"""How a run of readings becomes a frame, column by column, and in which order things of one batch stand. Pure; the intake calls it."""

from __future__ import annotations

import msgspec

from shinkei_events.frames import runs_of
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame
from shinkei_events.model.machine import MachineStateChanged, SetupChanged
from shinkei_gateway.offered import Draft, Reading

EARLIEST_NS = 7 * 86_400 * 10**9
LATEST_NS = 3_600 * 10**9


def order(item: Reading | Draft) -> tuple[int, int]:
    """By source time (by arrival when that is out of the window); at one instant: context, readings, then what happened."""
    time = item.time if item.received - EARLIEST_NS <= item.time <= item.received + LATEST_NS else item.received
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


def columns(stream: StreamId, first: int, run: list[Reading], context: Context, windowed: bool) -> Frame:
    """A frame of ``run`` (not empty). ``windowed``: source times out of the window are flagged as late."""
    names: dict[str, int] = {}
    ch = [names.setdefault(reading.channel, len(names)) for reading in run]
    t0 = run[0].time
    server = [(r.server_time if r.server_time is not None else r.time) - t0 for r in run]
    dt = [reading.time - t0 for reading in run]
    late = (
        [i for i, r in enumerate(run) if not r.received - EARLIEST_NS <= r.time <= r.received + LATEST_NS]
        if windowed
        else []
    )
    return Frame(
        stream, first, t0, context, list(names), ch, dt, [reading.value for reading in run],
        runs_of([reading.status for reading in run]), runs_of([reading.received for reading in run]), 0,
        server_dt=server if server != dt else None, late=late or None,
    )  # fmt: skip
