"""From events to the board: what each one changes in the snapshot. Pure; times of the wall clock are arguments.

Reads only what is live: history streams are on the timeline (from the database), never on a tile. An older state never replaces a
newer one, whatever order the log brings them in. Called by `live.feed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shinkei_events.frames import readings
from shinkei_events.model.alarm import AlarmChanged
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.frame import Frame, Value
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Machine, Reason, Signal
from shinkei_events.model.numbered import Numbered, SignalDescribed
from shinkei_events.model.operation import Operation
from shinkei_ui.states import level_of

MS = 1_000_000
SPARK_STEP_NS = 2_000_000_000
"""A point of a tile's curve every 2 s of source time: `LIST_MOST` points are 4 minutes."""
SIGNALS_SHOWN = 4
ANOMALIES_KNOWN = 200
CATCHING_UP_NS = 10_000_000_000
"""Provisional values hold so long after the last of them, whatever comes late: a gateway whose clock was put back must not freeze a tile."""
_SEVERITY_MASK = 0xC0000000

Put = Callable[[str, str, Mapping[str, Any]], None]
Drop = Callable[[str, str], None]


class _Known(NamedTuple):
    time: int
    number: int


class _Ahead:
    """What provisional values say of a machine whose stream is behind. ``seen``: wall clock of the last one, ns; ``received``: by signal."""

    def __init__(self) -> None:
        self.seen = 0
        self.received: dict[str, int] = {}

    def is_newer(self, signal: str, received: int) -> bool:
        """Whether the tile shows a newer value of ``signal`` than one that came at ``received`` (the gateway's clock)."""
        return received < self.received.get(signal, 0)

    def judge(self, frame: Frame, now: int, provisional: bool) -> bool:
        """Whether the machine is catching up still, as ``frame`` has it."""
        if provisional:
            self.seen = now
        elif self.received and now - self.seen > CATCHING_UP_NS:
            self.received.clear()
        newest = max((at for _, at in frame.received), default=now)
        return provisional or newest < max(self.received.values(), default=0)


