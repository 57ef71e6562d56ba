"""The devices behind one MQTT broker, for ever: takes messages, acknowledges what is durable, tells what was or may be lost.

The supervisor of `client` and the shell around `payload` and `memory`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.model.numbered import ClockSkew
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.clock_watch import ClockWatch
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.mqtt.broker_settings import dial
from shinkei_gateway.mqtt.broker_watch import BrokerWatch, ended
from shinkei_gateway.mqtt.connection import Connection, Message, whole
from shinkei_gateway.mqtt.dial import connection as connection_of
from shinkei_gateway.mqtt.limits import broken, forgot, shortfalls
from shinkei_gateway.mqtt.memory import Memory
from shinkei_gateway.mqtt.payload import Mapping, TooMany
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.outage import Outage
from shinkei_gateway.quarantine import refused
from shinkei_gateway.replay import is_value, value_again
from shinkei_gateway.source_time import LATEST_NS, is_of_now
from shinkei_gateway.taking import Taker, wait_room
from shinkei_gateway.telemetry import MachinesTooMany, RetainedRemoved, SourceConnected, SourceCrashed

BATCH = 500
TICK_S = 0.5
MOST_WRITING = 4
"""Batches on their way to the disk at once: while one is synced the next are decoded."""
BLOCK_S = 1.0
"""Not being read for longer counts as a block: the broker's queue may have overflowed."""
SETTLE_S = 2.0
"""After a return the broker's queue is read this long before old states are told again."""


