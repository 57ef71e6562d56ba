"""A machine as a Sparkplug B device behind an edge node of its own: births, aliases, sequence, bdSeq, rebirth, store and forward.

Obeys one primary host: it is born when that host says that it is online; what happens while it is not is kept and said afterwards as
history, except the newest value of each metric, which the birth holds. All of MQTT happens in one thread; nothing else waits for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from shinkei_events.runfile import write_atomic
from shinkei_plant.catalog import MS, SIGNALS
from shinkei_plant.ledger import body
from shinkei_plant.records import EnergyCounter, OperationDone, Record, SetupChange, SignalSample, StateChange
from shinkei_plant.sparkplug_names import ENERGY, GROUP, HOST_ID, OPERATION, REBIRTH, SETUP, STATES, node_of
from shinkei_plant.sparkplug_wire import BOOLEAN, DOUBLE, INT64, STRING, Metric, asks, payload

_BREATH_S = 0.02
_RETRY_S = 0.3
_encode = msgspec.json.Encoder().encode


class Sessions:
    """bdSeq of an edge node's sessions, counted up from CONNECT to CONNECT (Sparkplug 3.0, tck-id-topics-nbirth-bdseq-increment).

    ``last`` is kept in ``file`` before it is used, so that the count also goes on after a kill -9. ``is_used``: there was a CONNECT with it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.last, self.is_used = 255, True
        with contextlib.suppress(OSError, ValueError):
            self.last = int(file.read_text()) % 256

    def next(self) -> int:
        """The bdSeq of the next session's will and birth; the same again until `is_used`. Raises OSError when it cannot be kept."""
        if self.is_used:
            self.last, self.is_used = (self.last + 1) % 256, False
            write_atomic(self._file, f"{self.last}\n".encode())
        return self.last


