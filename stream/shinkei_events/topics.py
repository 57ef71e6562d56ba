"""The topics of the log: names, keys, partitions, how long they keep, and which partition a key goes to.

Nothing here talks to a broker; `shinkei_events.kafka` creates the topics from this list.
"""

from __future__ import annotations

from dataclasses import dataclass

from shinkei_events.identity import Kind

DAY_MS = 86_400_000
PARTITIONS = 12
MAX_RECORD_BYTES = 512 * 1024
"""No record is bigger; a bigger value stays beside the spool and its record carries hash, size and head."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. ``retention_ms`` None: compacted. ``key``: what the record key names."""

    name: str
    key: str
    retention_ms: int | None
    partitions: int = PARTITIONS
    content_type: str = "application/json"

    def config(self) -> dict[str, str]:
        """Topic configuration in Kafka's own names."""
        common = {"max.message.bytes": str(2 * MAX_RECORD_BYTES), "compression.type": "producer"}
        if self.retention_ms is None:
            return common | {"cleanup.policy": "compact"}
        return common | {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


SIGNALS = Topic("shinkei.signals.v1", "machine", 7 * DAY_MS, content_type="application/msgpack")
PRODUCTION = Topic("shinkei.production.v1", "machine", 365 * DAY_MS)
ANOMALIES = Topic("shinkei.anomalies.v1", "machine", 90 * DAY_MS)
ALERTS = Topic("shinkei.alerts.v1", "machine", 90 * DAY_MS)
DECISIONS = Topic("shinkei.decisions.v1", "subject", 365 * DAY_MS)
CONFIG = Topic("shinkei.config.v1", "name", None, partitions=1)
ORDERS = Topic("shinkei.orders.v1", "order", None)
QUARANTINE = Topic("shinkei.quarantine.v1", "source", 90 * DAY_MS)
LIVE = Topic("shinkei.live.v1", "machine", 3_600_000, content_type="application/msgpack")
SUMMARIES = Topic("shinkei.summaries.v1", "group", 7 * DAY_MS)
PROGRESS = Topic("shinkei.progress.v1", "recorder/topic/partition or claim/gateway/shard", None, partitions=1)
COMMANDS = Topic("shinkei.commands.v1", "gateway", DAY_MS, partitions=1)
REPLIES = Topic("shinkei.replies.v1", "gateway", DAY_MS, partitions=1)

TOPICS: tuple[Topic, ...] = (
    SIGNALS, PRODUCTION, ANOMALIES, ALERTS, DECISIONS, CONFIG, ORDERS, QUARANTINE, LIVE, SUMMARIES, PROGRESS, COMMANDS, REPLIES,
)  # fmt: skip

TOPIC_OF_KIND: dict[Kind, Topic] = {
    "signals": SIGNALS,
    "production": PRODUCTION,
    "history": SIGNALS,
    "quarantine": QUARANTINE,
}
"""A stream has one partition, so a history stream carries its frames and its events on the topic of the signals."""


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit MurmurHash2 (``org.apache.kafka.common.utils.Utils.murmur2``), as an unsigned number."""
    mask, mix = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    value = 0x9747B28C ^ length
    for at in range(0, length - length % 4, 4):
        chunk = int.from_bytes(data[at : at + 4], "little") * mix & mask
        chunk = (chunk ^ chunk >> 24) * mix & mask
        value = value * mix & mask ^ chunk
    tail = data[length - length % 4 :]
    if tail:
        value = (value ^ int.from_bytes(tail, "little")) * mix & mask
    value = (value ^ value >> 13) * mix & mask
    return value ^ value >> 15


def partition_of(key: str, partitions: int = PARTITIONS) -> int:
    """The partition that ``partitioner=murmur2_random`` (and the Java client) gives to ``key``."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
