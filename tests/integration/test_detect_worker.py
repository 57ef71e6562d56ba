"""The detector on a real database: rows, outbox and snapshots in one transaction; killed, fed again, upgraded, it says the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shinkei_cli.main import main
from shinkei_detect.replay import replay
from shinkei_detect.rows import first_recorded, open_anomalies, read_snapshot, revisions
from shinkei_detect.settings import DetectSettings
from shinkei_detect.worker import DetectHandler
from shinkei_events.codec import decode
from shinkei_events.model.frame import Frame
from shinkei_events.registry import FRAME
from shinkei_events.topics import SIGNALS, partition_of
from shinkei_store.follower import Follower
from shinkei_store.position import set_watermarks, watermarks
from shinkei_store.record import read_items
from shinkei_store.recorder import Accepted
from shinkei_store.writer import Writer
from tests.support.lineage import part, schema
from tests.support.signal_frames import STREAM, Machine, recut, shift

SETTINGS = DetectSettings(warm_up=60, settle=20, calm=12)
PARTITION = partition_of(STREAM.machine)
NAME = str(STREAM)
UNITS = {(STREAM.machine, "torque"): "N·m"}


class House:
    """A detector without a log: the recorder's tables hold the frames, and this follows them as the runtime does."""

    def __init__(self, dsn: str) -> None:
        self.conn, self.recorder = part(dsn, "detect"), part(dsn, "store")
        self.recorder.execute("insert into recorder values ('recorder') on conflict do nothing")
        self.recorder.commit()
        self.begin()

    def record(self, frames: list[Frame]) -> None:
        writer = Writer(self.recorder)
        writer.write([Accepted(STREAM, FRAME.ce_type, "gateway/t/0", frame, None) for frame in frames])
        writer.finish()
        self.recorder.commit()

    def begin(self, settings: DetectSettings = SETTINGS) -> None:
        """As after a start, or a kill -9: what was not committed is gone."""
        self.conn.rollback()
        self.handler = DetectHandler(settings, "detect/t", UNITS)
        committed = watermarks(self.conn, "detect", SIGNALS.name, PARTITION, ("signals",))
        self.follower = Follower(self.handler.load(self.conn, SIGNALS.name, PARTITION, committed))
        self.conn.commit()

    def use(self, rows: int = 10**9) -> bool:
        """Read up to ``rows`` recorded frames on; False when there are no more."""
        for name, number in self.follower.behind().items():
            items = read_items(self.conn, name, number, rows)
            for use in self.follower.recorded(name, items, end=False):
                self.handler.use(use.item, use.skip)
            return bool(items)
        return False

    def save(self, commit: bool = True) -> None:
        self.handler.save(self.conn)
        set_watermarks(self.conn, "detect", self.follower.watermarks())
        if commit:
            self.conn.commit()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        found = self.conn.execute(sql.encode()).fetchall()
        self.conn.rollback()
        return found

    def stored(self) -> list[tuple[str, int, str]]:
        found = [(event.id, event.revision, event.phase) for event in revisions(self.conn, NAME)]
        self.conn.rollback()
        return sorted(found)


def story() -> list[Frame]:
    machine = Machine().run(150)
    for _ in range(3):
        machine.run(60, shift(torque=9.0)).run(80).gap(20).run(40, shift(coolant=9.0)).run(90)
    return machine.run(40, shift(torque=9.0)).frames


def expected(frames: list[Frame], settings: DetectSettings = SETTINGS) -> list[tuple[str, int, str]]:
    return sorted((event.id, event.revision, event.phase) for event in replay(frames, settings))


@pytest.fixture
def house(embedded_postgres: str) -> Iterator[House]:
    made = House(schema(embedded_postgres))
    yield made
    made.conn.close()
    made.recorder.close()


@pytest.fixture
def frames() -> list[Frame]:
    return recut(story(), random.Random(5))


