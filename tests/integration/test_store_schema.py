"""The schema on real servers, the embedded one and the oldest that is supported: history, roles, partitions, plans."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile
from shinkei_store import pool
from shinkei_store.errors import EditedMigration
from shinkei_store.migrate import Migration, migrate, released
from shinkei_store.run import prepare
from tests.support.store import T0, Databases, S, add_stream, migrated, one, owner_of, site_on

SERVERS = ["embedded_server", pytest.param("postgres_server", marks=pytest.mark.needs("postgres"))]
SHARED = {"watermark", "fence", "refused", "outbox"}
NOW = datetime.fromtimestamp(T0 / S, UTC)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Databases:
    found: Databases = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def dsn(server: Databases) -> str:
    """A database with the schema."""
    return migrated(server)


@pytest.fixture
def owner(dsn: str) -> Iterator[Connection[Any]]:
    with owner_of(dsn) as conn:
        yield conn


@pytest.fixture
def site(tmp_path: Path, dsn: str, owner: Connection[Any]) -> PlantFile:
    return site_on(tmp_path, dsn)


# ---- history -----------------------------------------------------------------------------------------------------------
def test_migrating_twice_does_nothing_and_an_edited_file_is_refused(owner: Connection[Any]) -> None:
    assert migrate(owner) == []
    known = released()
    known[2] = Migration(known[2].number, known[2].name, known[2].text + "\n-- edited")
    with pytest.raises(EditedMigration, match=known[2].name):
        migrate(owner, known)


def test_several_processes_may_migrate_at_once(server: Databases) -> None:
    dsn = server.new_database()

    def run(_: int) -> list[str]:
        with psycopg.connect(dsn) as conn:
            return migrate(conn)

    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(run, range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, len(released())]


def test_a_file_that_fails_leaves_nothing_and_the_earlier_ones_stay(owner: Connection[Any]) -> None:
    last = released()[-1].number
    good = Migration(last + 1, "good.sql", "create table good (n int)")
    bad = Migration(last + 2, "bad.sql", "create table half (n int); select 1 / 0")
    with pytest.raises(errors.DivisionByZero):
        migrate(owner, [*released(), good, bad])
    assert one(owner, "select to_regclass('good') is not null and to_regclass('half') is null")
    assert migrate(owner, [*released(), good]) == []


def test_a_marked_file_runs_outside_a_transaction(owner: Connection[Any]) -> None:
    entry = Migration(
        released()[-1].number + 1,
        "i.sql",
        "-- no transaction\ncreate index concurrently by_machine on signal (machine)",
    )
    assert migrate(owner, [*released(), entry]) == ["i.sql"]
    assert one(owner, "select to_regclass('by_machine') is not null")


# ---- roles -------------------------------------------------------------------------------------------------------------
def test_each_part_works_under_its_own_role(site: PlantFile) -> None:
    for part in pool.PARTS:
        with pool.connect(site, part) as conn:
            assert one(conn, "select current_user") == f"shinkei_{part}"
            assert one(conn, "select current_part()") == part


def test_every_table_has_one_writer(owner: Connection[Any]) -> None:
    rows = owner.execute(
        """select t.tablename, array_agg(p.part order by p.part) from pg_tables t, unnest(%s::text[]) p(part)
           where t.schemaname = 'shinkei' and has_table_privilege('shinkei_' || p.part, format('shinkei.%%I', t.tablename), 'insert, update, delete, truncate')
           group by 1""",
        [list(pool.PARTS)],
    ).fetchall()
    writers = dict(rows)
    assert set(writers) >= SHARED | {"frame", "event_raw", "edge", "anomaly", "alarm", "session"}
    assert {table: parts for table, parts in writers.items() if len(parts) > 1 and table not in SHARED} == {}
    assert {tuple(writers[table]) for table in ("frame", "edge", "anomaly", "alarm", "session")} == {
        ("store",),
        ("trace",),
        ("detect",),
        ("alerts",),
        ("ui",),
    }


@pytest.mark.parametrize(
    ("part", "statement"),
    [
        (
            "detect",
            "insert into alarm (id, dedup_key, condition, machine, priority, state, since) values ('a', 'a', 'c', 'M', 'P1', 'ACTIVE_UNACK', 0)",
        ),
        ("alerts", "delete from anomaly"),
        ("trace", "update frame set n = 0"),
        (
            "ui",
            "insert into edge (src, dst, t_from, ev, kind, rec_from) values (1, 2, 0, gen_random_uuid(), 'packed', 1)",
        ),
        ("store", "update event_raw set body = ''"),
        ("store", "delete from event_raw"),
        ("store", "create table mine (n int)"),
        ("detect", "select * from person"),
        ("alerts", "select * from session"),
        ("detect", "select ensure_partitions(now())"),
        ("detect", "select drop_older('frame', now())"),
    ],
)
def test_a_part_is_refused_what_is_not_its_own(site: PlantFile, part: str, statement: str) -> None:
    with pool.connect(site, part) as conn, pytest.raises(errors.InsufficientPrivilege):
        conn.execute(statement)


def test_rows_of_shared_tables_belong_to_their_part(site: PlantFile) -> None:
    add = "insert into outbox (part, id, topic, key, type, source, headers, body) values (%s, 'x', 't', 'k', 'y', 's', '[]', '')"
    with (
        pool.connect(site, "detect", autocommit=True) as detect,
        pool.connect(site, "alerts", autocommit=True) as alerts,
    ):
        detect.execute(add, ["detect"])
        detect.execute("insert into watermark (consumer, stream, next_number) values ('detect', 's', 5)")
        with pytest.raises(errors.InsufficientPrivilege):
            alerts.execute(add, ["detect"])
        assert one(alerts, "select count(*) from outbox") == 1, "a sweep reads a producer's outbox"
        for statement in (
            "update outbox set sent_at = now()",
            "delete from outbox",
            "update watermark set next_number = 1",
        ):
            assert alerts.execute(statement).rowcount == 0
        with pytest.raises(errors.InsufficientPrivilege):
            alerts.execute(
                "insert into watermark values ('detect', 's', 1, 'alerts') on conflict (consumer, stream) do update set next_number = 1"
            )
        assert one(detect, "select next_number from watermark") == 5
        assert detect.execute("update outbox set sent_at = now()").rowcount == 1


def test_a_login_that_may_not_take_the_role_works_with_its_own_rights(
    site: PlantFile, owner: Connection[Any], dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    login = f"visitor_{uuid.uuid4().hex[:8]}"
    owner.execute(f"create role {login} login password 'visit'")
    owner.execute(f"grant usage on schema shinkei to {login}")
    plain = psycopg.conninfo.make_conninfo(dsn, user=login, password="visit")
    for _ in range(2):
        with caplog.at_level("WARNING", "shinkei"), pool.connect(site_on(site.path.parent, plain), "detect") as conn:
            assert one(conn, "select current_user") == login
    assert caplog.text.count(f"GRANT shinkei_detect TO {login}") == 1, "said once"


def test_without_a_schema_or_a_server_it_is_not_connected(tmp_path: Path, server: Databases) -> None:
    dsn = server.new_database()
    with pytest.raises(NotConnected, match="shinkei store migrate"):
        pool.connect(site_on(tmp_path, dsn), "store")
    with pytest.raises(NotConnected, match="database"):
        pool.connect(site_on(tmp_path, "host=127.0.0.1 port=1 dbname=x"), "store")
    with pytest.raises(ValueError, match="store, trace"):
        pool.connect(site_on(tmp_path, dsn), "nobody")


def test_the_store_prepares_a_database_that_is_only_an_address(server: Databases, tmp_path: Path) -> None:
    site = site_on(tmp_path, server.new_database())
    assert len(prepare(site)) == len(released())
    assert prepare(site) == []
    with pool.connect(site, "ui") as conn:
        assert one(conn, "select name from recorder") == "recorder"
        assert one(conn, "select count(*) from pg_inherits where inhparent = 'frame'::regclass") >= 4


def test_readers_read_only_and_not_for_ever(site: PlantFile) -> None:
    with pool.reader_pool(site, "ui", max_size=2) as readers, readers.connection() as conn:
        assert one(conn, "select current_user") == "shinkei_ui"
        assert one(conn, "show statement_timeout") == "15s"
        with pytest.raises(errors.ReadOnlySqlTransaction):
            conn.execute("insert into note values ('n', 's', 'a', 1, 't')")


# ---- series ------------------------------------------------------------------------------------------------------------
def parts_of(conn: Connection[Any], series: str) -> dict[str, int]:
    rows = conn.execute(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = %s::regclass",
        [series],
    ).fetchall()
    return {name: one(conn, f"select count(*) from {name}") for (name,) in rows}


def add_reading(conn: Connection[Any], at: datetime) -> None:
    conn.execute(
        "insert into reading (signal_id, ts, status, stream_id, number, t_ns, value) values (1, %s, 0, 1, 1, 0, 1.5)",
        [at],
    )


def test_partitions_are_made_ahead_once_by_the_store(owner: Connection[Any], site: PlantFile) -> None:
    with pool.connect(site, "store") as conn:
        made = one(conn, "select ensure_partitions(%s, %s)", NOW + timedelta(days=9), NOW)
        assert made >= 10 + 2
        assert one(conn, "select ensure_partitions(%s, %s)", NOW + timedelta(days=9), NOW) == 0
        add_reading(conn, NOW + timedelta(days=8))
    found = parts_of(owner, "reading")
    assert found.pop("reading_rest") == 0
    assert sum(found.values()) == 1


def test_rows_that_came_before_their_partition_move_into_it(owner: Connection[Any]) -> None:
    for day in range(10):
        add_reading(owner, NOW + timedelta(days=day))
    assert parts_of(owner, "reading") == {"reading_rest": 10}
    one(owner, "select ensure_partitions(%s, %s)", NOW + timedelta(days=30), NOW - timedelta(days=7))
    found = parts_of(owner, "reading")
    assert found.pop("reading_rest") == 0
    assert sum(found.values()) == 10
    assert one(owner, "select count(*) from reading") == 10
    assert one(owner, "explain select * from reading where signal_id = 1 and ts >= %s", NOW).startswith(
        ("Append", "Index", "Bitmap", "Seq")
    )


def test_old_partitions_are_dropped_whole_and_younger_ones_stay(owner: Connection[Any]) -> None:
    one(owner, "select ensure_partitions(%s, %s)", NOW + timedelta(days=30), NOW)
    for day in range(25):
        add_reading(owner, NOW + timedelta(days=day))
    add_reading(owner, NOW - timedelta(days=400))
    cut = NOW + timedelta(days=15)
    with owner.transaction():
        owner.execute("set local role shinkei_store")
        gone = one(owner, "select drop_older('reading', %s)", cut)
    assert gone == 2
    oldest = one(owner, "select min(ts) from reading")
    assert cut - timedelta(days=7) <= oldest <= cut
    with pytest.raises(errors.RaiseException, match="not a series"):
        owner.execute("select drop_older('event_raw', now())")


def test_an_implausible_span_makes_no_partitions(owner: Connection[Any]) -> None:
    with pytest.raises(errors.RaiseException, match="not plausible"):
        owner.execute("select ensure_partitions('2026-01-01', '1970-01-01')")


# ---- time, plans -------------------------------------------------------------------------------------------------------
def test_nanoseconds_and_timestamps_agree_to_the_microsecond(owner: Connection[Any], rng: random.Random) -> None:
    times = [rng.randrange(10**18, 4 * 10**18) for _ in range(2000)]
    rows = owner.execute("select n, to_ns(to_ts(n)) from unnest(%s::bigint[]) n", [times]).fetchall()
    assert [(n, back) for n, back in rows if back != n // 1000 * 1000] == []


def test_a_trace_is_planned_for_few_edges(owner: Connection[Any]) -> None:
    """PostgreSQL guesses too few distinct units from its sample: a trace then takes 1 000 times as long."""
    owner.execute(
        """insert into edge (src, dst, t_from, ev, kind, rec_from)
           select n, 1000000 + n / 400, n, gen_random_uuid(), 'consumed', n from generate_series(1, 60000) n"""
    )
    owner.execute("analyze edge")
    found = dict(
        owner.execute(
            "select attname, n_distinct from pg_stats where tablename = 'edge' and attname in ('src', 'dst')"
        ).fetchall()
    )
    assert {name: round(value, 2) for name, value in found.items()} == {"src": -0.45, "dst": -0.45}
    for column in ("src", "dst"):
        plan = one(owner, f"explain (format json) select src, dst from edge where {column} = any('{{5,7}}')")[0]["Plan"]
        assert plan["Plan Rows"] < 1000
        assert f"edge_{column}" in str(plan)


def test_event_numbers_are_contiguous_in_commit_order(owner: Connection[Any], site: PlantFile) -> None:
    stream = add_stream(owner, "OP10")
    take = "update event_raw_end set number = number + 1 returning number"
    with pool.connect(site, "store") as first, pool.connect(site, "store", autocommit=True) as second:
        assert one(first, take) == 1
        second.execute("set lock_timeout = '100ms'")
        with pytest.raises(errors.LockNotAvailable):
            second.execute(take)
        first.rollback()
        assert one(second, take) == 1, "what was rolled back leaves no hole"
    assert stream == 1
