"""The gateway's noteworthy events. A lost source is told once and its return once; nothing per reading."""

from __future__ import annotations

import logging
from typing import ClassVar

from shinkei_events.telemetry import Telemetry


class GatewayStarted(Telemetry, frozen=True):
    """The gateway runs."""

    text: ClassVar[str] = (
        "gateway {gateway}/{shard}: {sources} sources, spool {spool_bytes} bytes in {folder}, tail {tail}"
    )
    gateway: str
    shard: str
    sources: int
    spool_bytes: int
    folder: str
    tail: str


class Reloaded(Telemetry, frozen=True):
    """plant.toml was read again and what is different was changed; the other sources went on undisturbed."""

    text: ClassVar[str] = "{file} read again: added {added}; changed {changed}; removed {removed}; {same} untouched"
    file: str
    added: str
    changed: str
    removed: str
    same: int


class ReloadRefused(Telemetry, frozen=True):
    """plant.toml is wrong now: the gateway goes on with what it had."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "{file} is not taken, the old configuration stays: {why}"
    metric: ClassVar[str | None] = "shinkei_reloads_refused"
    file: str
    why: str


class SpoolDamaged(Telemetry, frozen=True):
    """The end of the spool was damaged: a new epoch begins, with a gap record."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "spool: damaged end in {folder}; epoch {previous} ends, its tail is unknown and told as a gap"
    metric: ClassVar[str | None] = "shinkei_spool_damaged"
    folder: str
    previous: str


class SpoolFull(Telemetry, frozen=True):
    """There is no room on disk: nothing more is taken from any source."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "{why}"
    metric: ClassVar[str | None] = "shinkei_spool_full"
    why: str


class SpoolDropped(Telemetry, frozen=True):
    """The oldest part of a full spool was given up, as on_full = "drop_oldest" says; gap records tell which numbers."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "spool: full, {bytes} bytes of the oldest were dropped; gap records say which numbers"
    metric: ClassVar[str | None] = "shinkei_spool_drops"
    bytes: int


class SpoolHasRoom(Telemetry, frozen=True):
    """There is room again and sources go on."""

    text: ClassVar[str] = "spool: has room again"


class SourceConnected(Telemetry, frozen=True):
    """A source is there (again)."""

    text: ClassVar[str] = "source {source}: connected to {url} after {seconds:.1f} s, {detail}"
    metric: ClassVar[str | None] = "shinkei_source_connections"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    url: str
    seconds: float
    detail: str


class SourceLost(Telemetry, frozen=True):
    """A source is away; it is tried again for ever."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "source {source}: {url} is lost: {why}"
    metric: ClassVar[str | None] = "shinkei_source_losses"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    url: str
    why: str


class SourceStillAway(Telemetry, frozen=True):
    """A source stays away; it is tried on. Told after 30 s, then ever more rarely, with the reason of the newest attempt."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: {url} is away for {seconds:.0f} s, attempt {attempts} failed: {why}; it is tried again"
    )
    source: str
    url: str
    seconds: float
    attempts: int
    why: str


class SourceFinished(Telemetry, frozen=True):
    """A recording was read to its end."""

    text: ClassVar[str] = "source {source}: {path} is read, {lines} lines"
    source: str
    path: str
    lines: int


class RecordingReadAgain(Telemetry, frozen=True):
    """A recording is read from its beginning, by a spool that does not know how far it had been read."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: {path} is read again: {recorded} of {machine} are on record already, by another spool; as many are marked"
    )
    metric: ClassVar[str | None] = "shinkei_recordings_read_again"
    source: str
    path: str
    machine: str
    recorded: int


class SourceCrashed(Telemetry, frozen=True):
    """A source ended by an error of this program; it is started again and a gap is told."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "source {source}: {error}"
    metric: ClassVar[str | None] = "shinkei_source_crashes"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    error: str


class ConnectionRefused(Telemetry, frozen=True):
    """Security does not let a connection be made; asking again will not help, a person must act. Told once."""

    level: ClassVar[int] = logging.ERROR
    text: ClassVar[str] = "source {source}: {why}"
    metric: ClassVar[str | None] = "shinkei_source_security_refusals"
    labels: ClassVar[tuple[str, ...]] = ("source", "status")
    source: str
    status: str
    why: str


class PkiFileUnreadable(Telemetry, frozen=True):
    """A file in the folder of trusted certificates is none; the others count."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "pki: {file}"
    file: str


class CertificateExpires(Telemetry, frozen=True):
    """A certificate that is in use ends soon, or has ended. Told once a day from 30 days before on."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "certificate of {whose}, SHA-1 {thumbprint}: {days:.1f} days left; {to_do}"
    whose: str
    thumbprint: str
    days: float
    to_do: str


class CertificateRenewed(Telemetry, frozen=True):
    """Our own certificate is a new one; where servers do not take it yet, the one before is used while it is valid."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "our certificate is renewed: have the servers trust {file}, SHA-1 {thumbprint}"
    file: str
    thumbprint: str


class NodesRefused(Telemetry, frozen=True):
    """A server refuses to watch some nodes; they are tried again alone."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "source {source}: {count} nodes are refused: {nodes}"
    source: str
    count: int
    nodes: str


