"""The shell around `forward`: spool to log, progress and commands back. Runs in the gateway's event loop.

The log may be away, hang, or be another one at any time: the spool keeps everything, and the pointers go back to what is recorded.
Nothing is sent before the progress topic was read to its end, so that a restart does not send everything again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from shinkei_events import kafka
from shinkei_events.envelope import open_record, seal, seal_encoded
from shinkei_events.errors import BadInput, Full, NotConnected
from shinkei_events.identity import Kind
from shinkei_events.model.numbered import Gap
from shinkei_events.model.progress import Claim, Command, Progress, Reply, SendAgain
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_events.topics import COMMANDS, LIVE, PROGRESS, TOPIC_OF_KIND
from shinkei_gateway.commands import ISSUERS, Action, Commands
from shinkei_gateway.forward import Forwarder, Missing, Send
from shinkei_gateway.forward_telemetry import LogAway, LogFound, NumbersMissing, SentAgain
from shinkei_gateway.intake import Batch, Draft, Intake
from shinkei_gateway.last_values import BEHIND_NS
from shinkei_gateway.sending import Encoded
from shinkei_gateway.standing import Standing

PACE_S = 0.01
LINGER_MS = 5.0
"""The client's own waiting for more records, at most; a gateway whose frames are younger asks for a tenth of their age."""
LOOK_S = 0.5
FIND_S = 3.0
"""How long a log is waited for before it is tried with new connections: those to a host that vanished stay mute when it is back."""
TRIM_S = 2.0
ANSWERED = "@answered"


def kinds_of(topic: str) -> tuple[Kind, ...]:
    """The kinds of streams that travel on a topic."""
    return tuple(kind for kind, found in TOPIC_OF_KIND.items() if found.name == topic)


