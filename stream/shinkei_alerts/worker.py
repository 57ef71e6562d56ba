"""The alarm part's consumer: states, anomalies and decisions in; alarms, transitions, timers and pages out, in one transaction.

What they mean is `engine`'s business; here is where they come from and where the rows go. One open alarm a condition (a unique index says
so); what was taken is remembered with its effect, so a replay changes nothing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from shinkei_alerts import table, words
from shinkei_alerts.engine import Engine, Rules
from shinkei_alerts.lifecycle import Alarm
from shinkei_alerts.settings import AlertsSettings
from shinkei_alerts.telemetry import AlarmMoved
from shinkei_alerts.watchdog import Verdict, Watchdog, name_of
from shinkei_events.codec import decode
from shinkei_events.envelope import Opened
from shinkei_events.identity import Kind
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.decision import Acknowledged, Shelved
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition
from shinkei_events.model.numbered import Numbered
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_events.topics import ANOMALIES, DECISIONS, PRODUCTION
from shinkei_store import outbox
from shinkei_store.consumer import Handler
from shinkei_store.follower import Item

_RULES_EVERY_S = 10.0
_WATCH_EVERY_S = 3.0
STANDSTILL_S = 20.0
"""A delay waits this much longer for a stream that stands still. A page about it is then still handed over within 30 s (priority 1)."""

Said = AnomalyChanged | Acknowledged | Shelved


class AlarmWorker(Handler):
    """See `shinkei_store.consumer.Handler` for who calls what. ``now``: wall clock (ns), ``monotonic``: seconds."""

    topics = (PRODUCTION.name, ANOMALIES.name, DECISIONS.name)
    kinds: tuple[Kind, ...] = ("production",)

    def __init__(
        self,
        plant: PlantFile,
        now: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._settings = section(plant, "alerts", AlertsSettings)
        self._languages, self._zone = plant.site.languages, ZoneInfo(plant.site.zone)
        self._now, self._monotonic = now, monotonic
        self._source = f"alerts/{self._settings.worker}"
        self._engine: Engine | None = None
        self._inbox: list[Numbered | Said] = []
        self._taken: dict[str, int] = {}
        self._rules_at = self._loaded_at = self._watched_at = 0.0
        self._watchdog = watchdog

    # ---- the runtime's calls -----------------------------------------------------------------------------------------
    def load(
        self, conn: psycopg.Connection[Any], topic: str, partition: int, committed: dict[str, int]
    ) -> dict[str, int]:
        """Everything again from the database; nothing unsaved is there then."""
        self._inbox = []
        self._taken |= {stream: number - 1 for stream, number in committed.items()}
        self._load(conn)
        self._loaded_at = self._monotonic()
        return committed

    def _load(self, conn: psycopg.Connection[Any]) -> Engine:
        rules = self._read_rules(conn)
        self._engine = Engine(rules, self._languages, table.open_alarms(conn), table.timers(conn, rules.conditions))
        return self._engine

    def use(self, item: Item, skip: int) -> None:
        """A record of a machine: at least a sign of how far its time has come."""
        if isinstance(item.event, Numbered):
            self._inbox.append(item.event)

    def event(self, opened: Opened, topic: str, partition: int) -> None:
        """An anomaly or a decision."""
        if isinstance(opened.event, Said):
            self._inbox.append(opened.event)

    def save(self, conn: psycopg.Connection[Any]) -> None:
        """Take the inbox, then write what became of it."""
        engine = self._engine or self._load(conn)
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            if isinstance(event, MachineStateChanged):
                engine.state(event)
            elif isinstance(event, Numbered):
                engine.passed(event.machine, event.time)
            elif table.taken(conn, event.id, getattr(event, "revision", 0)):
                if isinstance(event, AnomalyChanged):
                    engine.anomaly(event)
                else:
                    engine.decision(event)
            if isinstance(event, Numbered):
                self._taken[str(event.stream)] = event.number
        self._write(conn, engine)

    def tick(self, conn: psycopg.Connection[Any]) -> bool:
        """Rules may be new; timers may be due; shelving may end. Not while something is still to be taken before."""
        engine = self._engine
        if engine is None or self._inbox:
            return False
        if self._monotonic() - self._rules_at > _RULES_EVERY_S:
            engine.rules = self._read_rules(conn)
        for machine, upto in table.horizons(
            conn, {t.effect.machine for t in engine.timers.values()}, self._taken
        ).items():
            engine.passed(machine, upto)
        if self._monotonic() - self._loaded_at > STANDSTILL_S:
            engine.overtake(self._now() - round(STANDSTILL_S * 10**9))
        engine.unshelve(self._now())
        self._watch(conn, engine)
        return self._write(conn, engine)

    def _watch(self, conn: psycopg.Connection[Any], engine: Engine) -> None:
        """Gateways that are silent, or speak again; one that nothing is expected of any more is not silent either."""
        if self._watchdog is None or self._monotonic() - self._watched_at < _WATCH_EVERY_S:
            return
        self._watched_at = self._monotonic()
        expected = table.gateways(conn)
        verdicts = self._watchdog.judge(expected, self._now(), self._watched_at)
        verdicts += [Verdict(source, False, self._now()) for source in sorted(engine.silent() - expected.keys())]
        for verdict in verdicts:
            engine.gateway(verdict, functools.partial(self._silence, verdict))

    def _silence(self, verdict: Verdict, condition: Condition) -> dict[str, str]:
        return words.of_gateway(name_of(verdict.source), condition, verdict.time, self._languages, self._zone)

    def sweep(self, conn: psycopg.Connection[Any]) -> bool:
        """Anomalies and decisions that are in their producers' outboxes and were never taken."""
        self._load(conn)  # this may be the first call after a failure: what is in memory was perhaps never committed
        missed = [event for type, body in table.untaken(conn) if isinstance(event := decode(type, body), Said)]
        if not missed:
            return False
        waiting, self._inbox = self._inbox, list(missed)
        self.save(conn)
        self._inbox = waiting
        return True

    # ---- rows --------------------------------------------------------------------------------------------------------
    def _write(self, conn: psycopg.Connection[Any], engine: Engine) -> bool:
        changes = engine.changes()
        if not changes:
            return False
        for step in changes.steps:  # a closed alarm is written before the next one of its condition
            table.write(conn, step.alarm)
            table.record(conn, step, self._source)
            alarm = step.alarm
            emit(AlarmMoved(alarm.machine, alarm.condition, step.transition, alarm.state, alarm.occurrence, alarm.id))
        for key in sorted(changes.touched):
            if key in engine.alarms:
                table.write(conn, engine.alarms[key])
                self._page(conn, engine.alarms[key], engine.rules)
        table.keep_timers(conn, {name: engine.timers.get(name) for name in sorted(changes.timers)})
        if changes.steps:
            outbox.wake(conn, "alerts")
            conn.execute("select pg_notify('shinkei_delivery', '')")
        return True

    def _page(self, conn: psycopg.Connection[Any], alarm: Alarm, rules: Rules) -> None:
        """What is active and unseen now is paged, once an occurrence; what came late and is over is only on record."""
        if alarm.state != "ACTIVE_UNACK" or alarm.shelved_until is not None:
            return
        now = self._now()
        late = now - (alarm.active_since or alarm.since) > words.LATE_NS
        for target in self._settings.targets:
            if alarm.priority in target.priorities:
                language = target.language or self._languages[0]
                title, body = words.page(alarm, rules.conditions.get(alarm.condition), language, now, self._zone)
                table.put_page(conn, alarm, target.name, title, body, late=late)

    def _read_rules(self, conn: psycopg.Connection[Any]) -> Rules:
        self._rules_at = self._monotonic()
        return table.rules(conn)
