"""What alarms become of states, anomalies, decisions and time. Pure: events and times in, steps and timers out.

Time here is source time, moved by a machine's own records: a delay is over when the machine's stream has passed it, so the same records
give the same alarms whenever they come. Only a stream that stands still is overtaken, by `overtake`, which is told when to give up on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import msgspec

from shinkei_alerts import conditions, lifecycle, words
from shinkei_alerts.conditions import Effect
from shinkei_alerts.lifecycle import Alarm, Step
from shinkei_alerts.watchdog import Verdict, name_of
from shinkei_events.model.alarm import Cause
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.decision import Acknowledged, Shelved
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition


class Rules(msgspec.Struct, frozen=True):
    """Master data that alarms need: conditions, titles of reasons and of signals (``machine/signal``), and the line of each machine."""

    conditions: Mapping[str, Condition] = {}
    reasons: Mapping[str, Mapping[str, str]] = {}
    lines: Mapping[str, str | None] = {}
    signals: Mapping[str, Mapping[str, str]] = {}


class Timer(msgspec.Struct, frozen=True):
    """``effect`` holds when the machine's time passes ``due`` (ns UTC), unless something takes it back before."""

    effect: Effect
    due: int
    text: dict[str, str]


class Changes(msgspec.Struct):
    """What is to be written: transitions in order, alarms whose row changed, timers set or dropped (by name)."""

    steps: list[Step] = []
    touched: set[str] = set()
    timers: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.steps or self.touched or self.timers)


