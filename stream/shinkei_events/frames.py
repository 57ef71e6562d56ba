"""Frames cut and joined: numbers are the identity of readings, never where a frame ends. Pure.

The forwarder joins what the spool holds; the recorder cuts off what it has. ``cut(join(a, b), a.count) == b`` up to the
order of channel names, which carry no meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from shinkei_events.model.frame import Frame, FrameHead, Value

MAX_VALUES = 512
MAX_BYTES = 256 * 1024

Runs = list[tuple[int, int]]


def cut(frame: Frame, skip: int) -> Frame:
    """``frame`` without its first ``skip`` readings (``0 <= skip <= count``). What was missing before it is then known already."""
    if skip == 0:
        return frame
    if not 0 < skip <= frame.count:
        raise ValueError(f"cannot cut {skip} of {frame.count} readings")
    used = sorted(set(frame.ch[skip:]))
    place = {old: new for new, old in enumerate(used)}
    late = [index - skip for index in frame.late or () if index >= skip]
    return msgspec.structs.replace(
        frame,
        first=frame.first + skip,
        channels=[frame.channels[old] for old in used],
        ch=[place[old] for old in frame.ch[skip:]],
        dt=frame.dt[skip:],
        v=frame.v[skip:],
        status=_runs_from(frame.status, skip),
        received=_runs_from(frame.received, skip),
        server_dt=frame.server_dt[skip:] if frame.server_dt is not None else None,
        late=late or None,
        gap_before=None,
    )


def can_join(left: Frame | FrameHead, right: Frame | FrameHead) -> bool:
    """Whether ``right`` follows ``left`` directly under the same context and of the same origin, with nothing missing and no event in between."""
    return (
        right.stream == left.stream
        and right.first == left.end
        and right.gap_before is None
        and right.production == left.production
        and right.context == left.context
        and right.origin == left.origin
        and left.count > 0
        and right.count > 0
    )


def join(frames: list[Frame]) -> Frame:
    """One frame of several that `can_join`, in order. Raises ValueError when two of them do not."""
    head = frames[0]
    if len(frames) == 1:
        return head
    place = {name: index for index, name in enumerate(head.channels)}
    ch, dt, v = list(head.ch), list(head.dt), list(head.v)
    status, received = list(head.status), list(head.received)
    late = list(head.late or ())
    server: list[int] | None = list(head.server_dt) if head.server_dt is not None else None
    previous = head
    for frame in frames[1:]:
        if not can_join(previous, frame):
            raise ValueError(
                f"{frame.stream}: frame at {frame.first} does not follow the one that ends before {previous.end}"
            )
        shift, at = frame.t0 - head.t0, len(v)
        index = [place.setdefault(name, len(place)) for name in frame.channels]
        ch += [index[old] for old in frame.ch]
        if (server is None) != (frame.server_dt is None):
            server = server if server is not None else list(dt)
        dt += [shift + d for d in frame.dt]
        if server is not None:
            server += [shift + d for d in (frame.server_dt if frame.server_dt is not None else frame.dt)]
        v += frame.v
        _extend(status, frame.status)
        _extend(received, frame.received)
        late += [at + index for index in frame.late or ()]
        previous = frame
    return msgspec.structs.replace(
        head,
        channels=list(place),
        ch=ch,
        dt=dt,
        v=v,
        status=status,
        received=received,
        server_dt=server,
        late=late or None,
    )


def readings(frame: Frame) -> Iterator[tuple[int, str, int, Value, int, int]]:
    """Each reading as ``(number, channel, source time ns, value, status, received ns)``."""
    names, t0 = frame.channels, frame.t0
    status, received = _flat(frame.status), _flat(frame.received)
    for at, (ch, dt, value, code, arrived) in enumerate(
        zip(frame.ch, frame.dt, frame.v, status, received, strict=True)
    ):
        yield frame.first + at, names[ch], t0 + dt, value, code, arrived


def _flat(runs: Runs) -> Iterator[int]:
    for run, code in runs:
        for _ in range(run):
            yield code


def runs_of(values: Sequence[int]) -> Runs:
    """Run lengths of a column.

    >>> runs_of([7, 7, 0])
    [(2, 7), (1, 0)]
    """
    if values and values.count(values[0]) == len(values):
        return [(len(values), values[0])]
    return [(len(list(same)), value) for value, same in groupby(values)]


def _runs_from(runs: Runs, skip: int) -> Runs:
    rest: Runs = []
    for run, code in runs:
        if skip >= run:
            skip -= run
            continue
        rest.append((run - skip, code))
        skip = 0
    return rest


def _extend(runs: Runs, more: Runs) -> None:
    for run, code in more:
        if runs and runs[-1][1] == code:
            runs[-1] = (runs[-1][0] + run, code)
        else:
            runs.append((run, code))
