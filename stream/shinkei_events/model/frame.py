"""Telemetry: one frame is a run of readings of one machine under one context, in the order of their numbers."""

from __future__ import annotations

from typing import Any

import msgspec

from shinkei_events.identity import StreamId

Value = None | bool | int | float | str | list[Any] | dict[str, Any]
"""A reading's value: 64-bit integers are exact, arrays nest, structures are objects, None belongs to a bad status."""

GOOD = 0x00000000
"""OPC UA status Good (Part 4 §7.39)."""


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """What held at the machine at the source time of the readings."""

    state: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None
    operation: str | None = None


class GapMark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something is missing before this frame; the production event with the same id tells all.

    ``begin``/``end``: missing numbers (end exclusive, equal to the frame's ``first``). Both None: lost before numbering.
    """

    id: str
    cause: str
    begin: int | None = None
    end: int | None = None


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """How readings came, where that is not the ordinary way.

    ``skew``: ns by which the source's clock was ahead (negative: behind), beyond its limit; source times stand as the source gave them.
    ``replay_of``: the quarantine record (``stream/number``) that these readings were; nothing is known of the context they had.
    ``maybe_again``: a broker delivered them a second time, or the source said the same twice: which of both cannot be proven.
    """

    skew: int | None = None
    replay_of: str | None = None
    maybe_again: bool = False
    fills: str | None = None
    """The gap (its id) that these readings of a machine's own history fill."""


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """Readings ``first … first + n - 1`` of a stream, column by column.

    ``channels``: names; ``ch[i]``: index into them; source time of reading i is ``t0 + dt[i]`` (ns UTC); ``v[i]`` its value;
    ``status``/``received``: runs ``(count, code)`` and ``(count, time ns)`` that add up to n; ``server_dt[i]``: server time minus
    ``t0`` when it differs from the source time; ``production``: the machine's last production number before the frame;
    ``late``: indexes of readings whose source time was outside [received - 7 d, received + 1 h] (filed under the time received);
    ``complete_until``: in an empty frame, the source time (ns) up to which the stream is complete; ``origin``: what is
    out of the ordinary with how these readings came.
    """

    stream: StreamId
    first: int
    t0: int
    context: Context
    channels: list[str]
    ch: list[int]
    dt: list[int]
    v: list[Value]
    status: list[tuple[int, int]]
    received: list[tuple[int, int]]
    production: int
    server_dt: list[int] | None = None
    gap_before: GapMark | None = None
    late: list[int] | None = None
    complete_until: int | None = None
    origin: Origin | None = None

    @property
    def machine(self) -> str:
        """The machine's short id: Kafka key and CloudEvents subject."""
        return self.stream.machine

    @property
    def replay_of(self) -> str | None:
        """The quarantine record that the readings were, if they were one."""
        return self.origin.replay_of if self.origin is not None else None

    @property
    def count(self) -> int:
        """How many readings (0 in a frame that only tells that nothing happened)."""
        return len(self.v)

    @property
    def end(self) -> int:
        """The number that follows the last reading."""
        return self.first + len(self.v)


class FrameHead(msgspec.Struct, frozen=True):
    """What an encoded `Frame` is and what may follow it, its columns unread (`codec.decode_head`): a twentieth of the time to decode it."""

    stream: StreamId
    first: int
    t0: int
    context: Context
    received: list[tuple[int, int]]
    production: int
    gap_before: GapMark | None = None
    origin: Origin | None = None

    @property
    def count(self) -> int:
        """How many readings."""
        return sum(run for run, _ in self.received)

    @property
    def end(self) -> int:
        """The number that follows the last reading."""
        return self.first + self.count
