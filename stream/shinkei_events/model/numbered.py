"""What every event of a machine's own stream carries, and the events about streams themselves."""

from __future__ import annotations

from typing import Literal

import msgspec

from shinkei_events.identity import StreamId
from shinkei_events.model.frame import GapMark


class Numbered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of events that the gateway numbered when they became durable in its spool.

    ``signals``: the last number of the machine's signals stream before this event (0: none), so that readings and events are
    merged by these and never by arrival. ``time``: source time, ``received``: when the gateway had it, both ns UTC.
    ``gap_before``: numbers of this stream that are missing before the event. ``replay_of``: the quarantine record it was.
    """

    stream: StreamId
    number: int
    signals: int
    time: int
    received: int
    replay_of: str | None = None
    gap_before: GapMark | None = None

    @property
    def machine(self) -> str:
        """The machine's short id."""
        return self.stream.machine


class StreamStarted(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """First event of a production stream: which gateway and shard write it, and what it follows after a move."""

    gateway: str
    shard: str
    follows: StreamId | None = None
    follows_number: int | None = None


class StreamClosed(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """Last event of a production stream: the machine moved on; ``signals`` and ``number`` are the last numbers."""

    reason: str


GapCause = Literal[
    "overflow", "session_lost", "republish_failed", "source_restarted", "mqtt_session_lost", "mqtt_possible", "sparkplug_seq",
    "decode_error", "spool_lost", "spool_corrupt", "spool_dropped", "spool_went_back", "trimmed", "clock", "gateway_down", "moved",
    "handshake_incomplete",
]  # fmt: skip


class Gap(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """Readings or events of ``of`` are missing, or may be: numbers ``begin … end - 1``, or source times ``t_from … t_to`` (ns).

    ``at_least``: lower bound of how many are missing (0: perhaps none). ``channels``: only these are concerned (empty: all).
    ``possible``: nobody can tell whether anything was lost.
    """

    id: str
    of: StreamId
    cause: GapCause
    begin: int | None = None
    end: int | None = None
    t_from: int | None = None
    t_to: int | None = None
    at_least: int = 0
    channels: list[str] = []
    possible: bool = False
    detail: str = ""


class ClockSkew(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """A source's clock is ``skew`` ns ahead of the gateway's (negative: behind), beyond ``limit`` ns; or is right again.

    ``step``: it was set back, by so many ns (negative). Nothing is corrected: source times stand as given, numbers in their order.
    """

    source: str
    skew: int
    limit: int
    within: bool = False
    step: int | None = None


class SignalDescribed(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """A signal as its source describes it: unit (text and UNECE code), EURange, what the instrument can measure, data type, node, revised sampling."""

    name: str
    source: str
    node: str = ""
    data_type: str = ""
    unit: str | None = None
    unece: str | None = None
    low: float | None = None
    high: float | None = None
    description: str = ""
    sampling_ms: float | None = None
    queue_size: int | None = None
    instrument_low: float | None = None
    instrument_high: float | None = None


class NodeWrite(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """An answer to a machine after a handshake: ``value`` for ``node``, as ``user``, and what became of it. One an operation and handshake.

    ``outcome``: written (the server says so), failed (nothing was written), unproven (it may have been; it is not tried again), late,
    superseded (the machine has gone on), not_allowed (by the allow-list): none of these three was tried. ``time``: the gateway's clock.
    """

    source: str
    handshake: str
    operation_id: str
    node: str
    value: bool | int | float | str
    user: str
    outcome: Literal["written", "failed", "unproven", "late", "superseded", "not_allowed"]
    detail: str = ""
