"""Alarms on a real database: one open alarm a condition, nothing twice after a kill, pages with their alarm, delivery at least once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from shinkei_alerts import deliver
from shinkei_alerts.deliver import Deliverer
from shinkei_alerts.watchdog import Watchdog
from shinkei_alerts.worker import AlarmWorker
from shinkei_cli.main import main
from shinkei_events.envelope import Opened
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.decision import Acknowledged
from shinkei_events.model.numbered import Numbered
from shinkei_events.settings import PlantFile, load_plant
from shinkei_events.topics import ANOMALIES, PRODUCTION
from shinkei_store import outbox
from shinkei_store.consumer import item_of
from tests.support.alarms import EPOCH, FAULT, SENSOR, SILENT, T0, UNUSUAL, S, anomaly, seen, state
from tests.support.lineage import part, schema


class House:
    """An alarm worker without a log: what it is told, and what it wrote."""

    def __init__(self, plant: PlantFile, now: int = T0 + 30 * S) -> None:
        self.plant, self.now, self.clock = plant, now, 0.0
        self.conn = part(str(plant.store.dsn), "alerts")
        self.begin()

    def begin(self) -> None:
        """A worker as after a start: everything from the database."""
        self.conn.rollback()
        self.worker = AlarmWorker(self.plant, lambda: self.now, lambda: self.clock)
        self.worker.load(self.conn, PRODUCTION.name, 0, {})
        self.conn.commit()

    def tell(self, *events: Any, commit: bool = True) -> None:
        for event in events:
            if isinstance(event, Numbered):
                self.worker.use(item_of("shinkei.machine_state.v1", event), 0)
            else:
                self.worker.event(Opened(event.id, "x", "y", event), ANOMALIES.name, 0)
        self.worker.save(self.conn)
        if commit:
            self.conn.commit()

    def tick(self) -> None:
        self.worker.tick(self.conn)
        self.conn.commit()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        found = self.conn.execute(sql.encode()).fetchall()
        self.conn.commit()
        return found

    @property
    def transitions(self) -> list[str]:
        return [row[0] for row in self.rows("select transition from alarm_event order by time, revision")]

    @property
    def pages(self) -> list[tuple[Any, ...]]:
        return self.rows("select target, state, occurrence from delivery order by target, occurrence")


@pytest.fixture
def plant(embedded_postgres: str, tmp_path: Path) -> PlantFile:
    schema(embedded_postgres)
    file = tmp_path / "plant.toml"
    file.write_text(
        f'[site]\nid = "t"\nlanguages = ["en"]\n[store]\ndsn = "{embedded_postgres}"\n[alerts]\n'
        'targets = [{ name = "file", url = "file:pages.jsonl" }, { name = "sms", url = "file:pages.jsonl/no", priorities = ["P1"] }]\n'
    )
    with part(embedded_postgres, "store") as conn:
        for condition in (FAULT, UNUSUAL, SENSOR, SILENT):
            body = Jsonb(msgspec.to_builtins(condition))
            conn.execute("insert into master_data values ('condition', %s, 1, 0, false, %s)", (condition.name, body))
        conn.execute("""insert into master_data values ('machine', 'M1', 1, 0, false, '{"path": "s/a/line1/M1"}')""")
    return load_plant(file)


@pytest.fixture
def house(plant: PlantFile) -> Iterator[House]:
    made = House(plant)
    yield made
    made.conn.close()


def test_an_anomaly_is_an_alarm_an_event_and_a_page_in_one_transaction(house: House) -> None:
    house.tell(anomaly("opened", 0), commit=False)
    house.conn.rollback()  # killed before the commit
    assert house.rows("select count(*) from alarm") == [(0,)]
    house.begin()
    house.tell(anomaly("opened", 0))
    house.begin()
    house.tell(anomaly("opened", 0), anomaly("updated", 5, revision=2))  # the log says it again after a kill
    assert house.transitions == ["raised"]
    assert house.rows("select state, occurrence, line from alarm") == [("ACTIVE_UNACK", 1, "s/a/line1")]
    assert house.rows("select topic, key from outbox where part = 'alerts'") == [("shinkei.alerts.v1", "M1")]
    assert house.pages == [("file", "due", 1)]
    assert house.rows("select kind, id from alarm_cause") == [("anomaly", "a1")]


def test_one_open_alarm_a_condition_and_a_new_one_when_it_was_closed(house: House) -> None:
    house.tell(anomaly("opened", 0), anomaly("opened", 2, id="a2", began=2))
    (id,) = house.rows("select id from alarm")[0]
    house.tell(
        seen(id, 1, 5),
        anomaly("closed", 8, revision=2),
        anomaly("closed", 9, id="a2", revision=2),
        anomaly("opened", 20, id="a3", began=20),
    )
    assert house.transitions == ["raised", "acknowledged", "returned", "closed", "raised"]
    assert house.rows("select count(*), count(*) filter (where closed_at is null) from alarm") == [(2, 1)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        house.rows(
            "insert into alarm (id, dedup_key, condition, machine, priority, state, since) select 'x', dedup_key, '', '', '', '', 0 from alarm where closed_at is null"
        )
    house.conn.rollback()


def test_a_timer_survives_a_restart_and_is_moved_by_the_machines_own_record(house: House, plant: PlantFile) -> None:
    fault = state("ABORTED", 10, number=7)
    house.tell(fault)
    house.begin()
    house.worker.load(house.conn, PRODUCTION.name, 0, {f"{EPOCH}/M1/production": 8})
    house.tick()
    assert house.transitions == []
    frame(plant, until=T0 + 17 * S, production=8)  # another event is on its way
    house.tick()
    assert house.transitions == []
    frame(plant, until=T0 + 17 * S, production=7)
    house.tick()
    assert house.transitions == ["raised"]
    assert house.rows("select since, active_since from alarm") == [(T0 + 10 * S, T0 + 10 * S)]
    assert house.rows("select count(*) from alert_timer") == [(0,)]


def test_a_stream_that_stands_still_is_not_waited_for_for_ever(house: House) -> None:
    house.now = T0 + 3600 * S
    house.tell(state("ABORTED", 10))
    house.clock = 19.0  # it may be catching up after its start
    house.tick()
    assert house.transitions == []
    house.clock = 21.0
    house.tick()
    assert house.transitions == ["raised"]


def test_what_is_over_when_it_comes_is_recorded_and_not_paged(house: House) -> None:
    house.now = T0 + 3600 * S
    house.tell(state("ABORTED", 10), state("EXECUTE", 100), state("EXECUTE", 400))
    assert house.transitions == ["raised", "returned"]
    assert house.pages == []


def test_what_comes_late_waits_and_is_paged_only_if_it_still_holds(house: House, plant: PlantFile) -> None:
    house.now = T0 + 600 * S
    house.tell(anomaly("opened", 0), anomaly("opened", 1, machine="M2", id="m2"))
    sender = Deliverer(plant)
    assert sender.one(house.conn) is False, "late pages are due a little later"
    house.tell(anomaly("closed", 50, revision=2))
    house.rows("update delivery set due_at = now() returning page")
    while sender.one(house.conn):
        pass
    assert sorted(row[1] for row in house.pages) == ["cancelled", "sent"]
    assert "10 min ago" in (plant.dir / "pages.jsonl").read_text()


def test_pages_go_to_every_target_and_back_off_where_they_are_not_taken(
    house: House, plant: PlantFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[tuple[float, float]] = []
    # The first pause may be half a second: on a slow machine it would be over before anybody looks.

    def pause(least: float, most: float) -> float:
        pauses.append((least, most))
        return 600.0

    monkeypatch.setattr(deliver.random, "uniform", pause)
    house.tell(state("ABORTED", 0), state("ABORTED", 9, reason="x"))
    house.now = T0 + 20 * S
    sender = Deliverer(plant)
    while sender.one(house.conn):
        pass
    assert house.pages == [("file", "sent", 1), ("sms", "due", 1)]
    assert house.rows("select attempts, last_error is not null, due_at > now() from delivery where target = 'sms'") == [
        (1, True, True)
    ]
    assert pauses == [(0.5, 2.0)]
    (line,) = (plant.dir / "pages.jsonl").read_text().splitlines()
    assert json.loads(line)["title"] == "P1 M1 aborted"


def test_nobody_is_paged_about_what_somebody_has_seen(house: House, plant: PlantFile) -> None:
    house.tell(anomaly("opened", 0))
    (id,) = house.rows("select id from alarm")[0]
    house.tell(seen(id, 1, 5))
    Deliverer(plant).one(house.conn)
    assert house.pages == [("file", "cancelled", 1)]
    assert not (plant.dir / "pages.jsonl").exists()


def test_what_the_log_lost_is_found_in_the_outboxes(house: House, plant: PlantFile) -> None:
    with part(str(plant.store.dsn), "detect") as conn:
        for event in (
            anomaly("opened", 0),
            anomaly("updated", 3, revision=2),
            anomaly("opened", 4, id="a2", machine="M2", began=4),
        ):
            outbox.put(conn, "detect", event, source="detect/1", id=f"{event.id}/{event.revision}")
    assert house.worker.sweep(house.conn)
    house.conn.commit()
    assert house.transitions == ["raised", "raised"]
    alarm, machine = house.rows("select id, machine from alarm order by machine")[0]
    with part(str(plant.store.dsn), "ui") as conn:
        made = outbox.decide(conn, "t", "ui", msgspec.structs.replace(seen(alarm, 1, 9), id=""), source="ui/t")
    assert house.worker.sweep(house.conn)
    house.conn.commit()
    assert house.rows("select state, acknowledged_by from alarm where machine = 'M1'") == [("ACTIVE_ACK", "p-1")]
    assert not house.worker.sweep(house.conn)
    house.tell(made)  # and once more from the log
    assert house.transitions.count("acknowledged") == 1
    assert machine == "M1"


def test_list_ack_and_test_as_they_are_typed(
    house: House, plant: PlantFile, capsys: pytest.CaptureFixture[str]
) -> None:
    house.tell(anomaly("opened", 0))
    assert main(["alerts", "list", "--config", str(plant.path), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["priority"], row["state"], row["machine"], row["pages"]) == ("P2", "ACTIVE_UNACK", "M1", "file due")
    assert main(["alerts", "ack", "nothing", "--config", str(plant.path)]) == 1
    assert main(["alerts", "test", "--target", "file", "--config", str(plant.path)]) == 0
    assert main(["alerts", "test", "--config", str(plant.path)]) == 1, "one target does not take it"
    assert (plant.dir / "pages.jsonl").read_text().count("Test page") == 2


def test_ack_waits_for_the_alarm_part(house: House, plant: PlantFile) -> None:
    import threading

    house.tell(anomaly("opened", 0))
    (id,) = house.rows("select id from alarm")[0]
    codes: list[int] = []
    typed = threading.Thread(
        target=lambda: codes.append(main(["alerts", "ack", id[:8], "--comment", "seen", "--config", str(plant.path)]))
    )
    typed.start()
    while typed.is_alive():
        if house.worker.sweep(house.conn):
            house.conn.commit()
        house.conn.rollback()
        typed.join(0.05)
    assert codes == [0]
    assert house.rows("select actor is not null, comment from alarm_event where transition = 'acknowledged'") == [
        (True, "seen")
    ]
    (body,) = house.rows("select convert_from(body, 'UTF8') from outbox where topic like '%decisions%'")[0]
    decision = msgspec.json.decode(body, type=Acknowledged)
    assert decision.actor.proof == "cli"
    assert decision.actor.id.startswith("p-")


def frame(plant: PlantFile, until: int, production: int) -> None:
    """A recorded frame of M1 that ends at ``until`` and follows production number ``production``."""
    with part(str(plant.store.dsn), "store") as conn:
        row = conn.execute(
            """insert into stream (epoch, machine, kind, source) values (%s, 'M1', 'signals', 'gateway/g/0')
               on conflict (epoch, machine, kind) do update set source = excluded.source returning id""", (EPOCH,)
        ).fetchone()  # fmt: skip
        assert row is not None
        conn.execute("delete from frame")
        sql = "insert into frame (stream_id, first, n, t0, t1, received, production, body) values (%s, 1, 1, %s, %s, now(), %s, '')"
        conn.execute(sql, (row[0], until, until, production))


def test_the_last_revision_in_an_outbox_stands_for_those_before(house: House, plant: PlantFile) -> None:
    events: list[AnomalyChanged] = [anomaly("opened", 0), anomaly("closed", 9, revision=2)]
    with part(str(plant.store.dsn), "detect") as conn:
        for event in events:
            outbox.put(conn, "detect", event, source="detect/1", id=f"{event.id}/{event.revision}")
    assert house.worker.sweep(house.conn)
    house.conn.commit()
    assert house.transitions == ["raised", "returned"]


def test_a_lost_gateway_is_one_alarm_for_its_machines(house: House, plant: PlantFile) -> None:
    old, new = EPOCH, "018bcfe5-6800-7002-ab54-a98ceb1f0ad3"
    streams = [
        (1, old, "M1", "gateway/left/0", "machine_state"),
        (2, new, "M1", "gateway/gw-01/0", "machine_state"),
        (3, new, "M2", "gateway/gw-01/0", "machine_state"),
        (4, new, "M3", "gateway/ended/0", "stream_closed"),
    ]
    with part(str(plant.store.dsn), "store") as conn:
        for number, epoch, machine, source, last in streams:
            conn.execute(
                "insert into stream (id, epoch, machine, kind, source) overriding system value values (%s, %s, %s, 'production', %s)",
                (number, epoch, machine, source),
            )
            for at, type in enumerate(("stream_started", last), 1):
                conn.execute(
                    "insert into event_raw (number, recorded, stream_id, stream_number, type, machine, time, body)"
                    " values (%s, to_ts(%s), %s, %s, %s, %s, 0, '')",
                    (number * 10 + at, T0, number, at, f"shinkei.{type}.v1", machine),
                )
    watchdog = Watchdog(30.0)
    watchdog.knows("gateway/gw-01/0", T0)
    watchdog.knows("gateway/left/0", T0)
    watchdog.knows("gateway/ended/0", T0)
    house.worker = AlarmWorker(plant, lambda: house.now, lambda: house.clock, watchdog)
    house.worker.load(house.conn, PRODUCTION.name, 0, {})
    for at in range(0, 40, 2):
        house.clock = at
        watchdog.looks(at)
        house.tick()
    assert house.rows("select machine, priority, state, active_since from alarm") == [
        ("gw-01", "P1", "ACTIVE_UNACK", T0)
    ]
    assert house.pages == [("file", "due", 1), ("sms", "due", 1)]
    watchdog.hears("gateway/gw-01/0", T0 + 50 * S, 39)
    house.clock = 42
    house.tick()
    assert house.transitions == ["raised", "returned"]