class KafkaLink:
    """One per shard. ``actions``: by request type, beside `SendAgain`.

    ``concerns``: whether this shard answers a command to its gateway; ``issuers``: parts that may ask. ``tell``: takes the gaps of numbers
    that the spool does not have any more (None: the intake does).
    """

    def __init__(self, plant: PlantFile, gateway: str, shard: str, forwarder: Forwarder, intake: Intake, standing: Standing, *,
                 actions: dict[type, Action] | None = None, concerns: Callable[[Command], bool] = lambda _command: True, issuers: Iterable[str] = ISSUERS,
                 keep: Callable[[str], bool] = lambda _name: False, linger_ms: float = LINGER_MS, tell: Callable[[Batch, list[Missing]], object] | None = None) -> None:  # fmt: skip
        self._plant, self._gateway, self._source = plant, gateway, f"gateway/{gateway}/{shard}"
        self._forwarder, self._intake, self._standing = forwarder, intake, standing
        self._keep, self._linger_ms = keep, linger_ms
        self._tell = tell or (lambda batch, _missing: intake.put(batch))
        intake.last_values.behind = BEHIND_NS + forwarder.frame_age
        self._wake = asyncio.Event()
        self._commands = Commands(
            gateway, shard, actions or {}, answered=intake.resume(ANSWERED) or [], keep=lambda ids: intake.put(Batch(ANSWERED, [], ids)),
            send_again=self._again, concerns=concerns, issuers=issuers,
        )  # fmt: skip
        self._dead = False
        self._gone: NotConnected | None = None
        self.connected = self._has_caught_up = False
        self.last_error = ""
        self.sent = {"records": 0, "values": 0, "bytes": 0}

    def wake(self) -> None:
        """Something became durable (call it in the event loop)."""
        self._wake.set()

    def state(self) -> dict[str, tuple[int, int, int]] | None:
        """See `Forwarder.state`. Only a log tells what is sent and stored: before the first answer None, later what it said last."""
        return self._forwarder.state() if self._has_caught_up else None

    async def run(self, stop: asyncio.Event) -> None:
        """Forward until ``stop``; then flush what is under way for at most a second."""
        while not stop.is_set():
            try:
                log = await asyncio.to_thread(kafka.find_log, self._plant, FIND_S)
                await self._life(log, stop)
            except (NotConnected, Full, KafkaException) as error:
                if self.connected or not self.last_error:
                    emit(LogAway(str(error)))
                self.connected, self.last_error = False, str(error)
                await _pause(stop, LOOK_S)
        await self._commands.close()

    async def _life(self, log: kafka.LogAddress, stop: asyncio.Event) -> None:
        await asyncio.to_thread(kafka.ensure_topics, log, self._plant.log.replication)
        producer = kafka.producer(log, on_error=self._on_error, linger_ms=self._linger_ms)
        reader = kafka.plain_consumer(log, f"{self._gateway}.link")
        self._dead, self._gone = False, None
        watching = asyncio.create_task(self._watch(kafka.LogWatch(self._plant, log)), name="log watch")
        try:
            await asyncio.to_thread(kafka.assign_from_beginning, reader, [PROGRESS.name, COMMANDS.name])
            self._forwarder.on_log(log.log_id)
            self._standing.on_log()
            await self._catch_up(reader, log)
            self._forwarder.skip_done()
            self._has_caught_up = True
            emit(LogFound(log.bootstrap, log.log_id, self._forwarder.backlog()))
            self.connected, self.last_error = True, ""
            await self._serve(producer, reader, log, stop)
        finally:
            watching.cancel()
            if not stop.is_set():
                self._standing.off_log()
            await asyncio.to_thread(_close, producer, reader)

    async def _watch(self, watch: kafka.LogWatch) -> None:
        """Look now and then, in a thread: a log that hangs holds up the look, and neither what is sent nor what is read."""
        while self._gone is None:
            await asyncio.sleep(LOOK_S)
            try:
                await asyncio.to_thread(watch.look)
            except NotConnected as error:
                self._gone = error

    def _alive(self) -> None:
        """Raises `NotConnected` when this life on the log is over."""
        if self._gone is not None:
            raise self._gone
        if self._dead:
            raise NotConnected("the producer had a fatal error and is made anew")

    async def _serve(self, producer: Producer, reader: Consumer, log: kafka.LogAddress, stop: asyncio.Event) -> None:
        trim_at = time.monotonic()
        while not stop.is_set():
            self._alive()
            await self._read(reader, log)
            await self._standing.settle()
            may_send = self._standing.may_send
            sends = self._forwarder.poll(time.monotonic_ns(), wall=time.time_ns()) if may_send else []
            sends += self._forwarder.quiet(self._intake.quiet_frames())
            held_up = [send for send in sends if not self._produce(producer, send)]
            self._show(producer)
            self._reply(producer)
            producer.poll(0)
            self._tell_missing()
            now = time.monotonic()
            if now >= trim_at:
                trim_at = now + TRIM_S
                self._forwarder.trim(keep=self._keep)
                self._standing.follow()
            if (sends or self._forwarder.has_more) and not held_up:
                await asyncio.sleep(0)
            else:
                await self._rest()

    async def _rest(self) -> None:
        due = self._forwarder.due
        pause = PACE_S if due is None else min(PACE_S, max(0.0, (due - time.monotonic_ns()) / 1e9))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()

    # ---- to the log --------------------------------------------------------------------------------------------------
    def _produce(self, producer: Producer, send: Send) -> bool:
        """False: the client's queue is full (the log is slow or hangs); the record is sent again."""
        topic = TOPIC_OF_KIND[send.stream.kind].name
        record = send.record
        if isinstance(record, Encoded):
            sealed = seal_encoded(record.head, record.payload, self._source, topic=topic)
        else:
            sealed = seal(record, self._source, topic=topic)
        headers: list[tuple[str, str | bytes | None]] = [*sealed.headers]
        ticket = send.ticket

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if ticket == 0:
                return
            if error is None:
                self._forwarder.delivered(ticket, message.offset() or 0)
            else:
                self._forwarder.failed(ticket)

        try:
            producer.produce(topic, value=sealed.value, key=sealed.key, headers=headers, on_delivery=on_delivery)
        except BufferError:
            if ticket:
                self._forwarder.failed(ticket)
            return False
        self.sent["records"] += 1
        self.sent["values"] += send.end - send.first
        self.sent["bytes"] += len(sealed.value)
        return True

    def _show(self, producer: Producer) -> None:
        """Last values of machines whose streams are behind, for screens. Whether they arrive is nobody's account."""
        for frame in self._intake.last_values.due(time.monotonic_ns(), self._forwarder.on_log_of):
            sealed = seal(frame, self._source, topic=LIVE.name, id=f"{frame.stream}/last/{time.time_ns()}")
            with contextlib.suppress(BufferError, KafkaException):  # full, or a value that is too big
                producer.produce(LIVE.name, value=sealed.value, key=sealed.key, headers=[*sealed.headers])

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = error.str()
        if error.fatal():
            self._dead = True

    def _tell_missing(self) -> None:
        if not self._forwarder.missing:
            return
        now = time.time_ns()
        drafts: list[Any] = []
        for stream, mark in self._forwarder.missing:
            emit(NumbersMissing(str(stream), mark.begin or 0, mark.end or 0, mark.cause))
            lost = (mark.end or 0) - (mark.begin or 0)
            fields = {
                "id": mark.id,
                "of": stream,
                "cause": mark.cause,
                "begin": mark.begin,
                "end": mark.end,
                "at_least": lost,
            }
            drafts.append(Draft(stream.machine, now, now, Gap, fields))
        missing, self._forwarder.missing = self._forwarder.missing, []
        self._tell(Batch("@forward", drafts), missing)

    # ---- from the log ------------------------------------------------------------------------------------------------
    async def _catch_up(self, reader: Consumer, log: kafka.LogAddress) -> None:
        """Read progress and commands to their ends."""
        for topic in (PROGRESS.name, COMMANDS.name):
            _, end = await asyncio.to_thread(reader.get_watermark_offsets, TopicPartition(topic, 0), 5.0)
            while end > 0:
                place = next(iter(reader.position([TopicPartition(topic, 0)])), None)
                if place is not None and place.offset >= end:
                    break
                self._alive()
                await self._read(reader, log, wait=0.2)

    async def _read(self, reader: Consumer, log: kafka.LogAddress, wait: float = 0) -> None:
        messages = (
            await asyncio.to_thread(kafka.consume_batch, reader, 500, wait)
            if wait
            else kafka.consume_batch(reader, 500, 0)
        )
        for message in messages:
            if message.error() is not None:
                continue
            try:
                event = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
            except BadInput:
                continue
            if isinstance(event, Progress):
                self._progress(event, log)
            elif isinstance(event, Claim):
                self._standing.on_claim(event, message.offset() or 0)
            elif isinstance(event, Command):
                self._commands.take(event)

    def _progress(self, event: Progress, log: kafka.LogAddress) -> None:
        if event.recorder != self._plant.store.recorder:
            return
        position = event.position if event.log_id == log.log_id else -1
        ahead = self._forwarder.on_progress(event.partition, event.streams, kinds_of(event.topic), position)
        self._standing.on_progress(event, ahead)

    def _again(self, request: SendAgain, *, is_recorder: bool) -> dict[str, Any]:
        """The recorder knows what it misses; who else asks gets what is not on record. Raises `BadInput`."""
        if is_recorder:
            emit(SentAgain(str(request.stream), request.number))
            self._forwarder.on_send_again(request.stream, request.number)
            return {}
        stream, start, end, recorded = self._forwarder.on_asked_again(request.stream, request.number)
        emit(SentAgain(str(stream), start))
        self.wake()
        return {"stream": str(stream), "from": start, "next": end, "recorded": recorded}

    def _reply(self, producer: Producer) -> None:
        """What is said beside the streams."""
        if (claim := self._standing.claim()) is not None:
            self._say(producer, claim)
        for reply in self._commands.replies():
            self._say(producer, reply)

    def _say(self, producer: Producer, said: Claim | Reply) -> None:
        sealed = seal(said, self._source)
        with contextlib.suppress(
            BufferError
        ):  # full, as the log hangs: a claim is repeated, and who asked does not wait that long
            producer.produce(sealed.topic, value=sealed.value, key=sealed.key, headers=[*sealed.headers])


def _close(producer: Producer, reader: Consumer) -> None:
    """What is under way gets a second; what a hung log did not take is sent again in the next life. For a thread: both calls may block."""
    reader.close()
    producer.flush(1.0)
    producer.purge()
    producer.flush(0.2)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