class SparkplugDevice:
    """One machine's device; ``url`` like ``mqtt://127.0.0.1:1883``; ``folder``: where it keeps the bdSeq of its last session."""

    def __init__(self, machine: str, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self.machine, self._host, self._port = machine, parts.hostname or "127.0.0.1", parts.port or 1883
        self._properties = {
            f"Process/{one.name}": (("engUnit", one.unit), ("engLow", float(one.low)), ("engHigh", float(one.high)))
            for one in SIGNALS if one.machine == machine
        }  # fmt: skip
        names = [*STATES, ENERGY, OPERATION, SETUP, *self._properties]
        self._alias = {name: at for at, name in enumerate(names, 1)}
        self._newest = {name: Metric(name, alias, 0, DOUBLE if name in (ENERGY, *self._properties) else STRING, None)
                        for name, alias in self._alias.items()}  # fmt: skip
        self._lock = threading.Lock()
        self._waiting: deque[tuple[list[Metric], bool]] = deque()
        self._stop = threading.Event()
        self._online = threading.Event()
        self._live = self._born = self._asked = False
        self._online_since = self._seq = 0
        self._sessions = Sessions(folder / f"{node_of(machine)}.bdseq")
        self._bdseq = self._sessions.last
        self._thread = threading.Thread(target=self._run, name=f"sparkplug-{machine}", daemon=True)

    # ---- the sink ------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Begin to connect; it is tried again for ever."""
        self._thread.start()

    async def heard(self) -> bool:
        """Whether the primary host is online."""
        return self._online.is_set()

    async def write(self, record: Record) -> None:
        """Say ``record``, or keep it until there is a host."""
        metrics = self._metrics(record)
        with self._lock:
            self._waiting.append((metrics, self._live and self._online.is_set()))

    def go(self) -> None:
        """From now on the machine lives: it is born as soon as there is a host."""
        with self._lock:
            self._live = True

    async def close(self) -> None:
        """Say goodbye and disconnect; what was not said is lost with the device."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)

    # ---- in the thread -------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                self._session()
            self._online.clear()
            with self._lock:  # what was to be said live is history now
                self._waiting = deque((metrics, False) for metrics, _ in self._waiting)
            self._born = False
            self._stop.wait(_RETRY_S)

    def _session(self) -> None:
        """One MQTT session with its own will; ends when it is lost, or when the host says that it is offline."""
        self._bdseq = self._sessions.next()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"shinkei-plant-{node_of(self.machine)}")
        client.will_set(self._topic("NDEATH"), self._death(), 1)
        client.on_connect, client.on_message = self._connected, self._heard
        left = False
        client.connect(self._host, self._port, keepalive=15)
        self._sessions.is_used = True
        while not self._stop.is_set() and client.loop(_BREATH_S) == mqtt.MQTT_ERR_SUCCESS:
            if self._born and not self._online.is_set():
                left = True  # tck-id-operational-behavior-edge-node-termination-host-offline
                break
            self._speak(client)
        if (left or self._stop.is_set()) and client.is_connected():
            client.publish(self._topic("NDEATH"), self._death(), 0)
            client.disconnect()
            client.loop(_BREATH_S)

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        client.subscribe([(f"spBv1.0/STATE/{HOST_ID}", 1), (self._topic("NCMD"), 1)])

    def _heard(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith("spBv1.0/STATE/"):
            with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
                state = msgspec.json.decode(message.payload)
                if state["timestamp"] >= self._online_since:
                    if state["online"]:
                        self._online_since = state["timestamp"]
                    (self._online.set if state["online"] else self._online.clear)()
        elif asks(bytes(message.payload), REBIRTH):
            self._asked = True

    def _speak(self, client: mqtt.Client) -> None:
        with self._lock:
            if not self._live or not self._online.is_set():
                return
            stored: list[Metric] = []
            if not self._born:
                while self._waiting and not self._waiting[0][1]:
                    stored += self._waiting.popleft()[0]
            live = [metrics for metrics, _ in self._waiting]
            self._waiting.clear()
        newest = {metric.name: metric for metric in stored}
        self._newest |= {str(name): metric for name, metric in newest.items()}
        if not self._born or self._asked:
            self._births(client)
        for metric in stored:
            if metric is not newest[metric.name]:
                self._data(client, [metric._replace(is_historical=True)])
        for metrics in live:
            self._newest |= {str(metric.name): metric for metric in metrics}
            self._data(client, metrics)

    def _births(self, client: mqtt.Client) -> None:
        self._asked, self._seq, now = False, 0, time.time_ns() // MS
        control = [Metric("bdSeq", None, now, INT64, self._bdseq), Metric(REBIRTH, None, now, BOOLEAN, False)]
        client.publish(self._topic("NBIRTH"), payload(control, now, 0), 0)
        metrics = [
            metric._replace(time=metric.time or now, properties=self._properties.get(name, ()))
            for name, metric in self._newest.items()
        ]
        self._publish(client, "DBIRTH", metrics)
        self._born = True

    def _data(self, client: mqtt.Client, metrics: list[Metric]) -> None:
        self._publish(client, "DDATA", [metric._replace(name=None) for metric in metrics])

    def _publish(self, client: mqtt.Client, kind: str, metrics: list[Metric]) -> None:
        self._seq = (self._seq + 1) % 256
        client.publish(f"{self._topic(kind)}/{self.machine}", payload(metrics, time.time_ns() // MS, self._seq), 0)

    # ---- what is said --------------------------------------------------------------------------------------------------
    def _metrics(self, record: Record) -> list[Metric]:
        match record:
            case SignalSample():
                return [self._metric(f"Process/{record.signal}", record.time, float(record.value))]  # type: ignore[arg-type]
            case StateChange():
                return [self._metric(name, record.time, getattr(record, key)) for name, key in STATES.items()]
            case EnergyCounter():
                return [self._metric(ENERGY, record.time, float(record.value))]
            case OperationDone():
                return [self._metric(OPERATION, record.time, _encode(record).decode())]
            case SetupChange():
                return [self._metric(SETUP, record.time, _encode(body(record)).decode())]
            case _:
                raise TypeError("a device publishes no documents")

    def _metric(self, name: str, time_ns: int, value: float | str | None) -> Metric:
        kind = STRING if name in STATES or name in (OPERATION, SETUP) else DOUBLE
        return Metric(name, self._alias[name], time_ns // MS, kind, value)

    def _topic(self, kind: str) -> str:
        return f"spBv1.0/{GROUP}/{kind}/{node_of(self.machine)}"

    def _death(self) -> bytes:
        return payload([Metric("bdSeq", None, time.time_ns() // MS, INT64, self._bdseq)], time.time_ns() // MS, None)