class Engine:
    """Open alarms by dedup key, and the timers that wait. Start it with what is stored; take `changes` and store them."""

    def __init__(
        self,
        rules: Rules,
        languages: tuple[str, ...],
        alarms: dict[str, Alarm] | None = None,
        timers: dict[str, Timer] | None = None,
    ) -> None:
        self.rules, self._languages = rules, languages
        self.alarms, self.timers = dict(alarms or {}), dict(timers or {})
        leaving = {
            (name.partition("/")[0], timer.effect.cause.id)
            for name, timer in self.timers.items()
            if not timer.effect.active
        }
        self._held: dict[str, dict[str, Cause]] = defaultdict(dict)
        for key, alarm in self.alarms.items():
            for cause in alarm.causes:
                if cause.kind == "state" and cause.id in alarm.active_causes and (key, cause.id) not in leaving:
                    self._held[alarm.machine][alarm.condition] = cause
        for effect in (timer.effect for timer in self.timers.values() if timer.effect.active):
            if effect.cause.kind == "state":
                self._held[effect.machine][effect.condition.name] = effect.cause
        self._changes = Changes()

    def changes(self) -> Changes:
        """What happened since the last call. Closed alarms are forgotten here."""
        done, self._changes = self._changes, Changes()
        for key in done.touched:
            if key in self.alarms and self.alarms[key].closed_at is not None:
                del self.alarms[key]
        return done

    # ---- events ------------------------------------------------------------------------------------------------------
    def state(self, event: MachineStateChanged) -> None:
        """The machine is in another state: that ends what the state before meant and begins what this one means."""
        self.passed(event.machine, event.time)
        held = self._held[event.machine]
        for effect in conditions.of_state(event, held, self.rules.conditions.values()):
            if effect.active:
                held[effect.condition.name] = effect.cause
            else:
                del held[effect.condition.name]
            self._effect(effect, words.of_state(event, effect.condition, self.rules.reasons, self._languages))

    def anomaly(self, event: AnomalyChanged) -> None:
        """A revision of an anomaly; its own time moves its delays."""
        for effect in conditions.of_anomaly(event, self.rules.conditions.values()):
            text = words.of_anomaly(event, effect.condition, self.rules.signals, self._languages)
            if effect.active:
                self._say_anew(effect, text)
            self._effect(effect, text)
        self._fire(
            {
                name
                for name, timer in self.timers.items()
                if timer.effect.cause.id == event.id and timer.due <= event.time
            }
        )
        if event.phase == "closed":  # also where the condition is not in the master data any more
            for alarm in [known for known in self.alarms.values() if event.id in known.active_causes]:
                self._apply(
                    lifecycle.deactivate(alarm, event.id, event.ended if event.ended is not None else event.time)
                )

    def gateway(self, verdict: Verdict, text: Callable[[Condition], dict[str, str]]) -> None:
        """A gateway is silent, or speaks: one alarm for all its machines. ``text``: what to say of a condition."""
        if verdict.silent:
            name = name_of(verdict.source)
            for effect in conditions.of_gateway(verdict.source, name, verdict.time, self.rules.conditions.values()):
                self._effect(effect, text(effect.condition))
            return
        self._drop([name for name, timer in self.timers.items() if timer.effect.cause.id == verdict.source])
        for alarm in [known for known in self.alarms.values() if verdict.source in known.active_causes]:
            self._apply(lifecycle.deactivate(alarm, verdict.source, verdict.time))

    def silent(self) -> set[str]:
        """Gateways that an alarm holds to be silent."""
        return {
            cause.id
            for alarm in self.alarms.values()
            for cause in alarm.causes
            if cause.kind == "gateway" and cause.id in alarm.active_causes
        }

    def decision(self, event: Acknowledged | Shelved) -> None:
        """Somebody has seen an alarm, or puts it aside."""
        alarm = next((known for known in self.alarms.values() if known.id == event.alarm), None)
        if isinstance(event, Acknowledged):
            self._apply(
                lifecycle.acknowledge(alarm, event.occurrence, event.actor.id, event.time, event.comment or None)
            )
        else:
            self._apply(lifecycle.shelve(alarm, event.until, event.actor.id, event.time, event.reason))

    def passed(self, machine: str, time: int) -> None:
        """Everything that ``machine`` told up to source time ``time`` (ns UTC) is in."""
        self._fire({
            name for name, timer in self.timers.items()
            if timer.due <= time and timer.effect.machine == machine and timer.effect.cause.kind != "anomaly"
        })  # fmt: skip

    def overtake(self, time: int) -> None:
        """Delays that were over at ``time`` (ns UTC) have waited long enough for streams that stand still; so has shelving."""
        self._fire({name for name, timer in self.timers.items() if timer.due <= time})

    def unshelve(self, now: int) -> None:
        """End what was shelved until ``now`` (ns UTC, of the wall clock: a person meant it so)."""
        for alarm in list(self.alarms.values()):
            self._apply(lifecycle.unshelve(alarm, now))

    # ---- delays ------------------------------------------------------------------------------------------------------
    def _say_anew(self, effect: Effect, text: dict[str, str]) -> None:
        """An anomaly grows while it lasts: the alarm it raised tells its figures of now, without a transition."""
        key = lifecycle.dedup_key(self.rules.lines.get(effect.machine), effect.machine, effect.condition.name)
        alarm = self.alarms.get(key)
        if alarm is None or not self._holds(key, effect.cause.id) or alarm.causes[0].id != effect.cause.id:
            return
        if alarm.text != text:
            self.alarms[key] = msgspec.structs.replace(alarm, text=text)
            self._changes.touched.add(key)

    def _effect(self, effect: Effect, text: dict[str, str]) -> None:
        key = lifecycle.dedup_key(self.rules.lines.get(effect.machine), effect.machine, effect.condition.name)
        name = f"{key}/{effect.cause.id}"
        if effect.active:
            self._begins(key, name, effect, text)
        else:
            self._ends(key, name, effect, text)

    def _begins(self, key: str, name: str, effect: Effect, text: dict[str, str]) -> None:
        if self._holds(key, effect.cause.id):
            return
        if self._returning(key, effect.time):  # active again before it had returned: the same occurrence goes on
            self._drop(self._returning(key, effect.time))
            self._carry_out(key, effect, text)
        elif effect.condition.on_delay <= 0:
            self._carry_out(key, effect, text)
        else:
            since = max(effect.time, effect.told)
            self._wait(name, Timer(effect, since + round(effect.condition.on_delay * 10**9), text))

    def _ends(self, key: str, name: str, effect: Effect, text: dict[str, str]) -> None:
        waiting = self.timers.get(name)
        if waiting is not None and waiting.effect.active:
            if effect.time < waiting.due:
                self._drop([name])  # gone before its on-delay was over: it never was
                return
            self._fire({name})
        if not self._holds(key, effect.cause.id):
            return
        episode = effect.cause.kind == "anomaly"  # ended by the detector's own hysteresis
        if episode or effect.condition.off_delay <= 0:
            self._carry_out(key, effect, text)
        elif name not in self.timers:
            self._wait(name, Timer(effect, effect.time + round(effect.condition.off_delay * 10**9), text))

    def _holds(self, key: str, cause_id: str) -> bool:
        alarm = self.alarms.get(key)
        return alarm is not None and alarm.closed_at is None and cause_id in alarm.active_causes

    def _returning(self, key: str, time: int) -> list[str]:
        """Timers by which the alarm ``key`` would return to normal after ``time``."""
        return [
            name
            for name, timer in self.timers.items()
            if name.startswith(key) and not timer.effect.active and timer.due > time
        ]

    def _wait(self, name: str, timer: Timer) -> None:
        if self.timers.get(name) != timer:
            self.timers[name] = timer
            self._changes.timers.add(name)

    def _drop(self, names: Iterable[str]) -> None:
        """Forget timers; a return that is dropped lets its cause go at once, without a transition, while another one holds the alarm."""
        for name in names:
            timer = self.timers.pop(name)
            self._changes.timers.add(name)
            key = name.partition("/")[0]
            alarm = self.alarms.get(key)
            if alarm is not None and not timer.effect.active:
                left = tuple(cause for cause in alarm.active_causes if cause != timer.effect.cause.id)
                self.alarms[key] = msgspec.structs.replace(alarm, active_causes=left)
                self._changes.touched.add(key)

    def _fire(self, names: set[str]) -> None:
        for name in sorted(names, key=lambda one: (self.timers[one].due, one)):
            timer = self.timers.pop(name)
            self._changes.timers.add(name)
            effect = timer.effect if timer.effect.active else timer.effect._replace(time=timer.due)
            self._carry_out(name.partition("/")[0], effect, timer.text, at=timer.due)

    # ---- alarms ------------------------------------------------------------------------------------------------------
    def _carry_out(self, key: str, effect: Effect, text: dict[str, str], at: int | None = None) -> None:
        """Raise or return. ``at``: when the delay was over; the condition itself began at ``effect.time``."""
        alarm = self.alarms.get(key)
        if not effect.active:
            self._apply(lifecycle.deactivate(alarm, effect.cause.id, effect.time))
            return
        new = Alarm(
            id=lifecycle.alarm_id(key, effect.cause, effect.time), dedup_key=key, condition=effect.condition.name, machine=effect.machine,
            line=self.rules.lines.get(effect.machine), priority=effect.condition.priority, state="ACTIVE_UNACK", since=effect.time, text=text,
        )  # fmt: skip
        self._apply(lifecycle.activate(alarm, new, effect.cause, effect.time, effect.time if at is None else at))

    def _apply(self, steps: list[Step]) -> None:
        for step in steps:
            self.alarms[step.alarm.dedup_key] = step.alarm
            self._changes.touched.add(step.alarm.dedup_key)
            if not step.silent:
                self._changes.steps.append(step)


__all__ = ["Cause", "Changes", "Engine", "Rules", "Timer"]
