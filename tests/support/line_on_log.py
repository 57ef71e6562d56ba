"""The pump line on a log without machines and gateway between: what the gateway would send, for tests of whoever listens.

Plays `shinkei_plant.line` by the wall clock and seals its records as frames and production events, numbered without holes. A machine
can be stopped, and all of it silenced. Not a gateway: nothing is spooled and nothing is sent again.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from shinkei_events import kafka
from shinkei_events.envelope import seal
from shinkei_events.identity import StreamId, new_epoch, operation_id
from shinkei_events.model.frame import Context, Frame
from shinkei_events.model.machine import EnergyCounted, MachineStateChanged, SetupChanged, State
from shinkei_events.model.numbered import Numbered
from shinkei_events.model.operation import Operation
from shinkei_events.settings import PlantFile, load_plant
from shinkei_events.topics import SIGNALS as SIGNALS_TOPIC
from shinkei_plant.catalog import CHARACTERISTICS, MACHINES, PRODUCTS, REASONS, SIGNALS, limits, target
from shinkei_plant.faults import Planned
from shinkei_plant.line import HISTORY_GRID, Line
from shinkei_plant.records import EnergyCounter, OperationDone, Record, SetupChange, SignalSample, StateChange

S = 1_000_000_000
SOURCE = "gateway/test/0"
TITLE = {"ja": "浜名湖工場 ポンプライン1", "en": "Hamanako plant, pump line 1"}


def write_plant(path: Path, ui: dict[str, Any] | None = None, dsn: str | None = None) -> PlantFile:
    """A plant.toml with the line's master data at ``path``; its folder is beside it."""
    lines = ["[site]", 'id = "test"', f"title = {_toml(TITLE)}", 'zone = "Asia/Tokyo"', "[ui]"]
    lines += [f"{key} = {_toml(value)}" for key, value in (ui or {}).items()]
    lines += ["[store]", f"dsn = {_toml(dsn)}"] if dsn else []
    for machine in MACHINES:
        lines += _entry(
            "machines",
            name=machine.name,
            path=f"test/pumps/line1/{machine.name}",
            title={"ja": machine.ja, "en": machine.en},
            operation=machine.name,
        )
    for signal in SIGNALS:
        lines += _entry("signals", machine=signal.machine, signal=signal.name, unit=signal.unit, unece=signal.unece, low=signal.low, high=signal.high,
                        title={"ja": signal.ja, "en": signal.en})  # fmt: skip
    for product in PRODUCTS:
        lines += _entry("products", name=product.name, title={"ja": product.ja, "en": product.en}, finished=True)
        for entry in CHARACTERISTICS:
            low, high = limits(entry, product)
            lines += _entry("characteristics", product=product.name, operation=entry.operation, characteristic=entry.name, unit=entry.unit,
                            lsl=low, target=target(entry, product), usl=high)  # fmt: skip
        for machine in MACHINES:
            lines += _entry("ideal_cycles", machine=machine.name, product=product.name, seconds=machine.cycle_s)
    for reason in REASONS:
        lines += _entry(
            "reasons",
            name=reason.name,
            category=reason.category,
            element=reason.element,
            title={"ja": reason.ja, "en": reason.en},
        )
    lines += _entry(
        "shifts",
        line="test/pumps/line1",
        starts="06:00",
        ends="18:00",
        weekdays=[1, 2, 3, 4, 5, 6, 7],
        zone="Asia/Tokyo",
    )
    lines += _entry(
        "shifts",
        line="test/pumps/line1",
        starts="18:00",
        ends="06:00",
        weekdays=[1, 2, 3, 4, 5, 6, 7],
        zone="Asia/Tokyo",
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_plant(path, path.parent / "site")


def _entry(table: str, **fields: Any) -> list[str]:
    return [f"[[{table}]]", *(f"{key} = {_toml(value)}" for key, value in fields.items() if value is not None)]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return msgspec.json.encode(value).decode()


class Numbering:
    """Turns the line's records into events as a gateway numbers them: one epoch, contiguous numbers per stream."""

    def __init__(self, history: bool = False) -> None:
        now = time.time_ns()
        self.epoch = new_epoch(now // 1_000_000, 42)
        self._kinds = ("history", "history") if history else ("signals", "production")
        self._next: dict[StreamId, int] = {}
        self._context: dict[str, Context] = {}

    def stream(self, machine: str, kind: int) -> StreamId:
        """``kind`` 0: signals, 1: production."""
        return StreamId(self.epoch, machine, self._kinds[kind])  # type: ignore[arg-type]

    def next_numbers(self) -> dict[StreamId, int]:
        """The number that comes next, of every stream so far."""
        return dict(self._next)

    def take(self, stream: StreamId, count: int = 1) -> int:
        """The next number of a stream; ``count`` are given away."""
        first = self._next.get(stream, 1)
        self._next[stream] = first + count
        return first

    def _last(self, machine: str, kind: int) -> int:
        return self._next.get(self.stream(machine, kind), 1) - 1

    def frame(self, machine: str, samples: list[SignalSample], received: int) -> Frame:
        """One frame of samples, or an empty one that says how far the machine is complete."""
        stream, context = self.stream(machine, 0), self._context.get(machine, Context())
        if not samples:
            first = self._last(machine, 0) + 1
            return Frame(
                stream,
                first,
                received,
                context,
                [],
                [],
                [],
                [],
                [],
                [],
                self._last(machine, 1),
                complete_until=received,
            )
        names = list(dict.fromkeys(sample.signal for sample in samples))
        t0 = samples[0].time
        return Frame(stream, self.take(stream, len(samples)), t0, context, names, [names.index(s.signal) for s in samples], [s.time - t0 for s in samples],
                     [s.value for s in samples], [(1, s.status) for s in samples], [(len(samples), received)], self._last(machine, 1))  # fmt: skip

    def event(self, record: Record, received: int) -> Numbered | None:
        """The production event of a record; None for samples and documents."""
        if isinstance(record, SignalSample) or not isinstance(
            record, StateChange | OperationDone | SetupChange | EnergyCounter
        ):
            return None
        stream = self.stream(record.machine, 1)
        base: dict[str, Any] = {
            "stream": stream,
            "number": self.take(stream),
            "signals": self._last(record.machine, 0),
            "time": record.time,
            "received": received,
        }
        if isinstance(record, StateChange):
            self._context[record.machine] = Context(record.state, record.product, record.recipe, record.tool)
            return MachineStateChanged(
                **base,
                state=record.state,
                reason=record.reason,
                product=record.product,
                recipe=record.recipe,
                tool=record.tool,
            )
        if isinstance(record, SetupChange):
            return SetupChanged(**base, slot=record.slot, unit=record.unit, unit_type=record.unit_type, action=record.action, item=record.item,  # type: ignore[arg-type]
                                certainty=record.certainty, not_before=record.not_before, not_after=record.not_after)  # fmt: skip
        if isinstance(record, EnergyCounter):
            return EnergyCounted(**base, medium=record.medium, value=record.value, unit=record.unit)  # type: ignore[arg-type]
        fields = {name: getattr(record, name) for name in record.__struct_fields__ if name != "counter"}
        return Operation(
            **base, operation_id=operation_id(record.station, "cycle", record.ended, record.counter), **fields
        )


class LineOnLog:
    """Plays the line in a thread from `start` to `stop`. Thread-safe. ``warm_s``: how long it ran before; ``history``: that is sent, too."""

    def __init__(
        self,
        plant: PlantFile,
        seed: int = 7,
        troubles: tuple[Planned, ...] = (),
        warm_s: int = 300,
        history: bool = False,
    ) -> None:
        self._plant, self._stop, self._silent = plant, threading.Event(), threading.Event()
        self._stopped: dict[str, tuple[State, str | None]] = {}
        self._told: dict[str, State] = {}
        now = time.time_ns() // S * S
        self._line = Line(seed, now - warm_s * S, start=now, troubles=troubles)
        self.numbering = Numbering()
        self._past = Numbering(history=True) if history else None
        self._thread = threading.Thread(target=self._run, name="line-on-log", daemon=True)

    def start(self) -> LineOnLog:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it; returns when the thread has ended."""
        self._stop.set()
        self._thread.join(60)

    def stop_machine(self, machine: str, state: State = "ABORTED", reason: str | None = "spindle_fault") -> None:
        """The machine changes to ``state`` within 0.1 s and stays there."""
        self._stopped[machine] = (state, reason)

    def silence(self) -> None:
        """Nothing more is sent, as if the gateway had ended."""
        self._silent.set()

    def speak(self) -> None:
        """Go on."""
        self._silent.clear()

    def _run(self) -> None:
        log = kafka.find_log(self._plant)
        producer = kafka.producer(log, linger_ms=2)
        last = {machine.name: StateChange(machine.name, self._line.origin, "IDLE") for machine in MACHINES}
        samples: dict[str, list[SignalSample]] = {machine.name: [] for machine in MACHINES}
        for record in self._line.play(time.time_ns(), HISTORY_GRID if self._past else 0):
            if isinstance(record, StateChange):
                last[record.machine] = record
            if self._past and isinstance(record, SignalSample):
                samples[record.machine].append(record)
                if len(samples[record.machine]) >= 500:
                    self._send(producer, self._past.frame(record.machine, samples.pop(record.machine), time.time_ns()))
                    samples[record.machine] = []
            elif self._past:
                self._send(producer, self._past.event(record, time.time_ns()))
                producer.poll(0)
        for machine, some in samples.items():
            if self._past and some:
                self._send(producer, self._past.frame(machine, some, time.time_ns()))
        for record in last.values():
            self._send(producer, self.numbering.event(record, time.time_ns()))
        while not self._stop.wait(0.1):
            now = time.time_ns()
            records = list(self._line.play(now, 100_000_000))
            if not self._silent.is_set():
                self._tell(producer, records, now)
        producer.flush(2.0)

    def _tell(self, producer: Any, records: list[Record], now: int) -> None:
        for machine, (state, reason) in self._stopped.items():
            if self._told.get(machine) != state:
                self._told[machine] = state
                self._send(producer, self.numbering.event(StateChange(machine, now, state, reason), now))
        samples: dict[str, list[SignalSample]] = {machine.name: [] for machine in MACHINES}
        for record in records:
            if isinstance(record, SignalSample):
                samples[record.machine].append(record)
            elif record.machine not in self._stopped:
                self._send(producer, self.numbering.event(record, now))
        for machine, some in samples.items():
            self._send(producer, self.numbering.frame(machine, some, now))
        producer.poll(0)

    @staticmethod
    def _send(producer: Any, event: Frame | Numbered | None) -> None:
        if event is not None:
            sealed = seal(event, SOURCE)
            topic = SIGNALS_TOPIC.name if event.stream.kind == "history" else sealed.topic
            producer.produce(topic, value=sealed.value, key=sealed.key, headers=sealed.headers)
