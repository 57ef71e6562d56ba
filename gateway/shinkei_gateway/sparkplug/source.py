"""The edge nodes and devices behind one MQTT broker, for ever: hears them, asks for births, says as a primary host that it is there.

The shell around `host` and `translate`. Nodes publish at QoS 0 to a clean session (the specification's rule), so that nothing waits at
the broker: what is proven, is proven by sequence numbers and source times alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.telemetry import emit
from shinkei_gateway.backoff import Backoff
from shinkei_gateway.intake import Batch, Draft, Reading
from shinkei_gateway.mqtt.broker_settings import dial
from shinkei_gateway.mqtt.connection import Connection, Message, whole
from shinkei_gateway.mqtt.dial import connection as make
from shinkei_gateway.outage import Outage
from shinkei_gateway.quarantine import refused
from shinkei_gateway.replay import is_value, value_again
from shinkei_gateway.sparkplug import state_message
from shinkei_gateway.sparkplug.facts import AskRebirth, Deviates, Fact, Refused
from shinkei_gateway.sparkplug.host import REBIRTH, Host
from shinkei_gateway.sparkplug.sayings import Taken
from shinkei_gateway.sparkplug.schema import Payload
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.topic import Address, command, filters, parse, state
from shinkei_gateway.sparkplug.translate import Translator
from shinkei_gateway.sparkplug.unpack import unpacked
from shinkei_gateway.sparkplug.values import NUMBER
from shinkei_gateway.taking import Taker, wait_room
from shinkei_gateway.telemetry import MachinesTooMany, NodeDeviates, RebirthAsked, SourceConnected, SourceCrashed

BATCH = 500
TICK_S = 0.25
MOST_TOPICS = 100_000
LAST_WORDS_S, QUIET_S = 0.6, 0.1
"""How long a host that ends still listens, and after which silence it goes at once."""


class SparkplugHost:
    """``folder``: what secrets' files are relative to. ``clock``: ns UTC."""

    def __init__(self, name: str, settings: SparkplugSource, taker: Taker, folder: Path, *, clock: Callable[[], int] = time.time_ns,
                 monotonic: Callable[[], int] = time.monotonic_ns, uniform: Callable[[float, float], float] = random.uniform) -> None:  # fmt: skip
        self.name, self._settings, self._taker, self._folder = name, settings, taker, folder
        self._clock, self._monotonic = clock, monotonic
        resume = taker.resume(name)
        self._translator = Translator(name, settings, resume, lambda machine: taker.skew(name, machine), clock())
        self._host = Host(
            int(settings.reorder * 1e9), int(settings.rebirth * 1e9), self._translator.nodes, self._translator.room
        )
        self._is_full_told, self._untaken = False, 0
        self._cause: str | None = "gateway_down" if resume is not None else None
        self._outage = Outage(
            name, settings.url, settings.lost_after, Backoff(settings.retry, uniform), self._tell_away
        )
        self._stopped = taker.stopped(settings.lost_after)
        self._addresses: dict[str, Address] = {}
        self._stamp = 0
        self._is_leaving = False
        self._connections = self._values = 0

    history = False
    """Its own voice is live (see `Replayable`)."""

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        """See `Replayable`: a value given as JSON, or a metric's bytes."""
        if is_value(record):
            return [value_again(record, record.where, raw)]
        return self._translator.replay(record, raw)

    def machines(self) -> list[str]:
        """Machines heard of so far."""
        return sorted(self._translator.machines)

    def health(self) -> dict[str, Any]:
        """For /health; plain values."""
        newest = max((machine.newest for machine in list(self._translator.machines.values())), default=None)
        nodes = {
            str(name): {
                "alive": node.is_alive, "born": node.is_born, "dropped": node.dropped, "duplicates": node.reorder.duplicates,
                "rebirth_requests": node.requests, "deviations": list(node.deviations),
            }
            for name, node in list(self._host.nodes.items())
        }  # fmt: skip
        return {
            "type": "sparkplug", "url": self._settings.url, "role": self._settings.role, "machines": self.machines(), "nodes": nodes,
            "connected": not self._outage.is_away, "error": self._outage.error, "values": self._values, "newest": newest,
            "connections": self._connections, "skew_s": self._translator.skews, "refused": self._refused, "limits": self._limits(),
        }  # fmt: skip

    @property
    def _refused(self) -> int:
        """Messages of nodes and devices for which there was no room."""
        return self._host.refused + self._untaken

    def _limits(self) -> list[str]:
        """What plant.toml lets nobody in for."""
        if not (count := self._refused):
            return []
        most = self._settings.max_machines
        return [f"max_machines = {most} is reached: {count} messages of further nodes and devices were not taken"]

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Errors of the connection never leave it."""
        while not stop.is_set():
            connection = self._dial()
            try:
                await self._connect(connection)
                reason = await self._live(connection, stop)
                await self._goodbye(connection)
            except NotConnected as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001  outermost: one source's surprise must not end the others
                reason = f"{type(error).__name__}: {error}"
                emit(SourceCrashed(self.name, reason))
            finally:
                await connection.close()
            if stop.is_set():
                return
            self._outage.lost(reason)
            await self._outage.pause(stop)

    # ---- one connection ------------------------------------------------------------------------------------------------
    def _dial(self) -> Connection:
        """A clean session (tck-id-message-flow-phid-sparkplug-clean-session-*), with the host's death as its will."""
        self._stamp, self._is_leaving = self._clock() // 1_000_000, False
        host_id = self._settings.host_id
        will = None if host_id is None else state_message.will(host_id, self._stamp)
        return make(dial(self._settings, self._folder, keep_session=False, will=will), self._clock)

    async def _connect(self, connection: Connection) -> None:
        began = time.monotonic()
        await connection.connect()
        await connection.subscribe(filters(self._settings.group_ids, self._settings.nodes), 0)
        if self._settings.host_id is not None:
            # Last: the STATE we once left is retained at QoS 1, and amqtt 0.12 answers nothing more until it is acknowledged.
            await connection.subscribe([state(self._settings.host_id)], state_message.QOS)
        await self._say_online(connection)
        if self._stopped is not None:
            self._tell_away(self._stopped)
            self._stopped = None
        facts = self._host.connected(self._cause, self._clock(), self._monotonic())
        self._cause = "mqtt_session_lost"
        await self._carry_out(connection, facts)
        self._outage.over()
        self._connections += 1
        emit(SourceConnected(self.name, self._settings.url, time.monotonic() - began, f"as {self._settings.role} host"))

    async def _live(self, connection: Connection, stop: asyncio.Event) -> str:
        """Until the connection is lost (why) or ``stop``."""
        while not stop.is_set():
            if not self._taker.has_room():
                await wait_room(self._taker)
                drafts = self._translator.blocked(
                    "mqtt_possible",
                    self._clock(),
                    "nothing was taken for a while; the broker may have dropped messages",
                )
                await self._own(drafts)
            messages = await connection.take(BATCH, TICK_S)
            await self._take(connection, messages)
            if not messages and connection.lost.done():
                return connection.lost.result()
            for name, machine in self._translator.machines.items():
                if not machine.is_stale:  # of the dead nobody says that they told everything
                    self._taker.alive(name, machine.newest)
        return "ended"

    async def _take(self, connection: Connection, messages: list[Message]) -> None:
        taken = Taken()
        for message in messages:
            facts = await self._facts(connection, message, taken)
            self._translator.take(facts, taken)
            await self._carry_out(connection, facts)
        facts = self._host.tick(self._monotonic())
        self._translator.take(facts, taken)
        await self._carry_out(connection, facts)
        self._untaken += taken.untaken
        for path in taken.full:
            self._tell_full(path)
        for node, why in taken.strangers:
            await self._carry_out(connection, self._host.want_rebirth(node, why, self._monotonic()))
        await self._put(taken)
        connection.acknowledge(messages)

    async def _facts(self, connection: Connection, message: Message, taken: Taken) -> list[Fact]:
        if self._settings.host_id is not None and message.topic == state(self._settings.host_id):
            if state_message.is_offline(message.payload) and not self._is_leaving:
                await self._say_online(connection)  # tck-id-message-flow-hid-sparkplug-state-message-delivered
            return []
        try:
            whole(message)
            address = self._address(message.topic)
            payload = unpacked(message.payload)
        except BadInput as error:
            taken.items.append(
                refused(
                    self.name,
                    self.name,
                    message.topic,
                    message.payload,
                    error,
                    message.received,
                    "application/x-protobuf",
                )
            )
            return []
        return self._host.take(address, payload, message.received, zlib.crc32(message.payload), self._monotonic())

    def _address(self, topic: str) -> Address:
        found = self._addresses.get(topic)
        if found is None:
            if len(self._addresses) >= MOST_TOPICS:
                self._addresses.clear()
            found = self._addresses[topic] = parse(topic)
        return found

    async def _put(self, taken: Taken) -> None:
        """Gaps first, then what is historical, then the rest with the resume state that covers all."""
        if taken.gaps:
            await self._own(taken.gaps)
        if taken.history:
            await self._taker.put(Batch(self.name, taken.history, None, history=True))
        if taken.items or taken.gaps or taken.history or taken.repeats:
            batch = Batch(self.name, taken.items, self._translator.resume())
            await self._taker.put(batch, own=taken.own, duplicate=taken.repeats)
        self._values += len(taken.items) + len(taken.history) - taken.own

    async def _own(self, drafts: list[Draft]) -> None:
        if drafts:
            items: list[Reading | Draft] = [*drafts]
            await self._taker.put(Batch(self.name, items, None), own=len(items))

    # ---- what the host says ----------------------------------------------------------------------------------------------
    async def _carry_out(self, connection: Connection, facts: list[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, AskRebirth):
                emit(RebirthAsked(self.name, str(fact.node), fact.why))
                await connection.publish(command(fact.node), rebirth_request(self._clock() // 1_000_000), 0)
            elif isinstance(fact, Deviates):
                emit(NodeDeviates(self.name, str(fact.node), fact.what))
            elif isinstance(fact, Refused):
                self._tell_full(str(fact.node) if fact.device is None else f"{fact.node}/{fact.device}")

    def _tell_full(self, path: str) -> None:
        if not self._is_full_told:
            self._is_full_told = True
            emit(MachinesTooMany(self.name, path, self._settings.max_machines))

    async def _say_online(self, connection: Connection) -> None:
        host_id = self._settings.host_id
        if host_id is not None:
            await connection.publish(
                state(host_id), state_message.payload(True, self._stamp), state_message.QOS, retain=True
            )

    async def _goodbye(self, connection: Connection) -> None:
        """An intended end is said before the DISCONNECT (tck-id-operational-behavior-host-application-termination)."""
        host_id = self._settings.host_id
        if host_id is not None and not connection.lost.done():
            self._is_leaving = True
            offline = state_message.payload(False, self._clock() // 1_000_000)
            with contextlib.suppress(NotConnected):
                await connection.publish(state(host_id), offline, state_message.QOS, retain=True)
                await self._last_words(connection)

    async def _last_words(self, connection: Connection) -> None:
        """What nodes said before they heard that we go; their deaths are our own doing and say nothing of the machines."""
        until = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < until:
            messages = await connection.take(BATCH, QUIET_S)
            if not messages:
                return
            await self._take(connection, [one for one in messages if "/NDEATH/" not in one.topic])

    # ---- away ------------------------------------------------------------------------------------------------------------
    def _tell_away(self, since: int = 0) -> None:
        if drafts := self._translator.away(self._clock(), since):
            items: list[Reading | Draft] = [*drafts]
            self._taker.put(Batch(self.name, items, None), own=len(items))


def rebirth_request(timestamp: int) -> bytes:
    """The payload of an NCMD that asks for all births (tck-id-operational-behavior-data-commands-ncmd-rebirth-*). ``timestamp``: ms UTC."""
    asked = Payload(timestamp=timestamp)
    asked.metrics.add(name=REBIRTH, timestamp=timestamp, datatype=NUMBER["Boolean"], boolean_value=True)
    return bytes(asked.SerializeToString())