class QueuesShort(Telemetry, frozen=True):
    """A server's queues bridge less than the configuration promises."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: the queues of {count} nodes bridge less than the {promised:g} s promised: {node} {covers:.3g} s"
    )
    source: str
    count: int
    promised: float
    node: str
    covers: float


class MachinesTooMany(Telemetry, frozen=True):
    """Topics or births name more machines than a source may bring; what comes of further ones (of Sparkplug: their births) goes to quarantine.
    Told once a life of the source.
    """

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: {topic} would be one more than max_machines = {most}; list the machines, or raise max_machines"
    )
    source: str
    topic: str
    most: int


class RetainedRemoved(Telemetry, frozen=True):
    """An MQTT message without a byte: it removes a retained message and says nothing else. Counted, seldom worth a line."""

    level: ClassVar[int] = logging.DEBUG
    text: ClassVar[str] = "source {source}: the retained message of {topic} was removed"
    metric: ClassVar[str | None] = "shinkei_mqtt_removals"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    topic: str


class BrokerDropped(Telemetry, frozen=True):
    """A broker counts messages that it dropped for full queues; whether they were for us it does not say. At most once a minute."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: the broker {url} dropped {count} messages because a queue was full, {total} since its start; "
        "raise its limits (mosquitto: max_queued_messages)"
    )
    metric: ClassVar[str | None] = "shinkei_broker_drops"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    amount: ClassVar[str | None] = "count"
    source: str
    url: str
    count: int
    total: int


class HistoryNotThere(Telemetry, frozen=True):
    """A server does not give its history of a node: the gap stays as it is."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "source {source}: no history of {node}: {why}; its gap stays"
    metric: ClassVar[str | None] = "shinkei_history_not_there"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    node: str
    why: str


class EdgesBounced(Telemetry, frozen=True):
    """A trigger rose again within its debounce time: both edges are one."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: handshake {handshake} bounced, {count} edges in all were taken as one with the edge before"
    )
    metric: ClassVar[str | None] = "shinkei_edges_bounced"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    handshake: str
    count: int


class AnswerWritten(Telemetry, frozen=True):
    """A machine was told that its cycle is recorded."""

    text: ClassVar[str] = "source {source}: handshake {handshake} answered, {node} is {value}"
    metric: ClassVar[str | None] = "shinkei_answers_written"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    handshake: str
    node: str
    value: str


class AnswerNotWritten(Telemetry, frozen=True):
    """A machine was not told, or nobody knows whether it was; it is not tried again."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: handshake {handshake} is not answered with {value} at {node}: {outcome} ({why})"
    )
    metric: ClassVar[str | None] = "shinkei_answers_not_written"
    labels: ClassVar[tuple[str, ...]] = ("source", "outcome")
    source: str
    handshake: str
    node: str
    value: str
    outcome: str
    why: str


class GapFound(Telemetry, frozen=True):
    """Something is missing, or may be; a gap record says what."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "gap: {machine} {kind} {cause} {detail}"
    metric: ClassVar[str | None] = "shinkei_gaps"
    labels: ClassVar[tuple[str, ...]] = ("cause",)
    machine: str
    kind: str
    cause: str
    detail: str


class MessageQuarantined(Telemetry, frozen=True):
    """Something could not be understood; its bytes are kept."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "quarantine: {source} {where}: {reason}"
    metric: ClassVar[str | None] = "shinkei_quarantined"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    where: str
    reason: str


class ClockBeyond(Telemetry, frozen=True):
    """A source's clock is wrong, was set back (by ``step`` s), or is right again; nothing is corrected."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = (
        "source {source}: its clock is {seconds:+.1f} s off, within the limit: {within}, set back by {step:.1f} s"
    )
    source: str
    seconds: float
    within: bool
    step: float = 0.0


class HostClockStepped(Telemetry, frozen=True):
    """The clock of this computer was set while the gateway ran: times of receipt before and after it do not compare."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "the clock of this computer was set by {seconds:+.1f} s; numbers keep their order"
    metric: ClassVar[str | None] = "shinkei_host_clock_steps"
    seconds: float


class MessageReplayed(Telemetry, frozen=True):
    """What was in quarantine could be understood now and has the next numbers of its stream."""

    text: ClassVar[str] = "replay: {record} of {source} gave {items} readings or events"
    metric: ClassVar[str | None] = "shinkei_replayed"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    record: str
    source: str
    items: int


class RebirthAsked(Telemetry, frozen=True):
    """An edge node is asked to say its births again."""

    text: ClassVar[str] = "source {source}: {node} is asked for a rebirth: {why}"
    metric: ClassVar[str | None] = "shinkei_sparkplug_rebirths"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    node: str
    why: str


class NodeDeviates(Telemetry, frozen=True):
    """An edge node does what Sparkplug forbids; it is understood all the same. Told once."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "source {source}: {node} deviates from Sparkplug 3.0: {what}"
    source: str
    node: str
    what: str


class SignalsUnread(Telemetry, frozen=True):
    """What a server says about its signals (units, ranges, definitions of structures) could not be read; their values go on."""

    level: ClassVar[int] = logging.WARNING
    text: ClassVar[str] = "source {source}: units and types of its signals are not known: {why}"
    metric: ClassVar[str | None] = "shinkei_signals_unread"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    why: str
