"""Every screen over a recorded line, in both languages: what it says, where its links lead, and what it says when there is nothing or no database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from re import findall
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

import shinkei_ui
from shinkei_events.health import Health
from shinkei_events.model.decision import Acknowledged
from shinkei_events.settings import section
from shinkei_store.pool import connect
from shinkei_ui.installed import Installed, install
from shinkei_ui.live.hub import Hub
from shinkei_ui.read import Reader, line
from shinkei_ui.settings import UiSettings
from shinkei_ui.words import LANGUAGES, Words
from tests.support.line_on_log import S, write_plant
from tests.support.postgres import EmbeddedServer
from tests.support.recorded_line import add_alarm, add_anomaly, add_gap, record_line
from tests.support.store import migrated

APP = Path(shinkei_ui.__file__).parent / "app.py"
pytestmark = pytest.mark.filterwarnings("ignore")  # Streamlit's own deprecations under AppTest


@pytest.fixture(scope="module")
def site(embedded_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A recorded line with an anomaly, an alarm and a gap."""
    folder = tmp_path_factory.mktemp("screens")
    plant = write_plant(folder / "plant.toml", dsn=migrated(embedded_server))
    numbering = record_line(plant)
    now = time.time_ns()
    began, ended = now - 300 * S, now - 200 * S
    add_gap(plant, numbering, "OP20", began, began + 10 * S)
    with connect(plant, "detect") as conn:
        add_anomaly(conn, "anomaly-1", "OP20", str(numbering.stream("OP20", 0)), began, ended)
    with connect(plant, "alerts") as conn:
        add_alarm(conn, "alarm-1", "OP20", began, "anomaly-1")
    reader = Reader(plant)
    yield SimpleNamespace(plant=plant, reader=reader, began=began, ended=ended, numbering=numbering)
    reader.close()


@pytest.fixture
def screen(site: SimpleNamespace) -> Callable[..., AppTest]:
    """Opens a page: ``screen("part", lang="ja", unit="…")``."""
    install(Installed(site.plant, section(site.plant, "ui", UiSettings), Hub(), site.reader, None, "test"))

    def open_page(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=120)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if name != "andon":
            app.switch_page(f"screens/{name}.py")
            for key, value in query.items():
                app.query_params[key] = value
            app.run()
        assert not app.exception, [error.value for error in app.exception]
        return app

    return open_page


def text_of(app: AppTest) -> str:
    """Everything a visitor can read, charts and the board aside."""
    blocks = [
        element.value for kind in (app.markdown, app.header, app.subheader, app.caption, app.title) for element in kind
    ]
    html = [str(element.proto.body) for element in app.get("html")]
    return unescape(" ".join([*map(str, blocks), *html]))


def links_of(app: AppTest, page: str) -> list[str]:
    return [link for link in findall(r"href='([^']+)'", text_of(app)) if link.startswith(f"{page}?")]


def query_of(link: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(link.partition("?")[2]))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["andon", "lineage", "inbox", "health", "part", "anomaly", "machine", "frame"])
def test_every_page_without_a_question_says_what_to_do(
    screen: Callable[..., AppTest], name: str, language: str
) -> None:
    found = text_of(screen(name, lang=language))
    assert len(found) > 50
    assert "Traceback" not in found
    assert "Error" not in found


@pytest.mark.parametrize("language", LANGUAGES)
def test_from_the_alarm_to_the_raw_frame_by_ids(
    screen: Callable[..., AppTest], site: SimpleNamespace, language: str
) -> None:
    inbox = text_of(screen("inbox", lang=language))
    assert Words(language)("inbox.waiting", n=1) in inbox
    alarm = screen("inbox", lang=language, alarm="alarm-1")
    assert query_of(links_of(alarm, "anomaly")[0])["id"] == "anomaly-1"
    said = text_of(alarm)
    assert ">anomaly-1<" not in said, "what led to it is named, not numbered"
    assert f"{Words(language)('finding.anomaly')}: " in said
    assert [query_of(link)["machine"] for link in links_of(alarm, "machine")] == ["OP20", "OP20"]
    anomaly = screen("anomaly", lang=language, id="anomaly-1")
    made = [query_of(link)["unit"] for link in links_of(anomaly, "part")]
    with connect(site.plant, "ui") as conn:
        sql = "select serial from parts_in_span('OP20', to_ts(%s), to_ts(%s)) order by ended"
        exact = [row[0] for row in conn.execute(sql, (site.began, site.ended)).fetchall()]
    assert made == exact
    assert len(made) > 5
    part = screen(
        "part", lang=language, **{k: v for k, v in query_of(links_of(anomaly, "part")[3]).items() if k != "lang"}
    )
    assert made[3] in text_of(part)
    assert any(query_of(link)["id"] == "anomaly-1" for link in links_of(part, "anomaly"))
    raw = query_of(links_of(part, "frame")[0])
    frame = text_of(screen("frame", lang=language, stream=raw["stream"], number=raw["number"]))
    assert raw["stream"] in frame
    assert "0x00000000" in frame


def test_a_part_shows_its_components_readings_against_limits(
    screen: Callable[..., AppTest], site: SimpleNamespace
) -> None:
    serial = site.reader.row("select serial from unit where serial like 'EP-%' order by id limit 1")["serial"]
    found = text_of(screen("part", lang="en", unit=serial, kind="serial"))
    for name in ("bore diameter", "leak rate", "screw torque", "press force"):
        assert name in found
    assert "✓ within" in found
    assert "Casting" in found


