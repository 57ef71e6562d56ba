"""What the recorder has committed, and what is asked of gateways."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shinkei_events.identity import StreamId
from shinkei_events.model.quarantine import Quarantined


class Recorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """All numbers of ``stream`` below ``next`` are in the database or covered by a gap record."""

    stream: StreamId
    next: int

    @classmethod
    def parse(cls, stream: str, next: int) -> Recorded:
        """Of a stream's text form. Raises `BadField`."""
        return cls(StreamId.parse(stream), next)


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All watermarks of one partition after a commit. The last report wins, also a lower one (a restored database)."""

    recorder: str
    log_id: str
    topic: str
    partition: int
    position: int
    streams: list[Recorded]
    time: int

    @property
    def key(self) -> str:
        """The compaction key."""
        return f"{self.recorder}/{self.topic}/{self.partition}"


class SendAgain(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="send_again"):
    """Send ``stream`` again from ``number`` on. An empty epoch: the one that the gateway writes now."""

    stream: StreamId
    number: int


class Browse(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="browse"):
    """List what a source offers below ``node``: ``depth`` levels, ``most`` nodes at most (the gateway may give less, and says so)."""

    source: str
    node: str = ""
    depth: int = 1
    most: int = 1000


class Preview(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="preview"):
    """Read these nodes once."""

    source: str
    nodes: list[str]


class Replay(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="replay"):
    """Take a quarantined message again, perhaps with another payload. ``record``: as the database has it, for when the spool has not."""

    stream: StreamId
    number: int
    payload: bytes | None = None
    record: Quarantined | None = None


class Trust(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="trust"):
    """Trust the certificate with this SHA-1 thumbprint."""

    source: str
    thumbprint: str


class Apply(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="apply"):
    """Read the configuration again."""


Request = SendAgain | Browse | Preview | Replay | Trust | Apply


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Asked of ``gateway`` by ``issuer``; refused after ``deadline`` (ns UTC)."""

    id: str
    gateway: str
    issuer: str
    deadline: int
    request: Request


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of a gateway (its ``shard``) to command ``command``."""

    id: str
    command: str
    gateway: str
    outcome: Literal["done", "refused", "failed", "expired"]
    time: int
    result: dict[str, Any] = {}
    error: str | None = None
    shard: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway's shard says that this life of it (``instance``, on ``host``) writes ``epoch`` from ``time`` (ns UTC) on.

    ``closed``: streams it writes no more because their machine moved on; all their numbers are below ``next``. Two lives that claim one
    epoch and do not know of each other are two copies of one spool. ``place``: where its spool ends (segment, byte): one in which this life
    ended before is older than the claim. ``after``: the lives before this one, newest last. ``told``: of every machine of ``closed``, the
    epochs that its streams here were said to follow; of what became known later, whoever writes the machine now has to tell.
    """

    gateway: str
    shard: str
    epoch: str
    instance: str
    host: str
    time: int
    closed: list[Recorded] = []
    place: tuple[int, int] | None = None
    after: list[str] = []
    told: dict[str, list[str]] = {}

    @property
    def key(self) -> str:
        """The compaction key."""
        return f"claim/{self.gateway}/{self.shard}"

    @property
    def id(self) -> str:
        """Unique per life and epoch."""
        return f"{self.key}/{self.epoch}/{self.instance}/{self.time}"