class MqttDevices:
    """``folder``: what secrets' files are relative to. ``clock``: ns UTC."""

    history = False

    def __init__(self, name: str, settings: MqttSource, taker: Taker, folder: Path, *, clock: Callable[[], int] = time.time_ns,
                 uniform: Callable[[float, float], float] = random.uniform) -> None:  # fmt: skip
        self.name, self._settings, self._taker, self._clock = name, settings, taker, clock
        self._dial = dial(settings, folder)
        self._memory = Memory(settings.window, taker.resume(name), clock())
        self._mapping = Mapping(
            name, settings.topics, settings.machines, most=settings.max_machines, heard=self._memory.machines
        )
        self._is_full_told = False
        self._outage = Outage(
            name, settings.url, settings.lost_after, Backoff(settings.retry, uniform), self._tell_away
        )
        self._clocks: dict[str, ClockWatch] = {}
        self._stopped = taker.stopped(settings.lost_after)
        self._settles_at: float | None = None
        self._connections = self._values = self._unsure = 0
        self._writing: deque[asyncio.Future[None]] = deque()
        self._shortfalls: list[str] = []
        self._watch = BrokerWatch(name, settings.url, self._dial, clock, self._broker_dropped, self._memory.broker)
        self._watching: asyncio.Task[None] | None = None
        self._forgotten_after: float | None = None
        self._dropped: tuple[int, int | None] | None = None

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """See `Replayable`: a message on its topic, or a value of one."""
        if is_value(record):
            return [value_again(record, record.where, raw)]
        return self._mapping.take(record.where, raw, record.received)

    def machines(self) -> list[str]:
        """Machines heard of so far."""
        return sorted(self._memory.machines)

    def health(self) -> dict[str, Any]:
        """For /health; plain values."""
        newest = max(list(self._memory.machines.values()), default=None)
        return {
            "type": "mqtt", "url": self._settings.url, "machines": self.machines(), "connected": not self._outage.is_away,
            "error": self._outage.error, "values": self._values, "maybe_again": self._unsure, "limits": self._limits(), "newest": newest, "connections": self._connections,
            "skew_s": {machine: watch.skew / 1e9 for machine, watch in list(self._clocks.items())},
        }  # fmt: skip

    def _limits(self) -> list[str]:
        """Where the broker cannot keep, or has not kept, what plant.toml promises, and whom plant.toml lets not in."""
        watch = self._watch
        full = [
            f"max_machines = {self._settings.max_machines} is reached: messages of further machines are in quarantine"
        ]
        return [
            *self._shortfalls,
            *broken(self._settings, watch.state),
            *forgot(watch.at_start, self._forgotten_after),
            *(full if self._is_full_told else []),
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Errors of the connection never leave it."""
        try:
            await self._run(stop)
        finally:
            await ended(self._watching)

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            connection = connection_of(self._dial, self._clock)
            try:
                await self._connect(connection)
                reason = await self._live(connection, stop)
            except NotConnected as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001  outermost: one source's surprise must not end the others
                reason = f"{type(error).__name__}: {error}"
                emit(SourceCrashed(self.name, reason))
            finally:
                await connection.close()
            if stop.is_set():
                return
            self._settles_at = None
            self._outage.lost(reason)
            await self._outage.pause(stop)

    # ---- one connection ------------------------------------------------------------------------------------------------
    async def _connect(self, connection: Connection) -> None:
        began, memory = time.monotonic(), self._memory
        is_present = await connection.connect()
        self._shortfalls = shortfalls(self._settings, connection.limits)
        # A broker that runs for a shorter time than we were away was started again meanwhile.
        self._forgotten_after = self._outage.seconds if self._connections and not is_present else None
        await self._tell_gaps(is_present)
        if self._stopped is not None:
            self._tell_away(self._stopped)
            self._stopped = None
        memory.had_session = True
        memory.begins(is_present=is_present)
        filters, qos = self._mapping.filters, self._settings.qos
        if is_present:
            await connection.unsubscribe([name for name in memory.filters if name not in filters])
        if not is_present or (memory.filters, memory.qos) != (filters, qos):
            await connection.subscribe(filters, qos, self._settings.retained)
            memory.filters, memory.qos = filters, qos
        await self._taker.put(Batch(self.name, [], memory.state()))
        self._settles_at = time.monotonic() + SETTLE_S
        self._outage.over()
        self._connections += 1
        await ended(self._watching)
        self._watching = asyncio.create_task(self._watch.run(), name=f"{self.name} broker")
        detail = "its session was there" if is_present else "with a new session"
        emit(SourceConnected(self.name, self._settings.url, time.monotonic() - began, detail))

    async def _tell_gaps(self, is_present: bool) -> None:
        if not self._memory.had_session:
            return
        if not is_present:
            await self._gaps(
                "mqtt_session_lost", "the broker had lost our session and what was queued in it", possible=False
            )
        elif self._settings.queue == "bounded" or self._settings.qos == 0:
            await self._gaps("mqtt_possible", "disconnected; the broker's queue may have overflowed", possible=True)

    async def _live(self, connection: Connection, stop: asyncio.Event) -> str:
        """Until the connection is lost (why) or ``stop``. What is being written then is still acknowledged."""
        self._writing.clear()
        try:
            return await self._read(connection, stop)
        finally:
            if self._writing:
                await asyncio.wait(self._writing, timeout=BLOCK_S)

    async def _read(self, connection: Connection, stop: asyncio.Event) -> str:
        while not stop.is_set():
            if not self._taker.has_room():
                await wait_room(self._taker)
                await self._blocked()
            messages = await connection.take(BATCH, TICK_S)
            released = connection.settled().released
            self._memory.released(released)
            if messages:
                await self._take(connection, messages, released)
            elif released:
                nothing = self._taker.put(Batch(self.name, [], self._memory.state()))
                await self._written(nothing, connection, [], released)
            elif connection.lost.done():
                return connection.lost.result()
            self._keep_alive()
            await self._tell_dropped()
            if self._settles_at is not None and time.monotonic() >= self._settles_at:
                self._settles_at = None
                await self._own(self._memory.back(self._clock()))
        return "ended"

    async def _take(self, connection: Connection, messages: list[Message], released: Sequence[int]) -> None:
        """Hand over; acknowledged when durable, in order, while the next batches are taken already."""
        memory = self._memory
        items: list[Reading | Draft] = []
        unsure: list[Reading | Draft] = []
        copies = unsure_copies = repeats = 0
        newest: dict[str, tuple[int, int]] = {}
        far: dict[str, tuple[int, int]] = {}
        for message in messages:
            if message.is_retained and self._settings.retained == "leave":
                continue  # MQTT 3.1.1 cannot be asked to leave them out
            if not message.payload and message.bad is None and self._mapping.is_removal(message.topic, message.payload):
                emit(RetainedRemoved(self.name, message.topic))
                continue
            verdict = memory.judge(message, is_doubled=self._mapping.is_doubled(message.topic))
            found = self._items(message)
            if verdict == "new" and (message.is_again or memory.doubts) and memory.may_know(message, found):
                verdict = "unsure"
            if verdict == "same" and (message.qos == 2 or _is_timed(found)):
                repeats += _from_outside(found)
                continue
            memory.took(found)
            if verdict != "new":
                unsure += found
                unsure_copies += len(found) - _from_outside(found)
                continue
            items += found
            copies += len(found) - _from_outside(found)
            first = found[0]
            if not message.is_again and (isinstance(first, Reading) or first.type is not Quarantined):
                told = far if first.time > message.received + LATEST_NS else newest
                at = told.get(first.machine)
                if at is None or first.time - message.received > at[0] - at[1]:
                    told[first.machine] = first.time, message.received
        skews = [
            draft for machine, (at, received) in (far | newest).items() for draft in self._skew(machine, at, received)
        ]
        self._values += len(items) + len(unsure)
        self._unsure += len(unsure)
        items += skews
        if unsure:
            self._taker.put(Batch(self.name, unsure, maybe_again=True), own=unsure_copies)
        written = self._taker.put(Batch(self.name, items, memory.state()), own=copies + len(skews), duplicate=repeats)
        await self._written(written, connection, messages, released)

    async def _written(
        self, written: asyncio.Future[None], connection: Connection, messages: list[Message], released: Sequence[int]
    ) -> None:
        written.add_done_callback(lambda future: _acknowledge(future, connection, messages, released))
        self._writing.append(written)
        await self._bound()

    async def _bound(self) -> None:
        """At most so many batches wait for the disk."""
        began = time.monotonic()
        while self._writing and (self._writing[0].done() or len(self._writing) > MOST_WRITING):
            await self._writing.popleft()
        if time.monotonic() - began > BLOCK_S:
            await self._blocked()

    def _items(self, message: Message) -> list[Reading | Draft]:
        try:
            whole(message)
            return self._mapping.take(message.topic, message.payload, message.received)
        except BadInput as error:
            if isinstance(error, TooMany) and not self._is_full_told:
                self._is_full_told = True
                emit(MachinesTooMany(self.name, message.topic, self._settings.max_machines))
            machine = self._mapping.machine(message.topic) or self.name
            return [
                refused(
                    self.name,
                    machine,
                    message.topic,
                    message.payload,
                    error,
                    message.received,
                    self._mapping.content_type(message.topic),
                )
            ]

    def _skew(self, machine: str, newest: int, received: int) -> list[Draft]:
        watch = self._clocks.get(machine)
        if watch is None:
            told = self._taker.skew(self.name, machine)
            watch = self._clocks[machine] = ClockWatch(int(self._settings.clock_limit * 1e9), told=told)
        found = watch.sample(newest, received)
        if found is None:
            return []
        if found.step is not None or not is_of_now(newest, received):
            self._memory.clock_set(machine, newest, received)
        fields = {
            "source": self.name,
            "skew": found.skew,
            "limit": int(self._settings.clock_limit * 1e9),
            "within": found.within,
            "step": found.step,
        }
        return [Draft(machine, received, received, ClockSkew, fields)]

    def _keep_alive(self) -> None:
        for machine, last in self._memory.machines.items():
            self._taker.alive(machine, last)
        self._memory.broker = self._watch.state_known

    def _broker_dropped(self, count: int, since: int | None) -> None:
        self._dropped = (count, since)

    async def _tell_dropped(self) -> None:
        """A promised queue that dropped something did not keep the promise; of a bounded one every absence is told anyway."""
        if self._dropped is None:
            return
        (count, since), self._dropped = self._dropped, None
        if self._settings.queue == "unlimited":
            detail = f"the broker dropped {count} messages, of whichever client, because a queue was full"
            await self._gaps("mqtt_possible", detail, possible=True, since=since)

    async def _blocked(self) -> None:
        if self._settings.queue == "bounded" or self._settings.qos == 0:
            await self._gaps(
                "mqtt_possible", "nothing was taken for a while; the broker's queue may have overflowed", possible=True
            )

    async def _gaps(self, cause: str, detail: str, *, possible: bool, since: int | None = None) -> None:
        await self._own(self._memory.gaps(cause, self._clock(), detail, possible=possible, since=since))

    async def _own(self, drafts: list[Draft]) -> None:
        if drafts:
            items: list[Reading | Draft] = [*drafts]
            await self._taker.put(Batch(self.name, items, self._memory.state()), own=len(items))

    # ---- away ------------------------------------------------------------------------------------------------------------
    def _tell_away(self, since: int = 0) -> None:
        if drafts := self._memory.away(self._clock(), since):
            items: list[Reading | Draft] = [*drafts]
            self._taker.put(Batch(self.name, items, self._memory.state()), own=len(items))


def _acknowledge(
    written: asyncio.Future[None], connection: Connection, messages: list[Message], released: Sequence[int]
) -> None:
    if not written.cancelled() and written.exception() is None:
        connection.acknowledge(messages)
        connection.complete(released)


def _is_timed(items: list[Reading | Draft]) -> bool:
    """Whether the message says when: the same bytes are then the same moment."""
    return all(item.time != item.received for item in items)


def _from_outside(items: list[Reading | Draft]) -> int:
    """Items that the message itself is, not the quarantine's copies of single values."""
    if len(items) == 1:
        return 1
    return sum(isinstance(item, Reading) or item.type is not Quarantined for item in items)