def test_a_gap_is_said_in_words(screen: Callable[..., AppTest], site: SimpleNamespace) -> None:
    found = text_of(screen("anomaly", lang="en", id="anomaly-1"))
    assert "Not everything is known" in found
    assert "the connection to the machine was lost" in found
    assert "at least 17 values" in found


def test_the_timeline_has_a_table_that_adds_up(screen: Callable[..., AppTest], site: SimpleNamespace) -> None:
    found = text_of(screen("andon", lang="en"))
    assert "Casting" in found
    assert "Running" in found
    rows = site.reader.state_minutes(1)
    for machine in {row["machine"] for row in rows}:
        mine = [row for row in rows if row["machine"] == machine]
        assert abs(sum(float(row["share"]) for row in mine) - 1.0) < 1e-6
        assert abs(sum(float(row["seconds"]) for row in mine) - 3600) < 1


def test_search_finds_shows_the_nearest_and_keeps_the_question_in_the_address(
    screen: Callable[..., AppTest], site: SimpleNamespace
) -> None:
    lot = site.reader.row(
        "select serial from unit where kind = 'supplier_lot' and serial like 'BRG%' order by id limit 1"
    )["serial"]
    app = screen("lineage", lang="en")
    app.text_input(key="trace.text").set_value(lot.lower()).run()
    assert app.query_params["unit"] in ([lot.lower()], lot.lower())
    app = screen("lineage", lang="en", unit=lot, way="forward")
    names = [product.title["en"] for product in site.plant.master["products"] if "en" in product.title]
    assert [name for name in names if name in text_of(app)], "what the lot went into is counted item by item"
    assert len(links_of(app, "part")) > 10
    near = text_of(screen("lineage", lang="en", unit=lot[:-1] + "X"))
    assert "is on record" in near
    assert lot in near
    assert Words("ja")("trace.none_near") in text_of(screen("lineage", lang="ja", unit="\u2603"))


def test_an_acknowledgement_is_a_decision_in_the_outbox(screen: Callable[..., AppTest], site: SimpleNamespace) -> None:
    app = screen("inbox", lang="en")
    app.button(key="ack_alarm-1").click().run()
    assert not app.exception
    row = site.reader.row("select id, body from outbox where part = 'ui' order by number desc limit 1")
    decision = msgspec.json.decode(bytes(row["body"]), type=Acknowledged)
    assert (decision.alarm, decision.occurrence, decision.actor.proof, decision.id) == ("alarm-1", 1, "none", row["id"])
    assert row["id"].startswith("test/ui/")
    assert decision.actor.id.startswith("guest-")
    assert app.button(key="ack_alarm-1").disabled


def test_what_a_machine_says_is_never_markup(screen: Callable[..., AppTest], site: SimpleNamespace) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    found = [str(element.proto.body) for element in screen("lineage", lang="en", unit=nasty).get("html")]
    assert not any("<img" in body for body in found)
    assert any("&lt;img" in body for body in found)


def test_the_same_figure_on_two_pages_is_the_same(screen: Callable[..., AppTest], site: SimpleNamespace) -> None:
    from datetime import UTC, datetime

    shift = site.reader.row("select begins from fn_shift(null, now())")
    row = site.reader.row("select * from fn_oee('OP20', %s, %s)", shift["begins"], datetime.now(UTC))
    page = text_of(screen("machine", lang="en", machine="OP20"))
    assert f"{row['produced']:,}" in page
    strip = line.figures(site.reader, ["OP20"], {}, datetime.now(UTC))
    assert strip["parts"]["good"] == row["good"]


def test_the_gateways_account_has_its_own_verdict(screen: Callable[..., AppTest], site: SimpleNamespace) -> None:
    row = {"source": "press7", "hour": 0, "received": 7, "numbered": 7, "dropped": 0, "sent": 7, "stored": 7}
    gateway = Health("gateway", site.plant.dir)
    gateway.update(reconcile=[row | {"hour": n, "balanced": one} for n, one in enumerate((True, False, None))])
    gateway.start()
    try:
        app = screen("health", lang="en")
    finally:
        gateway.stop()
    html = next(str(found) for e in app.get("html") if "press7" in (found := e.proto.body))
    rows = [row for row in html.split("<tr")[1:] if "press7" in row]
    assert [("bad" in row, ">yes<" in row, ">no<" in row) for row in rows] == [
        (False, True, False),
        (True, False, True),
        (False, False, False),
    ]


@pytest.mark.parametrize("name", ["lineage", "inbox", "health", "part"])
def test_without_a_database_there_is_a_sentence_and_no_trace(tmp_path: Path, name: str) -> None:
    plant = write_plant(tmp_path / "plant.toml")
    reader = Reader(plant, wait=0.3)
    install(Installed(plant, section(plant, "ui", UiSettings), Hub(), reader, "en", "test"))
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.run()
    app.switch_page(f"screens/{name}.py")
    app.query_params["unit"] = "EP-1"
    app.run()
    reader.close()
    assert "Traceback" not in text_of(app)
    if name == "health":
        assert "does not answer" in text_of(app)
    else:
        assert [type(error.value).__name__ for error in app.exception] or "does not answer" in text_of(app)


def test_behind_a_proxy_who_has_no_name_sees_nothing(site: SimpleNamespace) -> None:
    settings: Any = UiSettings(user_header="X-User")
    install(Installed(site.plant, settings, Hub(), site.reader, "en", "test"))
    app = AppTest.from_file(str(APP), default_timeout=120).run()
    assert [title.value for title in app.title] == ["You are not logged in"]
    assert "OP10" not in text_of(app)
