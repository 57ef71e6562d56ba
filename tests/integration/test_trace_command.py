"""``shinkei trace`` as it is typed, and the projector's process against a real database."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shinkei_cli.main import main
from shinkei_events.settings import PlantFile, load_plant
from shinkei_trace import run as projector
from tests.support.lineage import box, lot, operation, part, record, schema, serial
from tests.support.waiting import eventually

PUMP = (
    operation("assemble", 10, [serial("H1", "HSG"), lot("BRG", item="BEARING")], [serial("P1", "EP-60")]),
    operation("pack", 20, [serial("P1", "EP-60")], [box("BOX")]),
)


@pytest.fixture
def plant(embedded_postgres: str, tmp_path: Path) -> PlantFile:
    schema(embedded_postgres)
    file = tmp_path / "plant.toml"
    file.write_text(f'[site]\nid = "t"\n[store]\ndsn = "{embedded_postgres}"\n')
    return load_plant(file)


def shinkei(plant: PlantFile, *words: str) -> int:
    return main(["trace", *words, "--config", str(plant.path)])


def test_backward_forward_history_and_rebuild(plant: PlantFile, capsys: pytest.CaptureFixture[str]) -> None:
    with part(str(plant.store.dsn), "store") as conn:
        record(conn, list(PUMP))
    assert shinkei(plant, "rebuild", "--format", "json") == 0
    assert all(row["same"] for row in json.loads(capsys.readouterr().out))
    assert shinkei(plant, "backward", "BOX", "--format", "json") == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [row["unit"] for row in rows] == ["BOX", "P1", "BRG", "H1"]
    assert shinkei(plant, "forward", "BRG", "--goods", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("1,P1,serial,EP-60")
    assert shinkei(plant, "history", "P1", "--format", "json") == 0
    assert [row["op"] for row in json.loads(capsys.readouterr().out)] == ["assemble", "pack"]
    assert shinkei(plant, "backward", "P1", "--as-of", "0", "--format", "json") == 0
    assert [row["unit"] for row in json.loads(capsys.readouterr().out)] == ["P1"]


def test_what_is_not_known_is_no_and_names_the_nearest(plant: PlantFile, capsys: pytest.CaptureFixture[str]) -> None:
    with part(str(plant.store.dsn), "store") as conn:
        record(conn, list(PUMP))
    shinkei(plant, "rebuild")
    assert shinkei(plant, "forward", "P2") == 1
    assert "P2 is not known; there is P1" in capsys.readouterr().err
    assert shinkei(plant, "forward", "P1", "--as-of", "yesterday") == 2


def test_the_projector_follows_the_record_and_survives_its_database(plant: PlantFile) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(plant, stop))
    thread.start()
    try:
        with (
            part(str(plant.store.dsn), "store") as conn,
            psycopg.connect(str(plant.store.dsn), autocommit=True) as watch,
        ):
            record(conn, [PUMP[0]])
            eventually(lambda: watch.execute("select count(*) from shinkei.edge").fetchone() == (2,))
            watch.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'shinkei trace'"
            )
            record(conn, [PUMP[1]])
            eventually(lambda: watch.execute("select count(*) from shinkei.edge").fetchone() == (3,))
            eventually(lambda: watch.execute("select count(*) from shinkei.top_closure").fetchone() == (2,))
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
