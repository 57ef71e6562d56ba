"""A live edge node for tests: one device with counters 1, 2, 3 … over paho, with will, births on request, and faults on demand."""

from __future__ import annotations

import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_gateway.sparkplug.schema import Payload
from tests.support.sparkplug_node import Node, metric


class Edge:
    """``written``: (ms, number) of everything measured. `lose` makes messages vanish, `kill` is kill -9, `start` a new session."""

    def __init__(self, port: int, name: str = "edge", device: str = "D1") -> None:
        self.port, self.device = port, device
        self.node = Node("plant", name)
        self.count = self.requests = 0
        self.written: list[tuple[int, int]] = []
        self._lock = threading.RLock()
        self._client: paho.Client | None = None
        self._at = 0
        self._marker = -1
        self.born = threading.Event()
        self.is_on_request = True

    def start(self) -> None:
        """A new session: bdSeq counts up, everything is born."""
        self.born.clear()
        client = self._client = paho.Client(CallbackAPIVersion.VERSION2, f"edge-{self.node.name}")
        topic, will = self.node.death()
        client.will_set(topic, will, 1)
        client.on_connect, client.on_message = self._on_connect, self._on_message
        client.on_publish = lambda _client, _data, mid, _reason, _properties: (
            self.born.set() if mid == self._marker else None
        )
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        assert self.born.wait(120), "the edge node did not come up"

    def measure(self, numbers: int = 1, *, lose: bool = False, historical: bool = False) -> None:
        """The counter goes on; each value is a message of its own."""
        for _ in range(numbers):
            with self._lock:
                self._count()
                said = metric(self.count, "Int64", alias=1, timestamp=self._at)
                if historical:
                    said["is_historical"] = True
                message = self.node.data(said, device=self.device)
                if not lose:
                    self._send(*message)

    def shuffle(self, order: list[int]) -> None:
        """As many values, sent in another order than measured."""
        with self._lock:
            said = []
            for _ in order:
                self._count()
                said.append(
                    self.node.data(metric(self.count, "Int64", alias=1, timestamp=self._at), device=self.device)
                )
            for at in order:
                self._send(*said[at])

    def repeat(self) -> None:
        """One value in two equal messages."""
        with self._lock:
            self._count()
            message = self.node.data(metric(self.count, "Int64", alias=1, timestamp=self._at), device=self.device)
            self._send(*message)
            self._send(*message)

    def settle(self) -> None:
        """Everything said so far has come to the broker and gone on from there."""
        assert self._client is not None
        marker = self._client.publish("tests/marker", b"", 1)  # see `_on_connect`
        marker.wait_for_publish(120)
        assert marker.is_published(), "the broker did not answer the edge node"

    def unheard(self, numbers: int) -> None:
        """Measured while the node has no session: never said."""
        for _ in range(numbers):
            self._count()

    def kill(self) -> None:
        """The connection is cut without a goodbye: the broker says the will."""
        client, self._client = self._client, None
        if client is not None:
            client.loop_stop()
            sock = client.socket()
            if sock is not None:
                sock.close()
        self.node.bdseq = (self.node.bdseq or 0) + 1

    def stop(self) -> None:
        """An intended end: NDEATH is published, then DISCONNECT."""
        client, self._client = self._client, None
        if client is not None:
            topic, payload = self.node.death()
            client.publish(topic, payload, 0)
            client.disconnect()
            client.loop_stop()

    # ---- inside ----------------------------------------------------------------------------------------------------------
    def _count(self) -> None:
        self.count += 1
        self._at = max(self._at + 1, time.time_ns() // 1_000_000)
        self.written.append((self._at, self.count))

    def _births(self) -> None:
        with self._lock:
            self.node.ms = time.time_ns() // 1_000_000
            self._send(*self.node.birth(metric(1.0, name="Node/Uptime", alias=9, timestamp=1_700_000_000_000)))
            value = metric(self.count, "Int64", name="n", alias=1, timestamp=self._at or self.node.ms)
            state = metric("EXECUTE", "String", name="State", alias=2, timestamp=1_700_000_000_000)
            if not self.count:
                value = metric(None, "Int64", name="n", alias=1, is_null=True)
            self._send(*self.node.device_birth(self.device, value, state))

    def _send(self, topic: str, payload: bytes) -> None:
        if self._client is not None:
            self._client.publish(topic, payload, 0)

    def _on_connect(self, client: Any, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        client.subscribe([(f"spBv1.0/{self.node.group}/NCMD/{self.node.name}", 1)])
        self._births()
        self._marker = client.publish(
            "tests/marker", b"", 1
        ).mid  # acknowledged after the broker has passed on the births before it

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        asked = Payload.FromString(message.payload)
        if self.is_on_request and any(
            one.name == "Node Control/Rebirth" and one.boolean_value for one in asked.metrics
        ):
            self.requests += 1
            self._births()
