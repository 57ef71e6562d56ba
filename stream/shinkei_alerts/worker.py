"""The alarm part's consumer: anomalies, machine states and decisions in; alarms, transitions and pages out, in one transaction.

One open alarm a condition (a unique index says so). What was taken is remembered with its effect, so a replay changes nothing. Delays
run on source time where the stream moves it, else on the wall clock a second behind, and the moment they give is the due one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg

from shinkei_alerts import conditions, lifecycle, table, words
from shinkei_alerts.conditions import Effect
from shinkei_alerts.lifecycle import Alarm, Step
from shinkei_alerts.settings import AlertsSettings
from shinkei_alerts.telemetry import AlarmMoved
from shinkei_events.codec import decode
from shinkei_events.envelope import Opened
from shinkei_events.identity import Kind
from shinkei_events.model import master
from shinkei_events.model.alarm import Cause
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.decision import Acknowledged, Shelved
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_events.topics import ANOMALIES, DECISIONS, PRODUCTION
from shinkei_store import outbox
from shinkei_store.consumer import Handler
from shinkei_store.follower import Item

_RULES_EVERY_S = 10.0


@dataclass(slots=True)
class _Timer:
    effect: Effect
    due: int
    text: dict[str, str]


class AlarmWorker(Handler):
    """See `shinkei_store.consumer.Handler` for who calls what. ``now``: wall clock, ns."""

    topics = (PRODUCTION.name, ANOMALIES.name, DECISIONS.name)
    kinds: tuple[Kind, ...] = ("production",)

    def __init__(self, plant: PlantFile, now: Any = time.time_ns) -> None:
        self._settings = section(plant, "alerts", AlertsSettings)
        self._languages, self._now = plant.site.languages, now
        self._source = f"alerts/{self._settings.worker}"
        self._rules: dict[str, Condition] = {}
        self._reasons: dict[str, dict[str, str]] = {}
        self._lines: dict[str, str | None] = {}
        self._rules_at = 0.0
        self._forget()

    def _forget(self) -> None:
        self._alarms: dict[str, Alarm] = {}
        self._states: dict[str, Cause] = {}
        self._timers: dict[str, _Timer] = {}
        self._inbox: list[tuple[str, Any]] = []
        self._steps: list[Step] = []
        self._touched: set[str] = set()
        self._dirty_timers: set[str] = set()

    # ---- the runtime's calls -----------------------------------------------------------------------------------------
    def load(self, conn: psycopg.Connection[Any], topic: str, partition: int, committed: dict[str, int]) -> dict[str, int]:
        """Everything again from the database; nothing unsaved is there then."""
        self._forget()
        self._read_rules(conn)
        self._alarms = table.open_alarms(conn)
        for key, due, body in conn.execute("select key, due, body from alert_timer"):
            kept = msgspec.convert(body, _KeptTimer)
            if kept.condition in self._rules:
                effect = Effect(self._rules[kept.condition], kept.machine, kept.cause, kept.active, kept.time)
                self._timers[key] = _Timer(effect, due, kept.text)
        self._states = {alarm.machine: cause for alarm in self._alarms.values() for cause in alarm.causes if cause.kind == "state" and cause.id in alarm.active_causes}
        self._states |= {t.effect.machine: t.effect.cause for t in self._timers.values() if t.effect.cause.kind == "state" and t.effect.active}
        return committed

    def use(self, item: Item, skip: int) -> None:
        """A machine's state."""
        if isinstance(item.event, MachineStateChanged):
            self._inbox.append(("state", item.event))

    def event(self, opened: Opened, topic: str, partition: int) -> None:
        """An anomaly or a decision."""
        if isinstance(opened.event, AnomalyChanged | Acknowledged | Shelved):
            self._inbox.append(("said", opened.event))

    def save(self, conn: psycopg.Connection[Any]) -> None:
        """Take the inbox, then write what became of it."""
        inbox, self._inbox = self._inbox, []
        for kind, event in inbox:
            if kind == "state":
                self._take_state(event)
            elif table.taken(conn, event.id, getattr(event, "revision", 0)):
                self._take(event)
        self._write(conn)

    def tick(self, conn: psycopg.Connection[Any]) -> bool:
        """Rules may be new; timers may be due; shelving may end."""
        if time.monotonic() - self._rules_at > _RULES_EVERY_S:
            self._read_rules(conn)
        now = self._now()
        self._fire(now - 10**9)
        for alarm in list(self._alarms.values()):
            self._apply(lifecycle.unshelve(alarm, now))
        return self._write(conn)

    def sweep(self, conn: psycopg.Connection[Any]) -> bool:
        """Anomalies and decisions that are in their producers' outboxes and were never taken."""
        sql = """select o.type, o.body from outbox o left join alarm_input i
              on i.id = case when o.part = 'detect' then split_part(o.id, '/', 1) else o.id end and i.revision >= case when o.part = 'detect'
              then split_part(o.id, '/', 2)::int else 0 end
            where o.part in ('detect', 'ui', 'alerts') and o.topic in (%s, %s) and i.id is null order by o.number"""
        rows = conn.execute(sql, (ANOMALIES.name, DECISIONS.name)).fetchall()
        for type, body in rows:
            event = decode(type, bytes(body))
            if isinstance(event, AnomalyChanged | Acknowledged | Shelved):
                self._inbox.append(("said", event))
        if self._inbox and self._rules:
            self.save(conn)
            return True
        return False

    # ---- facts -------------------------------------------------------------------------------------------------------
    def _take(self, event: AnomalyChanged | Acknowledged | Shelved) -> None:
        if isinstance(event, AnomalyChanged):
            for effect in conditions.of_anomaly(event, self._rules.values()):
                self._effect(effect, words.of_anomaly(event, effect.condition, self._languages))
            return
        alarm = next((known for known in self._alarms.values() if known.id == event.alarm), None)
        if isinstance(event, Acknowledged):
            self._apply(lifecycle.acknowledge(alarm, event.occurrence, event.actor.id, event.time, event.comment or None))
        else:
            self._apply(lifecycle.shelve(alarm, event.until, event.actor.id, event.time, event.reason))

    def _take_state(self, event: MachineStateChanged) -> None:
        self._fire(event.time, event.machine)
        before = self._states.get(event.machine)
        effects = conditions.of_state(event, before, self._rules.values())
        self._states.pop(event.machine, None)
        for effect in effects:
            if effect.active:
                self._states[event.machine] = effect.cause
            self._effect(effect, words.of_state(event, effect.condition, self._reasons, self._languages))

    def _effect(self, effect: Effect, text: dict[str, str]) -> None:
        key = lifecycle.dedup_key(self._lines.get(effect.machine), effect.machine, effect.condition.name)
        delay = effect.condition.on_delay if effect.active else effect.condition.off_delay if effect.condition.on != "anomaly" else 0.0
        timer = f"{key}/{effect.cause.id}"
        if not effect.active and timer in self._timers and self._timers[timer].effect.active:
            self._drop_timer(timer)  # gone before its on-delay was over: it never was
            return
        if effect.active:
            self._hold(key, effect)
        if delay <= 0:
            self._carry_out(key, effect, text)
            return
        self._timers[timer] = _Timer(effect, effect.time + int(delay * 10**9), text)
        self._dirty_timers.add(timer)

    def _hold(self, key: str, effect: Effect) -> None:
        """Active again within the off-delay: what was about to return stays active, by the new cause."""
        for timer, waiting in list(self._timers.items()):
            if timer.startswith(key) and not waiting.effect.active and waiting.due > effect.time:
                alarm = self._alarms.get(key)
                if alarm is not None and alarm.is_active:
                    left = tuple(c for c in alarm.active_causes if c != waiting.effect.cause.id)
                    self._alarms[key] = msgspec.structs.replace(alarm, active_causes=(*left, effect.cause.id))
                    self._touched.add(key)
                self._drop_timer(timer)

    def _fire(self, upto: int, machine: str | None = None) -> None:
        due = [(t.due, name) for name, t in self._timers.items() if t.due <= upto and (machine is None or t.effect.machine == machine)]
        for _, name in sorted(due):
            timer = self._timers[name]
            self._drop_timer(name)
            self._carry_out(name.partition("/")[0], timer.effect, timer.text)

    def _drop_timer(self, name: str) -> None:
        self._timers.pop(name, None)
        self._dirty_timers.add(name)

    def _carry_out(self, key: str, effect: Effect, text: dict[str, str]) -> None:
        alarm = self._alarms.get(key)
        if not effect.active:
            self._apply(lifecycle.deactivate(alarm, effect.cause.id, effect.time))
            return
        line = self._lines.get(effect.machine)
        new = Alarm(
            id=lifecycle.alarm_id(key, effect.cause, effect.time), dedup_key=key, condition=effect.condition.name, machine=effect.machine, line=line,
            priority=effect.condition.priority, state="ACTIVE_UNACK", since=effect.time, text=text,
        )  # fmt: skip
        self._apply(lifecycle.activate(alarm, new, effect.cause, effect.time))

    def _apply(self, steps: list[Step]) -> None:
        for step in steps:
            self._alarms[step.alarm.dedup_key] = step.alarm
            self._touched.add(step.alarm.dedup_key)
            if step.time >= 0:
                self._steps.append(step)

    # ---- rows --------------------------------------------------------------------------------------------------------
    def _write(self, conn: psycopg.Connection[Any]) -> bool:
        if not self._steps and not self._touched and not self._dirty_timers:
            return False
        latest: dict[str, Alarm] = {step.alarm.id: step.alarm for step in self._steps}
        for alarm in latest.values():
            table.write(conn, alarm)
        for key in self._touched:
            table.write(conn, self._alarms[key])
        for step in self._steps:
            table.record(conn, step, self._source)
            moved = step.alarm
            emit(AlarmMoved(moved.machine, moved.condition, step.transition, moved.state, moved.occurrence, moved.id))
        for key in self._touched:
            self._page(conn, self._alarms[key])
            if self._alarms[key].closed_at is not None:
                del self._alarms[key]
        self._write_timers(conn)
        if self._steps:
            outbox.wake(conn, "alerts")
            conn.execute("select pg_notify('shinkei_delivery', '')")
        self._steps, self._touched = [], set()
        return True

    def _write_timers(self, conn: psycopg.Connection[Any]) -> None:
        for name in self._dirty_timers:
            timer = self._timers.get(name)
            if timer is None:
                conn.execute("delete from alert_timer where key = %s", (name,))
                continue
            effect = timer.effect
            kept = _KeptTimer(effect.condition.name, effect.machine, effect.cause, effect.active, effect.time, timer.text)
            sql = "insert into alert_timer (key, due, body) values (%s, %s, %s) on conflict (key) do update set due = excluded.due, body = excluded.body"
            conn.execute(sql, (name, timer.due, msgspec.json.encode(kept).decode()))
        self._dirty_timers = set()

    def _page(self, conn: psycopg.Connection[Any], alarm: Alarm) -> None:
        """What is active and unseen now is paged, once an occurrence; what came late and is over is only on record."""
        if alarm.state != "ACTIVE_UNACK" or alarm.shelved_until is not None:
            return
        for target in self._settings.targets:
            if alarm.priority in target.priorities:
                language = target.language or self._languages[0]
                title, body = words.page(alarm, self._rules.get(alarm.condition), language)
                table.put_page(conn, alarm, target.name, title, body)

    def _read_rules(self, conn: psycopg.Connection[Any]) -> None:
        self._rules_at = time.monotonic()
        rows = conn.execute("select kind, name, body from v_master where kind in ('condition', 'reason', 'machine')").fetchall()
        self._rules, self._reasons, self._lines = {}, {}, {}
        for kind, name, body in rows:
            if kind == "condition":
                self._rules[name] = msgspec.convert(body, master.Condition)
            elif kind == "reason":
                self._reasons[name] = body.get("title", {})
            else:
                self._lines[name] = body["path"].rpartition("/")[0] or None


class _KeptTimer(msgspec.Struct, frozen=True):
    condition: str
    machine: str
    cause: Cause
    active: bool
    time: int
    text: dict[str, str]