def test_what_is_said_is_stored_and_put_out_once(house: House, frames: list[Frame]) -> None:
    house.record(frames)
    house.begin()
    house.use()
    house.save()
    said = house.stored()
    assert said == expected(frames)
    assert house.rows("select id from outbox where part = 'detect' order by id") == sorted(
        (f"{one}/{revision}",) for one, revision, _ in said
    )
    [current] = house.rows(
        "select count(*) from anomaly a join anomaly_event e using (id, revision) where a.body = e.body"
    )
    assert current == (len({one for one, _, _ in said}),)
    body, topic, key = house.rows("select body, topic, key from outbox where part = 'detect' order by number limit 1")[
        0
    ]
    event = decode("shinkei.anomaly.v1", bytes(body))
    assert (topic, key, event.phase, event.signals[0].unit) == ("shinkei.anomalies.v1", "OP20", "opened", "N·m")


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_says_nothing_else(
    house: House, frames: list[Frame], seed: int, rng: random.Random
) -> None:
    house.record(frames)
    house.begin()
    kills, more = 6, True
    while more:
        more = house.use(rng.randrange(1, 60))
        match rng.randrange(4):
            case 0 if kills:
                kills -= 1
                house.begin()
                more = True
            case 1 if kills:
                kills -= 1
                house.save(commit=False)
                house.begin()
                more = True
            case 2 | 3:
                house.save()
    house.save()
    assert house.stored() == expected(frames)
    assert house.rows("select count(*) from outbox where part = 'detect'") == [(len(expected(frames)),)]


def test_it_goes_on_from_its_snapshot(house: House, frames: list[Frame]) -> None:
    house.record(frames[:100])
    house.begin()
    house.use()
    house.save()
    snapshot = read_snapshot(house.conn, NAME)
    assert snapshot is not None
    assert snapshot.header.next_number == frames[99].end
    house.begin()
    assert house.follower.watermarks() == {NAME: frames[99].end}
    house.record(frames[100:])
    house.begin()
    house.use()
    house.save()
    assert house.stored() == expected(frames)


def test_another_version_learns_again_and_what_the_old_one_left_open_is_closed(house: House) -> None:
    old = Machine().run(150).run(60, shift(torque=3.0))
    house.record(old.frames)
    house.begin(msgspec.structs.replace(SETTINGS, on=2.6, off=1.5))
    house.use()
    house.save()
    [left] = open_anomalies(house.conn, NAME)
    house.conn.rollback()
    said = len(house.stored())

    deaf = msgspec.structs.replace(SETTINGS, on=90.0, off=2.0, joint_on=90.0)
    house.begin(deaf)
    assert house.follower.watermarks() == {NAME: 1}
    house.use()
    house.save()
    [(phase, revision)] = house.rows(f"select phase, revision from anomaly where id = '{left.id}'")
    assert (phase, revision) == ("closed", left.revision + 1)
    assert len(house.stored()) == said + 1


def test_a_record_that_no_longer_begins_at_one_is_learned_from_where_it_begins(
    house: House, frames: list[Frame]
) -> None:
    house.record(frames[40:])
    assert first_recorded(house.conn, NAME) == frames[40].first
    house.begin()
    assert house.follower.watermarks() == {NAME: frames[40].first}
    house.use()
    house.save()
    assert house.stored() == expected(frames[40:])


def test_a_snapshot_is_taken_at_most_as_often_as_configured(house: House, frames: list[Frame]) -> None:
    house.record(frames)
    house.begin(msgspec.structs.replace(SETTINGS))
    made = set()
    while house.use(5):
        house.save()
        made.add(house.rows("select next_number from model_snapshot")[0])
    assert 3 < len(made) <= len(story()) / 30 + 2


def test_verify_says_whether_the_record_still_says_it(
    house: House, frames: list[Frame], embedded_postgres: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plant.toml"
    file.write_text(
        f'[site]\nid = "t"\n[store]\ndsn = "{embedded_postgres}"\n[detect]\nwarm_up = 60\nsettle = 20\ncalm = 12\n'
    )
    house.record(frames)
    house.begin()
    house.use()
    house.save()
    words = ["detect", "verify", "--config", str(file), "--format", "json"]
    assert main(words) == 0
    [result] = msgspec.json.decode(capsys.readouterr().out)
    assert (result["same"], result["missing"], result["other"]) == (len(expected(frames)), 0, 0)
    house.conn.execute("delete from anomaly_event where revision = 1")
    house.conn.commit()
    assert main(words) == 1
    capsys.readouterr()
    assert main(["detect", "list", "--all", "--config", str(file), "--format", "csv"]) == 0
    assert "torque" in capsys.readouterr().out
    assert main(["detect", "list", "--machine", "no-such", "--config", str(file)]) == 2
    assert "no machine on record: there " in capsys.readouterr().err


def test_the_rights_of_the_part_are_enough_and_no_more(house: House) -> None:
    import psycopg

    tries: list[Callable[[], Any]] = [
        lambda: house.conn.execute("insert into frame values (1, 1, 1, 1, 1, now(), 0, '')"),
        lambda: house.conn.execute("delete from event_raw"),
    ]
    for one in tries:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one()
        house.conn.rollback()
