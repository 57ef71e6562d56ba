"""A machine as a device that publishes JSON over MQTT, QoS 1: ``plant/<machine>/{signal/<name>,state,operation,setup,energy}``.

The first message is the state at which the live line begins. It is sent again until the broker knows a subscriber for it (MQTT 5 reason
code 0x10 tells; a broker without MQTT 5 is believed at once). The client's own thread sends; nothing here waits for the network.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from shinkei_plant.ledger import body
from shinkei_plant.records import Document, OperationDone, Record, SignalSample

NO_SUBSCRIBER = 0x10
"""MQTT 5, 3.4.2.1: the message is accepted but there are no subscribers."""
_IN_FLIGHT = 500
_encode = msgspec.json.Encoder().encode


class MqttDevice:
    """One machine's device; ``url`` like ``mqtt://127.0.0.1:1883``."""

    def __init__(self, machine: str, url: str, *, version5: bool = True) -> None:
        parts = urlsplit(url)
        self.machine, self._host, self._port = machine, parts.hostname or "127.0.0.1", parts.port or 1883
        protocol = mqtt.MQTTv5 if version5 else mqtt.MQTTv311
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"shinkei-plant-{machine}", protocol=protocol)
        self._client.max_inflight_messages_set(_IN_FLIGHT)
        self._client.max_queued_messages_set(0)
        self._client.on_publish = self._acknowledged
        self._version5 = version5
        self._kept: list[Record] = []
        self._asked: int | None = None
        self._answers: dict[int, int] = {}
        self._heard = self._live = False
        self._started = False

    async def start(self) -> None:
        """Begin to connect; the client tries again by itself for ever."""
        properties = None
        if self._version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600
        self._client.connect_async(self._host, self._port, keepalive=30, properties=properties)
        self._client.loop_start()
        self._started = True

    async def heard(self) -> bool:
        """Whether somebody subscribed: asked by sending the first state; True once it was taken."""
        if self._heard or not self._kept:
            return self._heard
        if self._asked is not None and self._asked in self._answers:
            if self._answers[self._asked] != NO_SUBSCRIBER:
                self._heard = True
                del self._kept[0]
            self._asked = None
        elif self._asked is None and self._client.is_connected():
            self._answers.clear()
            self._asked = self._send(self._kept[0]).mid
        return self._heard

    async def write(self, record: Record) -> None:
        """Publish ``record``; how the machine stands when the line begins to live waits for somebody to hear it."""
        if self._live:
            self._send(record)
        else:
            self._kept.append(record)

    def go(self) -> None:
        """Wait no longer: what was kept is sent, and from now on everything at once."""
        self._live = self._heard = True
        for record in self._kept:
            self._send(record)
        self._kept.clear()

    async def close(self) -> None:
        """Disconnect; what the broker has not acknowledged by now is lost with the device."""
        if self._started:
            self._client.disconnect()
            self._client.loop_stop()

    def _send(self, record: Record) -> mqtt.MQTTMessageInfo:
        topic = f"plant/{self.machine}"
        match record:
            case SignalSample():
                message: dict[str, Any] = {"ts": record.time, "v": record.value}
                if record.status:
                    message["s"] = record.status
                return self._client.publish(f"{topic}/signal/{record.signal}", _encode(message), qos=1)
            case OperationDone():
                return self._client.publish(f"{topic}/operation", _encode(record), qos=1)
            case Document():
                raise TypeError("a device publishes no documents")
            case _:
                kind = type(record).__name__.removesuffix("Change").removesuffix("Counter").lower()
                return self._client.publish(f"{topic}/{kind}", _encode(body(record)), qos=1)

    def _acknowledged(self, client: mqtt.Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        """In the client's thread. No lock of ours: `publish` holds the client's own while it may call this."""
        if not self._heard:
            self._answers[mid] = getattr(reason, "value", 0)