class Picture:
    """Keeps what is needed to judge which event is newer; the values themselves live in the snapshot behind ``put``. ``speed``: of the plant."""

    def __init__(
        self,
        put: Put,
        drop: Drop,
        machines: list[Machine],
        signals: list[Signal],
        reasons: list[Reason],
        speed: float = 1.0,
    ) -> None:
        self._put, self._drop = put, drop
        self._speed, self._newest = speed, 0
        self._category = {reason.name: reason.category for reason in reasons}
        self._machines = {machine.name for machine in machines}
        self._shown = {machine.name: _shown(machine.name, signals) for machine in machines}
        self._units = {(name, each): s.unit for name, shown in self._shown.items() for each, s in shown.items()}
        self._state: dict[str, _Known] = {}
        self._skew: dict[str, int] = {}
        self._fresh: dict[str, int] = {}
        self._ahead: dict[str, _Ahead] = {machine.name: _Ahead() for machine in machines}
        self._spark: dict[str, int] = {}
        self._alarm: dict[str, int] = {}
        self._anomaly: dict[str, dict[str, tuple[int, dict[str, Any] | None]]] = {}
        for at, machine in enumerate(machines):
            put("machines", machine.name, self._blank(at, machine))

    def _blank(self, at: int, machine: Machine) -> dict[str, Any]:
        shown = self._signals(machine.name)
        return {"at": at, "title": machine.title, "operation": machine.operation, "shown": shown, "level": "unknown", "state": None,
                "since": None, "reason": None, "product": None, "fresh": None, "spark": [], "anomaly": None}  # fmt: skip

    def _signals(self, machine: str) -> list[dict[str, Any]]:
        return [
            {"name": s.signal, "title": s.title, "unit": self._units[machine, s.signal], "low": s.low, "high": s.high}
            for s in self._shown[machine].values()
        ]

    # ---- telemetry ---------------------------------------------------------------------------------------------------
    def frame(self, frame: Frame, now: int, provisional: bool = False) -> None:
        """Last values, the tile's curve, and how fresh the machine's data are. ``now``: wall clock, ns."""
        name = frame.machine
        if frame.stream.kind != "signals" or name not in self._machines:
            return
        fields: dict[str, Any] = {}
        if (
            name not in self._state and frame.context.state is not None
        ):  # before the first change is seen, the frames tell the state
            fields = self.state_fields(frame.context.state, None, None, frame.context.product, frame.context.tool)
        shown, ahead = self._shown[name], self._ahead[name]
        first = next(iter(shown), None)
        fields["provisional"] = ahead.judge(frame, now, provisional)
        for _, channel, time, value, status, received in readings(frame):
            self._skew[name] = received - time
            self._come(time)
            if channel not in shown or ahead.is_newer(channel, received):
                continue
            if provisional:
                ahead.received[channel] = received
            fields[f"value.{channel}"] = [_plain(value), "bad" if status & _SEVERITY_MASK else "good"]
            if channel == first and time - self._spark.get(name, 0) >= SPARK_STEP_NS and not status & _SEVERITY_MASK:
                self._spark[name] = time
                fields["+spark"] = [time // MS, _plain(value)]
        if frame.received:
            self._seen(name, max(at for _, at in frame.received), now, fields)
        elif frame.complete_until is not None:
            self._seen(name, frame.complete_until + self._skew.get(name, 0), now, fields)
        self._put("machines", name, fields)

    def _come(self, time: int) -> None:
        """A simulated line that runs faster or slower than the wall has a "now" of its own: the newest source time it has told."""
        if self._speed != 1.0 and time // MS > self._newest:
            self._newest = time // MS
            self._put("feed", "plant", {"now": self._newest, "speed": self._speed})

    def _seen(self, name: str, at: int, now: int, fields: dict[str, Any]) -> None:
        """Data of ``at`` (the gateway's clock) are here. They cannot be from the future: then the clocks differ."""
        fresh = max(self._fresh.get(name, 0), min(at, now))
        self._fresh[name] = fresh
        fields["fresh"] = fresh // MS

    def described(self, machine: str, signal: str, unit: str | None) -> None:
        """What the source says of a signal: its unit counts where plant.toml gives none."""
        known = self._shown.get(machine, {}).get(signal)
        if unit is None or known is None or known.unit is not None or self._units[machine, signal] == unit:
            return
        self._units[machine, signal] = unit
        self._put("machines", machine, {"shown": self._signals(machine)})

    def leading(self) -> list[tuple[str, str]]:
        """Machine and signal of each tile's curve."""
        return [(machine, next(iter(shown))) for machine, shown in self._shown.items() if shown]

    def known_curve(self, machine: str, points: list[tuple[int, float]]) -> None:
        """A tile's curve as the database has it (source time ns, value); what came live in the meantime is in it but for a second."""
        if not points:
            return
        self._spark[machine] = max(points[-1][0], self._spark.get(machine, 0))
        self._put("machines", machine, {"spark": [[time // MS, _plain(value)] for time, value in points]})

    # ---- production --------------------------------------------------------------------------------------------------
    def event(self, event: Any, now: int) -> None:
        """Any event of the topics production, anomalies and alerts."""
        if isinstance(event, MachineStateChanged):
            self._changed_state(event, now)
        elif isinstance(event, Operation):
            self._worked(event, now)
        elif isinstance(event, AlarmChanged):
            self.alarm(event)
        elif isinstance(event, AnomalyChanged):
            self._found(event)
        elif isinstance(event, Numbered):
            if isinstance(event, SignalDescribed):
                self.described(event.machine, event.name, event.unit)
            self._fields(event, now, {})

    def _fields(self, event: Numbered, now: int, fields: dict[str, Any]) -> None:
        if event.machine not in self._machines or event.stream.kind != "production":
            return
        self._seen(event.machine, event.received, now, fields)
        self._put("machines", event.machine, fields)

    def _changed_state(self, event: MachineStateChanged, now: int) -> None:
        if event.stream.kind != "production":
            return
        fields: dict[str, Any] = {}
        if _Known(event.time, event.number) > self._state.get(event.machine, _Known(0, 0)):
            self._state[event.machine] = _Known(event.time, event.number)
            self._come(event.time)
            fields = self.state_fields(event.state, event.reason, event.time, event.product, event.tool)
        if event.by == "gateway":  # says that the source is silent: that is no data from it
            self._put("machines", event.machine, fields) if event.machine in self._machines else None
        else:
            self._fields(event, now, fields)

    def state_fields(
        self, state: str | None, reason: str | None, since: int | None, product: str | None, tool: str | None
    ) -> dict[str, Any]:
        """How a state is shown. ``since``: source time, ns; None: not known."""
        level = level_of(state, self._category.get(reason or ""))
        return {
            "state": state,
            "level": level,
            "reason": reason,
            "since": None if since is None else since // MS,
            "product": product,
            "tool": tool,
        }

    def known_state(
        self, machine: str, state: str, reason: str | None, since: int, product: str | None, tool: str | None
    ) -> None:
        """A state as the database has it: it stands until a newer one comes live. ``since`` ns."""
        if machine in self._machines and since > self._state.get(machine, _Known(0, 0)).time:
            self._state[machine] = _Known(since, 0)
            self._put("machines", machine, self.state_fields(state, reason, since, product, tool))

    def _worked(self, event: Operation, now: int) -> None:
        made = [unit.id for unit in event.outputs or event.inputs]
        part = (
            {
                "unit": made[0],
                "more": len(made) - 1,
                "kind": event.kind,
                "result": event.result,
                "at": event.ended // MS,
            }
            if made
            else None
        )
        fields: dict[str, Any] = {"part": part} if part else {}
        if event.product:
            fields["product"] = event.product
        self._fields(event, now, fields)

    # ---- what detection and the alarms say -----------------------------------------------------------------------------
    def _found(self, event: AnomalyChanged) -> None:
        if event.machine not in self._machines or event.stream.kind != "signals":
            return
        signal = event.signals[0].signal if event.signals else None
        about = {"id": event.id, "signal": signal, "began": event.began // MS, "finding": event.finding}
        self._anomalous(event.machine, event.id, event.revision, event.phase == "closed", about)

    def _anomalous(self, machine: str, id: str, revision: int, closed: bool, about: dict[str, Any]) -> None:
        """The newest open anomaly is on the tile. Closed ones are remembered, so that an older revision does not open them again."""
        known = self._anomaly.setdefault(machine, {})
        if id in known and known[id][0] >= revision:
            return
        known[id] = (revision, None if closed else about)
        while len(known) > ANOMALIES_KNOWN:
            del known[next(iter(known))]
        newest = max((found for _, found in known.values() if found), key=lambda found: found["began"], default=None)
        self._put("machines", machine, {"anomaly": newest})

    def known_anomalies(self, rows: list[dict[str, Any]]) -> None:
        """Open anomalies as the database has them."""
        for row in rows:
            signals = row["body"].get("signals") or []
            about = {
                "id": row["id"],
                "signal": signals[0]["signal"] if signals else None,
                "began": row["began"] // MS,
                "finding": row["finding"],
            }
            if row["machine"] in self._machines:
                self._anomalous(row["machine"], row["id"], row["revision"], False, about)

    def alarm(self, event: AlarmChanged) -> None:
        """One transition of an alarm; the highest revision holds, one that is back to normal leaves the board. It is since its present
        occurrence.
        """
        known = self._alarm.get(event.id, -1)
        if known >= event.revision:
            return
        self._alarm[event.id] = event.revision
        if event.state == "NORMAL":
            self._drop("alarms", event.id)
            return
        since = {"raised": event.since, "raised_again": event.time}.get(event.transition)
        fields = {"machine": event.machine, "state": event.state, "priority": event.priority,
                  "occurrence": event.occurrence, "text": event.text, "condition": event.condition, "revision": event.revision}  # fmt: skip
        if since is None and known < 0:
            since = event.since
        self._put("alarms", event.id, fields if since is None else fields | {"since": since // MS})

    def known_alarms(self, rows: list[dict[str, Any]]) -> None:
        """Open alarms as the database has them, each since its present occurrence; those that are not among them and not newer leave the board."""
        for row in rows:
            if self._alarm.get(row["id"], -1) > row["revision"]:
                continue  # the same revision is looked at: an anomaly that grows changes an alarm's words without a transition
            self._alarm[row["id"]] = row["revision"]
            fields = {
                name: row[name]
                for name in ("machine", "state", "priority", "occurrence", "text", "condition", "revision")
            }
            self._put("alarms", row["id"], fields | {"since": (row["active_since"] or row["since"]) // MS})


def _shown(machine: str, signals: list[Signal]) -> dict[str, Signal]:
    mine = [s for s in signals if s.machine == machine]
    mine.sort(key=lambda s: not s.watch)  # what the detector watches first, in the file's order
    return {s.signal: s for s in mine[:SIGNALS_SHOWN]}


def _plain(value: Value) -> Any:
    """Something to show: numbers with six digits, text cut short, no arrays."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    return str(value)[:40] if isinstance(value, str) else None
